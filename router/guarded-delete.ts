import type {
  DeleteOptions,
  DeleteResult,
  Document,
  Filter,
  FindOneAndDeleteOptions,
  FindOneAndUpdateOptions,
} from 'mongodb';
import { MongoRuntimeError, ObjectId } from 'mongodb';
import type { Token } from '../domain/token.js';
import { TOUCH_FIELD } from '../store/fenced-collection.js';
import type { KeyspaceHandle } from './keyspaces.js';
import type { Router } from './router.js';
import type { Place } from './same-transaction.js';
import type { DroverSession, Routed } from './session.js';
import { inTransaction } from './transaction.js';

// Validators don't see deletes. So the router changes the document first and deletes it in the same transaction: the change
// meets the node's fence, and no reader ever sees it.

/** Documents in one transaction of `deleteMany`: it holds up others, and a hand-over, for a few milliseconds. */
export const BATCH = 100;
/** Documents that `deleteMany` looks up at once. */
export const LISTED = 10_000;

/** Whatever the application asks for: an `_id` of 64 bits, or of bytes, must find its document again. */
const AS_STORED = { promoteLongs: false, useBigInt64: false, promoteBuffers: false } as const;

export async function deleteOne(
  place: Place,
  filter: Filter<Document>,
  options: Routed<DeleteOptions> = {},
): Promise<DeleteResult> {
  const settings = withinTransaction(options);
  return inTransaction(place, async (session) => {
    const touch = new ObjectId();
    const touched = await place.collection.findOneAndUpdate(
      filter,
      { $set: { [TOUCH_FIELD]: touch } },
      { ...(settings as FindOneAndUpdateOptions), ...AS_STORED, session, projection: { _id: 1 } },
    );
    if (touched === null) return { acknowledged: true, deletedCount: 0 };
    const { comment } = settings;
    const { deletedCount } = await place.collection.deleteOne(
      { _id: { $eq: touched._id }, [TOUCH_FIELD]: touch },
      { session, ...(comment === undefined ? {} : { comment }) },
    );
    if (deletedCount !== 1) throw notFoundAgain();
    return { acknowledged: true, deletedCount };
  });
}

/** The document as it was before, in the form that the options ask for. */
export async function findOneAndDelete(
  place: Place,
  filter: Filter<Document>,
  options: Routed<FindOneAndDeleteOptions> = {},
): Promise<Document | null> {
  const { includeResultMetadata, ...rest } = options;
  const settings = withinTransaction(rest);
  return inTransaction(place, async (session) => {
    const touch = new ObjectId();
    const reply = await place.collection.findOneAndUpdate(
      filter,
      { $set: { [TOUCH_FIELD]: touch } },
      { ...(settings as FindOneAndUpdateOptions), session, returnDocument: 'before', includeResultMetadata: true },
    );
    if (reply.value !== null) {
      const { hint, collation, let: variables, comment } = settings;
      // A projection may leave the _id out; the touched document still is the only one with this touch.
      const { deletedCount } = await place.collection.deleteOne(
        { ...filter, [TOUCH_FIELD]: touch },
        {
          session,
          ...(hint === undefined ? {} : { hint }),
          ...(collation === undefined ? {} : { collation }),
          ...(variables === undefined ? {} : { let: variables }),
          ...(comment === undefined ? {} : { comment }),
        },
      );
      if (deletedCount !== 1) throw notFoundAgain();
    }
    if (includeResultMetadata !== true) return reply.value;
    // As findAndModify answers a removal: it knows of no update.
    const { updatedExisting: _, ...lastErrorObject } = reply.lastErrorObject ?? {};
    return { ...reply, lastErrorObject };
  });
}

/**
 * Deletes in small transactions, each a write of its own: so each goes to the owner of that moment, and a hand-over waits
 * for one of them, not for all.
 *
 * @throws what stopped it, with `deletedCount` for what had been deleted
 */
export async function deleteMany(
  router: Router,
  keyspace: KeyspaceHandle,
  token: Token,
  filter: Filter<Document>,
  options: Routed<DeleteOptions> = {},
): Promise<DeleteResult> {
  const settings = withinTransaction(options);
  const { session } = options;
  let deletedCount = 0;
  const deleteOf = async (ids: readonly unknown[]): Promise<void> => {
    for (let from = 0; from < ids.length; from += BATCH) {
      const batch = ids.slice(from, from + BATCH);
      const request = (place: Place) => deleteListed(place, batch, filter, settings);
      const deleted = await router.write(keyspace, token, request, (count) => count === 0, session, 'transactions');
      deletedCount += deleted;
    }
  };
  try {
    for (;;) {
      const ids = await router.write(keyspace, token, (place) => list(place, filter, settings), always, session);
      await deleteOf(ids);
      if (ids.length < LISTED) return { acknowledged: true, deletedCount };
    }
  } catch (error) {
    throw error instanceof Error ? Object.assign(error, { deletedCount }) : error;
  }
}

/** A list from a node that may not be the owner any more can lack some. */
const always = () => true;

async function list(
  { collection, session }: Place,
  filter: Filter<Document>,
  options: DeleteOptions,
): Promise<readonly unknown[]> {
  const documents = collection.find(filter, {
    ...options,
    ...AS_STORED,
    ...(session === undefined ? {} : { session }),
    projection: { _id: 1 },
    limit: LISTED,
    // What the primary would delete now.
    ...(session?.inTransaction() ? {} : { readConcern: 'local', readPreference: 'primary' }),
  });
  return documents.map(({ _id }) => _id as unknown).toArray();
}

/** Deletes those of the listed documents that (still) match. */
export function deleteListed(
  place: Place,
  ids: readonly unknown[],
  filter: Filter<Document>,
  options: DeleteOptions,
): Promise<number> {
  return inTransaction(place, async (session) => {
    const touch = new ObjectId();
    const listed = { _id: { $in: ids } } as Filter<Document>;
    const { modifiedCount } = await place.collection.updateMany(
      { $and: [listed, filter] },
      { $set: { [TOUCH_FIELD]: touch } },
      { ...options, session },
    );
    if (modifiedCount === 0) return 0;
    const { collation } = options;
    const { deletedCount } = await place.collection.deleteMany(
      { ...listed, [TOUCH_FIELD]: touch },
      { session, ...(collation === undefined ? {} : { collation }) },
    );
    if (deletedCount !== modifiedCount) throw notFoundAgain();
    return deletedCount;
  });
}

/** Within a transaction neither concerns nor a read preference may be given for one request. */
export function withinTransaction<O extends DeleteOptions>(
  options: Omit<O, 'session'> & { session?: DroverSession | undefined },
) {
  const { session: _session, writeConcern: _write, readConcern: _read, readPreference: _preference, ...rest } = options;
  return rest;
}

export const notFoundAgain = () => new MongoRuntimeError('a document that was about to be deleted was not found again');
