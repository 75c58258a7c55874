import { setTimeout as delay } from 'node:timers/promises';
import type { Db, Document } from 'mongodb';
import { DroverError } from '../domain/errors.js';
import { hasCode } from './server-errors.js';

/** Longest wait for the collection's lock, milliseconds: plain writes queue up behind it. */
const LOCK_WAIT_MS = 100;
const BETWEEN_TRIES_MS = 100;
const TRIES = 30;
const BUILD_LOOK_MS = 250;

/**
 * Changes a collection that is in use, by a command that may be repeated: it does not hold plain writes up for longer than a
 * moment at a time where a transaction is in its way. Indexes that are being built are waited for.
 *
 * @throws DroverError `StepUndone` when transactions hold the collection for too long; the reason of `signal`
 */
export async function changeCollection(db: Db, command: Document, signal?: AbortSignal): Promise<Document> {
  for (let tries = 1; ;) {
    signal?.throwIfAborted();
    try {
      return await db.command({ ...command, maxTimeMS: LOCK_WAIT_MS, writeConcern: { w: 'majority' } });
    } catch (error) {
      if (hasCode(error, 'indexIsBeingBuilt')) {
        await delay(BUILD_LOOK_MS, undefined, { signal });
        continue;
      }
      if (!hasCode(error, 'maxTimeExpired')) throw error;
      if (++tries > TRIES) {
        throw new DroverError('StepUndone', `transactions do not let a collection of ${db.databaseName} be changed`);
      }
      await delay(BETWEEN_TRIES_MS, undefined, { signal });
    }
  }
}
