import type {
  DeleteOptions,
  DeleteResult,
  Document,
  Filter,
  FindOneAndDeleteOptions,
  FindOneAndUpdateOptions,
} from 'mongodb';
import { MongoRuntimeError, ObjectId } from 'mongodb';
import { TOUCH_FIELD } from '../store/fenced-collection.js';
import type { Place } from './same-transaction.js';
import type { DroverSession, Routed } from './session.js';
import { AS_STORED } from './stored-types.js';
import { inTransaction } from './transaction.js';

// Validators don't see deletes. So the router changes the document first and deletes it in the same transaction: the change
// meets the node's fence, and no reader ever sees it.

/** Documents in one transaction of `deleteMany`: it holds up others, and a hand-over, for a few milliseconds. */
export const BATCH = 100;

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
