import type { ClientSession, Collection, MongoClient } from 'mongodb';
import {
  MongoBulkWriteError,
  MongoError,
  MongoErrorLabel,
  MongoNetworkError,
  MongoServerSelectionError,
} from 'mongodb';

import { isValidationFailure, TOUCH_FIELD } from '../store/fenced-collection.js';
import { MAJORITY } from './majority.js';
import { borrowSession, returnSession } from './session-pool.js';

/** Where an attempt of a write runs. */
export interface Place {
  readonly client: MongoClient;
  readonly collection: Collection;
  /** The application's session; without one the attempt opens its own. */
  readonly session?: ClientSession | undefined;
  /** Until when an unknown outcome is pursued, by `performance.now()`. */
  readonly deadline: number;
}

const FIRST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 500;

/** What the driver keeps in a session but does not declare: a retryable write adds the increment, then sends the number. */
interface Numbered {
  readonly serverSession: { txnNumber: number };
  txnNumberIncrement: number;
}

/**
 * Runs one retryable write. When its outcome is unknown (the reply was lost, the driver's own retry, too), it is repeated at
 * the same node with the same session and transaction number until an answer comes: a server that has applied the write
 * answers with the first result and does not apply it again. So only a refusal is ever carried to another node.
 *
 * @throws the first, ambiguous error of the driver when there is no answer until the deadline
 */
export async function inSameTransaction<T>(place: Place, write: (session: ClientSession) => Promise<T>): Promise<T> {
  if (place.session?.inTransaction()) return write(place.session);
  const session = place.session ?? borrowSession(place.client);
  try {
    const numbered = session as unknown as Numbered;
    const { serverSession } = numbered;
    const number = serverSession.txnNumber + numbered.txnNumberIncrement + 1;
    try {
      return await write(session);
    } catch (error) {
      // Without the number (nothing was sent, or retryable writes are off) there is nothing to repeat safely.
      if (!isUnknown(error) || serverSession.txnNumber !== number) throw error;
      try {
        return await repeat(error, place.deadline, numbered, number, () => write(session));
      } catch (refusal) {
        if (isRefused(refusal)) await voidOlder(place.collection, session);
        throw refusal;
      }
    }
  } finally {
    if (place.session === undefined) returnSession(place.client, session);
  }
}

/**
 * The first message may still be on its way, and would be done when the fence opens again, after the write has gone
 * elsewhere. With a newer transaction number of the same session at the node it is refused.
 */
async function voidOlder(collection: Collection, session: ClientSession): Promise<void> {
  await collection.updateOne({ _id: { $in: [] } }, { $set: { [TOUCH_FIELD]: 1 } }, { session, writeConcern: MAJORITY });
}

async function repeat<T>(
  unknown: MongoError,
  deadline: number,
  session: Numbered,
  number: number,
  write: () => Promise<T>,
): Promise<T> {
  const { serverSession } = session;
  try {
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
      if (performance.now() + pause > deadline) throw unknown;
      await new Promise((resolve) => setTimeout(resolve, pause));
      serverSession.txnNumber = number - 1;
      session.txnNumberIncrement = 0;
      try {
        return await write();
      } catch (error) {
        if (!isUnknown(error)) throw error;
      }
    }
  } finally {
    // Nobody may use the number for another write, also when the last repetition was not sent.
    serverSession.txnNumber = number;
    session.txnNumberIncrement = 0;
  }
}

/** Whether a validator has refused any of it. */
const isRefused = (error: unknown): boolean =>
  isValidationFailure(error) ||
  (error instanceof MongoBulkWriteError && [error.writeErrors].flat().some(isValidationFailure));

/** Whether a write may have been applied, or not. */
export const isUnknown = (error: unknown): error is MongoError =>
  error instanceof MongoNetworkError ||
  error instanceof MongoServerSelectionError ||
  // A bulk write wraps what is no answer of the server, too, but without a code.
  (error instanceof MongoBulkWriteError && error.code === undefined && [error.writeErrors].flat().length === 0) ||
  (error instanceof MongoError && error.hasErrorLabel(MongoErrorLabel.RetryableWriteError));
