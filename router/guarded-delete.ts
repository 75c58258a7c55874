import type {
  ClientSession,
  DeleteOptions,
  DeleteResult,
  Document,
  Filter,
  FindOneAndDeleteOptions,
  FindOneAndUpdateOptions,
  MongoClient,
} from 'mongodb';
import { MongoError, MongoErrorLabel, MongoRuntimeError, ObjectId } from 'mongodb';
import type { Token } from '../domain/token.js';
import { MAJORITY } from './majority.js';
import type { KeyspaceHandle, Router } from './router.js';
import type { Place } from './same-transaction.js';
import { Turnstile } from './turnstile.js';

/**
 * Validators don't see deletes. So the router changes the document first and deletes it in the same transaction: the
 * change meets the node's fence, and no reader ever sees it.
 */
const TOUCH = '__droverTouch';

const PAUSE_MS = 5;

/**
 * Transactions under way at one node. A fence can't close while one of them is open, and one that waits for a free connection
 * between its statements, behind a crowd of other requests, is open for long.
 */
const AT_ONCE = 16;
const turnstiles = new WeakMap<MongoClient, Turnstile>();

const REPEAT = Symbol('repeat');

/** Documents in one transaction of `deleteMany`: it holds up others, and a hand-over, for a few milliseconds. */
const BATCH = 100;
/** Documents that `deleteMany` looks up at once. */
const LISTED = 10_000;

/** Whatever the application asks for: an `_id` of 64 bits, or of bytes, must find its document again. */
const AS_STORED = { promoteLongs: false, useBigInt64: false, promoteBuffers: false } as const;

export async function deleteOne(
  place: Place,
  filter: Filter<Document>,
  options: DeleteOptions = {},
): Promise<DeleteResult> {
  const settings = withinTransaction(options);
  return inTransaction(place, async (session) => {
    const touch = new ObjectId();
    const touched = await place.collection.findOneAndUpdate(
      filter,
      { $set: { [TOUCH]: touch } },
      { ...(settings as FindOneAndUpdateOptions), ...AS_STORED, session, projection: { _id: 1 } },
    );
    if (touched === null) return { acknowledged: true, deletedCount: 0 };
    const { comment } = settings;
    const { deletedCount } = await place.collection.deleteOne(
      { _id: { $eq: touched._id }, [TOUCH]: touch },
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
  options: FindOneAndDeleteOptions = {},
): Promise<Document | null> {
  const { includeResultMetadata, ...rest } = options;
  const settings = withinTransaction(rest);
  return inTransaction(place, async (session) => {
    const touch = new ObjectId();
    const reply = await place.collection.findOneAndUpdate(
      filter,
      { $set: { [TOUCH]: touch } },
      { ...settings, session, returnDocument: 'before', includeResultMetadata: true },
    );
    if (reply.value !== null) {
      const { hint, collation, let: variables, comment } = settings;
      // A projection may leave the _id out; the touched document still is the only one with this touch.
      const { deletedCount } = await place.collection.deleteOne(
        { ...filter, [TOUCH]: touch },
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
  options: DeleteOptions = {},
): Promise<DeleteResult> {
  const settings = withinTransaction(options);
  let deletedCount = 0;
  const deleteOf = async (ids: readonly unknown[]): Promise<void> => {
    for (let from = 0; from < ids.length; from += BATCH) {
      const batch = ids.slice(from, from + BATCH);
      const deleted = await router.write(keyspace, token, (place) => deleteListed(place, batch, filter, settings));
      deletedCount += deleted;
    }
  };
  try {
    for (;;) {
      const ids = await router.write(keyspace, token, (place) => list(place, filter, settings), isEmpty);
      await deleteOf(ids);
      if (ids.length < LISTED) return { acknowledged: true, deletedCount };
    }
  } catch (error) {
    throw error instanceof Error ? Object.assign(error, { deletedCount }) : error;
  }
}

const isEmpty = (ids: readonly unknown[]): boolean => ids.length === 0;

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
function deleteListed(
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
      { $set: { [TOUCH]: touch } },
      { ...options, session },
    );
    if (modifiedCount === 0) return 0;
    const { deletedCount } = await place.collection.deleteMany({ ...listed, [TOUCH]: touch }, { session });
    if (deletedCount !== modifiedCount) throw notFoundAgain();
    return deletedCount;
  });
}

/** Within a transaction neither concerns nor a read preference may be given for one request. */
function withinTransaction<O extends DeleteOptions | FindOneAndDeleteOptions>(options: O): O {
  const { session: _session, writeConcern: _write, readConcern: _read, readPreference: _preference, ...rest } = options;
  return rest as O;
}

const notFoundAgain = () => new MongoRuntimeError('a document that was about to be deleted was not found again');

/**
 * Runs `body` in a transaction of its own, or in the application's. Its own is repeated while the server says that a
 * repetition may help, until the deadline: an aborted one has changed nothing, and a commit can be asked for again.
 */
async function inTransaction<T>(place: Place, body: (session: ClientSession) => Promise<T>): Promise<T> {
  if (place.session?.inTransaction()) return body(place.session);
  const session = place.session ?? place.client.startSession({ causalConsistency: false });
  try {
    for (;;) {
      const outcome = await turnstile(place.client).pass(() => attempt(session, place.deadline, body));
      if (outcome !== REPEAT) return outcome;
      await pause();
    }
  } finally {
    if (place.session === undefined) await session.endSession();
  }
}

function turnstile(node: MongoClient): Turnstile {
  let known = turnstiles.get(node);
  if (known === undefined) turnstiles.set(node, (known = new Turnstile(AT_ONCE)));
  return known;
}

async function attempt<T>(
  session: ClientSession,
  deadline: number,
  body: (session: ClientSession) => Promise<T>,
): Promise<T | typeof REPEAT> {
  session.startTransaction({ writeConcern: MAJORITY, readPreference: 'primary' });
  try {
    const result = await body(session);
    await commit(session, deadline);
    return result;
  } catch (error) {
    if (session.inTransaction()) await session.abortTransaction();
    if (!labelled(error, MongoErrorLabel.TransientTransactionError) || performance.now() > deadline) throw error;
    return REPEAT;
  }
}

async function commit(session: ClientSession, deadline: number): Promise<void> {
  for (;;) {
    try {
      await session.commitTransaction();
      return;
    } catch (error) {
      const unknown = labelled(error, MongoErrorLabel.UnknownTransactionCommitResult);
      if (!unknown || performance.now() > deadline) throw error;
    }
    await pause();
  }
}

const labelled = (error: unknown, label: string): boolean => error instanceof MongoError && error.hasErrorLabel(label);

const pause = () => new Promise((resolve) => setTimeout(resolve, PAUSE_MS * (1 + Math.random())));
