import { setTimeout as delay } from 'node:timers/promises';
import type { Db } from 'mongodb';
import { MongoWriteConcernError, UUID } from 'mongodb';
import { DroverError } from '../domain/errors.js';
import type { CollectionDefinition } from './collection-definition.js';
import { expiryOf } from './collection-definition.js';
import { hasCode } from './server-errors.js';

/** Longest wait of a `collMod` for the collection's lock, milliseconds: plain writes queue up behind it. */
const LOCK_WAIT_MS = 100;
const TRIES = 20;
const BETWEEN_TRIES_MS = 100;

/** Indexes by which documents of the collection expire now, and after how many seconds. */
export const expiries = ({ indexes }: Pick<CollectionDefinition, 'indexes'>): ReadonlyMap<string, number> =>
  new Map(indexes.flatMap((index) => (expiryOf(index) === undefined ? [] : [[index.name, expiryOf(index)!]])));

/**
 * Changes after how many seconds documents expire by an index. When it has returned, the server's monitor deletes nothing by
 * the value that was there before, also where it was in the middle of it.
 *
 * @returns the value that was there before; undefined where that collection or index is gone: nothing expires by it
 * @throws DroverError `StepUndone` when transactions hold the collection for too long
 */
export async function setExpiry(
  db: Db,
  collection: string,
  uuid: string,
  index: string,
  seconds: number,
): Promise<number | undefined> {
  for (let tries = 1; ; tries++) {
    try {
      const reply = await db.command({
        collMod: collection,
        // Of another collection of that name, the copy of a later move, nothing is known.
        collectionUUID: new UUID(uuid),
        index: { name: index, expireAfterSeconds: seconds },
        maxTimeMS: LOCK_WAIT_MS,
        writeConcern: { w: 'majority' },
      });
      return Number(reply['expireAfterSeconds_old'] ?? seconds);
    } catch (error) {
      if (hasCode(error, 'namespaceNotFound', 'indexNotFound', 'collectionUuidMismatch')) return undefined;
      // Done, but not by a majority in time, is something else.
      if (!hasCode(error, 'maxTimeExpired') || error instanceof MongoWriteConcernError) throw error;
      if (tries < TRIES) {
        await delay(BETWEEN_TRIES_MS);
        continue;
      }
      throw new DroverError(
        'StepUndone',
        `transactions do not let the expiry of ${db.databaseName}.${collection} be changed`,
      );
    }
  }
}
