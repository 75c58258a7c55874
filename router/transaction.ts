import type { ClientSession } from 'mongodb';
import { MongoError, MongoErrorLabel } from 'mongodb';
import { MAJORITY } from './majority.js';
import { ownReadConcern } from './own-read-concern.js';
import type { Place } from './same-transaction.js';
import { borrowSession, returnSession } from './session-pool.js';

const PAUSE_MS = 5;

const REPEAT = Symbol('repeat');

/**
 * Runs `body` in a transaction of its own, or in the application's. Its own is repeated while the server says that a
 * repetition may help, until the deadline: an aborted one has changed nothing, and a commit can be asked for again.
 */
export async function inTransaction<T>(place: Place, body: (session: ClientSession) => Promise<T>): Promise<T> {
  if (place.session?.inTransaction()) return body(place.session);
  const session = place.session ?? borrowSession(place.client);
  try {
    for (;;) {
      const outcome = await attempt(session, place.deadline, body);
      if (outcome !== REPEAT) return outcome;
      await pause();
    }
  } finally {
    if (place.session === undefined) returnSession(place.client, session);
  }
}

async function attempt<T>(
  session: ClientSession,
  deadline: number,
  body: (session: ClientSession) => Promise<T>,
): Promise<T | typeof REPEAT> {
  const readConcern = ownReadConcern(session.clientOptions.readConcern);
  session.startTransaction({ ...readConcern, writeConcern: MAJORITY, readPreference: 'primary' });
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

/** Asks until it is known whether the transaction was committed. */
export async function commit(session: ClientSession, deadline: number): Promise<void> {
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

export const labelled = (error: unknown, label: string): boolean =>
  error instanceof MongoError && error.hasErrorLabel(label);

export const pause = () => new Promise((resolve) => setTimeout(resolve, PAUSE_MS * (1 + Math.random())));
