import type { Collection, Document } from 'mongodb';
import { BSON } from 'mongodb';
import type { BulkWork } from './bulk-work.js';
import { idHex } from './raw-bson.js';

export interface VerifyOptions extends BulkWork<VerifyProgress> {
  /** Waits until the target has everything that the source had when it was called. */
  readonly settle: () => Promise<void>;
}

export interface VerifyProgress {
  readonly compared: number;
  readonly recheck: number;
}

export interface VerifyResult {
  readonly compared: number;
  /** Ids (as relaxed extended JSON) of documents that differ after every recheck; at most 20. */
  readonly different: readonly string[];
}

const BATCH = 1_000;
const ROUNDS = 10;
const ID_ONLY = { _id: 1 };

/**
 * Compares every document byte for byte while writes go on: what differs is looked at again after replication has
 * caught up, until it agrees or has differed in every round.
 */
export async function verify(options: VerifyOptions): Promise<VerifyResult> {
  const source = options.source.db(options.database).collection(options.collection);
  const target = options.target.db(options.database).collection(options.collection);
  const suspects = new Map<string, unknown>();
  let compared = 0;

  for await (const batch of batches(source, options)) {
    await options.throttle.take(batch.bytes);
    const theirs = await byId(
      target,
      [...batch.documents.values()].map(({ id }) => id),
    );
    for (const [hex, { id, raw }] of batch.documents) {
      if (theirs.get(hex)?.raw.equals(raw) !== true) suspects.set(hex, id);
    }
    compared += batch.documents.size;
    options.onProgress({ compared, recheck: suspects.size });
  }
  // The other way round: what only the target has. The ids say it.
  for await (const batch of batches(target, options, ID_ONLY)) {
    await options.throttle.take(batch.bytes);
    const ours = await byId(
      source,
      [...batch.documents.values()].map(({ id }) => id),
      ID_ONLY,
    );
    for (const [hex, { id }] of batch.documents) if (!ours.has(hex)) suspects.set(hex, id);
    options.onProgress({ compared, recheck: suspects.size });
  }

  const lastSeen = new Map<string, string>();
  for (let round = 0; round < ROUNDS && suspects.size > 0 && !options.signal.aborted; round++) {
    if (round > 0) await new Promise((resolve) => setTimeout(resolve, 100 * round));
    for (const ids of chunks([...suspects], BATCH)) {
      const wanted = ids.map(([, id]) => id);
      const before = await byId(source, wanted);
      await options.settle();
      const theirs = await byId(target, wanted);
      const after = await byId(source, wanted);
      for (const [hex] of ids) {
        const [old, copy, now] = [before, theirs, after].map((side) => side.get(hex)?.raw.toString('base64') ?? '');
        const stable = old === now;
        // A document that is written all the time never stands still; its copy must change along with it.
        const followed = !stable && lastSeen.has(hex) && lastSeen.get(hex) !== copy;
        if (copy === old || copy === now || followed) suspects.delete(hex);
        lastSeen.set(hex, copy!);
      }
    }
    options.onProgress({ compared, recheck: suspects.size });
  }
  options.signal.throwIfAborted();
  return {
    compared,
    different: [...suspects.values()].slice(0, 20).map((id) => BSON.EJSON.stringify({ id }, { relaxed: true })),
  };
}

interface RawDocument {
  readonly id: unknown;
  readonly raw: Buffer;
}

async function* batches(
  collection: Collection,
  { signal }: VerifyOptions,
  projection: Document = {},
): AsyncGenerator<{ documents: Map<string, RawDocument>; bytes: number }> {
  let documents = new Map<string, RawDocument>();
  let bytes = 0;
  for await (const raw of collection
    .find({}, { raw: true, batchSize: BATCH, projection })
    .hint({ _id: 1 }) as AsyncIterable<unknown>) {
    signal.throwIfAborted();
    const document = toRaw(raw as Buffer);
    documents.set(idHex(document.id), document);
    bytes += document.raw.length;
    if (documents.size >= BATCH || bytes > 4 * 1024 * 1024) {
      yield { documents, bytes };
      documents = new Map();
      bytes = 0;
    }
  }
  if (documents.size > 0) yield { documents, bytes };
}

async function byId(
  collection: Collection,
  ids: readonly unknown[],
  projection: Document = {},
): Promise<Map<string, RawDocument>> {
  const found = await collection.find({ _id: { $in: ids as never[] } }, { raw: true, projection }).toArray();
  return new Map(
    (found as unknown as Buffer[]).map((raw) => {
      const document = toRaw(raw);
      return [idHex(document.id), document];
    }),
  );
}

/** The driver's raw documents share one buffer with their batch: the bytes are copied. */
function toRaw(raw: Buffer): RawDocument {
  const copy = Buffer.from(raw);
  return {
    raw: copy,
    id: BSON.deserialize(copy, { promoteValues: false, promoteLongs: false, promoteBuffers: false })['_id'],
  };
}

function* chunks<T>(items: readonly T[], size: number): Generator<T[]> {
  for (let i = 0; i < items.length; i += size) yield items.slice(i, i + size);
}
