import type { BSONSerializeOptions, DistinctOptions, Document, Filter } from 'mongodb';
import { BSON } from 'mongodb';
import { definedOf } from '../domain/defined.js';
import { compareValues } from '../store/bson-order.js';
import type { RawValue } from '../store/raw-bson.js';
import { compose, field, fieldAt, rawDocument, UNPROMOTED } from '../store/raw-bson.js';
import { shardsOf } from './aggregation-plan.js';
import { collected } from './chunks.js';
import type { KeyspaceHandle } from './keyspaces.js';
import { MergeServer } from './merge-server.js';
import type { OpenPiece, Unit } from './pieces.js';
import { isOnePiece, sessionOf, within } from './pieces.js';
import { readingOf } from './reading.js';
import type { Scatter } from './scatter.js';
import type { Routed } from './session.js';
import { decodingOf } from './sorted.js';
import { withPlainCode } from './stored-types.js';
import { isCollated } from './wanted.js';

/** As each node gives values in their order, so do several: each once, the first where some are equal. */
export async function distinct(
  scatter: Scatter,
  keyspace: KeyspaceHandle,
  units: readonly Unit[],
  key: string,
  filter: Filter<Document>,
  options: Routed<DistinctOptions> = {},
): Promise<unknown> {
  const { session, ...settings } = options;
  const reading = readingOf(settings, false);
  if (settings.explain !== undefined || isOnePiece(units, keyspace.field)) {
    const ask = async (piece: OpenPiece) => {
      const plan = await piece.collection.distinct(key, within(filter, piece), { ...settings, ...sessionOf(piece) });
      // All values together, as a document.
      piece.delivered([plan]);
      return { node: piece.node, collection: piece.collection.collectionName, plan };
    };
    const answers = await scatter.ask(keyspace, units, session, ask, reading);
    return answers.length === 1 ? answers[0]!.plan : { shards: shardsOf(answers), ok: 1 };
  }
  const asStored = { ...settings, ...UNPROMOTED, useBigInt64: false, raw: false, fieldsAsRaw: { values: true } };
  const ask = async (piece: OpenPiece) => {
    const found = await piece.collection
      .distinct(key, within(filter, piece), { ...asStored, ...sessionOf(piece) })
      .catch((error: unknown) => Promise.reject(withPlainCode(error) as Error));
    piece.delivered([found]);
    return found;
  };
  const answers = await scatter.ask(keyspace, units, session, ask, reading);
  const values = answers.flat().map(rawOf);
  const { collation, maxTimeMS, comment, readPreference } = settings;
  const merged = isCollated(collation)
    ? await mergedBy(
        new MergeServer(
          await scatter.merging(keyspace, units),
          definedOf({ collation, maxTimeMS, comment, readPreference }),
        ),
        values,
      )
    : mergedHere(values);
  return decoded(merged, decodingOf(settings, scatter.anyClient().bsonOptions));
}

function mergedHere(values: readonly RawValue[]): RawValue[] {
  const sorted = [...values].sort(compareValues);
  return sorted.filter((value, i) => i === 0 || compareValues(sorted[i - 1]!, value) !== 0);
}

/** Which texts are equal by a collation, and in which order they come, a server knows. */
async function mergedBy(server: MergeServer, values: readonly RawValue[]): Promise<RawValue[]> {
  const documents = values.map((value) => compose([['v', value]]));
  // Within a document, as a sort would take a list for its least element.
  const stages = [{ $group: { _id: { v: '$v' } } }, { $sort: { _id: 1 } }];
  return (await collected(server.run(documents, stages))).map((each) => fieldAt(each, '_id.v')!);
}

const listOf = (values: readonly RawValue[]): RawValue => ({
  type: ARRAY,
  bytes: compose(values.map((value, i) => [String(i), value] as const)),
});

/** A value as the driver gives it where documents are left as bytes. */
function rawOf(value: unknown): RawValue {
  if (value instanceof Uint8Array) return rawDocument(value);
  if (Array.isArray(value)) return listOf(value.map(rawOf));
  if (value === undefined) return { type: UNDEFINED, bytes: new Uint8Array() };
  return field(BSON.serialize({ v: value }), 'v')!;
}

const ARRAY = 0x04;
const UNDEFINED = 0x06;

function decoded(values: readonly RawValue[], { enableUtf8Validation, ...options }: BSONSerializeOptions): unknown {
  const list = compose([['values', listOf(values)]]);
  return BSON.deserialize(list, { ...options, validation: { utf8: enableUtf8Validation !== false } })['values'];
}
