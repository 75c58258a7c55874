import { setTimeout as delay } from 'node:timers/promises';
import type { Binary, ClientSession, Collection, Db, Document, MongoClient } from 'mongodb';
import { MongoServerError, UUID } from 'mongodb';
import { DroverError } from '../domain/errors.js';
import type { Token } from '../domain/token.js';
import { CHECKPOINTS, endTransaction } from './checkpoint.js';
import { tokenFromBson, tokenToBson } from './codec.js';
import type { Part } from './part.js';
import { confirmTokenIndex, filterOf, rangeOf } from './part.js';
import { decode, field } from './raw-bson.js';
import type { Throttle } from './throttle.js';

export interface PartRemoval {
  readonly client: MongoClient;
  readonly database: string;
  readonly collection: string;
  /** Of the collection, where it is known: from another one of its name nothing is deleted. */
  readonly uuid?: string | undefined;
  readonly part: Part;
  readonly migration: string;
  /** Whoever has a lower number deletes nothing any more. */
  readonly attempt: number;
  readonly throttle: Throttle;
  readonly signal?: AbortSignal | undefined;
  /** @throws DroverError `Superseded` when the attempt is over, or the node owns any of it */
  readonly confirm: () => Promise<void>;
  /** Told how many documents this attempt has deleted so far. */
  readonly onProgress: (documents: number) => void;
}

/** On the node: every transaction that deletes also moves it on. */
interface RemovalDocument {
  _id: string;
  attempt: number;
  /** Session of that attempt's transactions. */
  session?: Binary;
  /** Up to this token there was nothing left. */
  token?: ReturnType<typeof tokenToBson>;
}

const MOST_DOCUMENTS = 200;
const MOST_BYTES = 4 * 1024 * 1024;
const removalId = (migration: string): string => `${migration}/removal`;

/**
 * Deletes a partition's documents from a collection that others go on using, in the order of tokens, a few at a time: no
 * faster than the throttle allows, and half of the time nothing.
 *
 * Deletes are not validated, so that the fence is no protection here: an attempt that was thought dead might wake up when the
 * partition has come back. Each transaction therefore compares the attempt, as replication does; `confirm` looks again in the
 * catalog once this attempt's number stands on the node.
 *
 * @returns how many this attempt has deleted
 * @throws DroverError `Superseded`
 */
export async function removePart(options: PartRemoval): Promise<number> {
  const { client, database, migration, confirm, throttle, signal, onProgress } = options;
  const db = client.db(database);
  const removals = db.collection<RemovalDocument>(CHECKPOINTS);
  const session = client.startSession();
  try {
    let from = await takeOver(db, removals, options, session);
    try {
      await confirm();
      await confirmTokenIndex(db.collection(options.collection), options.part.keyField);
    } catch (error) {
      await removals.deleteOne({ _id: removalId(migration), attempt: options.attempt });
      throw error;
    }
    let deleted = 0;
    for (;;) {
      const startedAt = performance.now();
      const batch = await removeSome(db.collection(options.collection), removals, options, session, from);
      if (batch === undefined) {
        // What was put before the place by somebody else is looked for, too.
        if (from === options.part.tokens.low) break;
        from = options.part.tokens.low;
        continue;
      }
      deleted += batch.documents;
      from = batch.token;
      onProgress(deleted);
      await delay(performance.now() - startedAt);
      await throttle.take(batch.bytes, batch.documents, signal);
      signal?.throwIfAborted();
    }
    await removals.deleteOne({ _id: removalId(migration), attempt: options.attempt });
    return deleted;
  } finally {
    await session.endSession();
  }
}

async function takeOver(
  db: Db,
  removals: Collection<RemovalDocument>,
  { migration, attempt, part }: PartRemoval,
  session: ClientSession,
): Promise<Token> {
  const _id = removalId(migration);
  await removals.updateOne({ _id }, { $setOnInsert: { attempt: 0 } }, { upsert: true });
  await endTransaction(db, await removals.findOne({ _id }));
  const taken = await removals.findOneAndUpdate(
    { _id, attempt: { $lte: attempt } },
    { $set: { attempt, session: session.id!.id } },
    { returnDocument: 'after' },
  );
  if (taken === null) throw superseded(_id);
  return taken.token === undefined ? part.tokens.low : tokenFromBson(taken.token);
}

/** @returns undefined when there was nothing left */
async function removeSome(
  collection: Collection,
  removals: Collection<RemovalDocument>,
  { database, client, migration, attempt, part, uuid }: PartRemoval,
  session: ClientSession,
  from: Token,
): Promise<{ readonly documents: number; readonly bytes: number; readonly token: Token } | undefined> {
  const _id = removalId(migration);
  const projection = {
    _id: 1,
    bytes: { $bsonSize: '$$ROOT' },
    token: { $toHashedIndexKey: `$${part.keyField}` },
  };
  return session.withTransaction(
    async () => {
      // In one snapshot with the delete: an _id that is free again may be given to a document of another partition.
      const options = { ...rangeOf(part, from), session, limit: MOST_DOCUMENTS, projection, raw: true };
      const found = firstOf((await collection.find({}, options).toArray()) as unknown as Uint8Array[]);
      const last = found.at(-1);
      const token = last === undefined ? from : tokenFromBson(valueOf(last, 'token'));
      const update = { $set: { token: tokenToBson(token) }, $inc: { transactions: 1 } };
      const { matchedCount } = await removals.updateOne({ _id, attempt }, update, { session });
      if (matchedCount === 0) throw superseded(_id);
      if (found.length === 0) return undefined;
      const ids = found.map((document) => valueOf(document, '_id') as never);
      // By the tokens themselves, too: whatever the index has found, nothing of another partition is deleted.
      const reply = await client.db(database).command(
        {
          delete: collection.collectionName,
          deletes: [{ q: { _id: { $in: ids }, ...filterOf(part) }, limit: 0 }],
          ...(uuid === undefined ? {} : { collectionUUID: new UUID(uuid) }),
        },
        { session },
      );
      const [refused] = (reply['writeErrors'] ?? []) as Document[];
      if (refused !== undefined) throw new MongoServerError(refused);
      const deletedCount = Number(reply['n']);
      if (deletedCount !== found.length) {
        throw new DroverError(
          'Unavailable',
          `the index on the tokens of ${collection.namespace} names other documents`,
        );
      }
      return { documents: deletedCount, bytes: found.reduce((sum, document) => sum + sizeOf(document), 0), token };
    },
    { readConcern: { level: 'snapshot' }, writeConcern: { w: 'majority' } },
  );
}

/** As many as are no more than some megabytes, and one at least: however slow it goes, it goes on every few seconds. */
function firstOf(found: readonly Uint8Array[]): Uint8Array[] {
  let bytes = 0;
  return found.filter((document, i) => (bytes += sizeOf(document)) <= MOST_BYTES || i === 0);
}

/** Of the document itself, of which only this is read. */
const sizeOf = (document: Uint8Array): number => Number(valueOf(document, 'bytes'));

const valueOf = (document: Uint8Array, name: string): unknown => decode(field(document, name)!);

const superseded = (id: string): DroverError =>
  new DroverError('Superseded', `${id}: another attempt has taken over, or it is over`);
