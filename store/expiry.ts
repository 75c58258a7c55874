import type { Db } from 'mongodb';
import { UUID } from 'mongodb';
import { changeCollection } from './collection-change.js';
import { hasCode } from './server-errors.js';

/**
 * Changes after how many seconds documents expire by an index. When it has returned, the server's monitor deletes nothing by
 * the value that was there before, also where it was in the middle of it.
 *
 * @returns the value that was there before; undefined where that collection or index is gone: nothing expires by it
 * @throws DroverError `StepUndone` when transactions hold the collection for too long; the reason of `signal`
 */
export async function setExpiry(
  db: Db,
  collection: string,
  uuid: string,
  index: string,
  seconds: number,
  signal?: AbortSignal,
): Promise<number | undefined> {
  const command = {
    collMod: collection,
    // Of another collection of that name, the copy of a later move, nothing is known.
    collectionUUID: new UUID(uuid),
    index: { name: index, expireAfterSeconds: seconds },
  };
  try {
    const reply = await changeCollection(db, command, signal);
    return Number(reply['expireAfterSeconds_old'] ?? seconds);
  } catch (error) {
    if (hasCode(error, 'namespaceNotFound', 'indexNotFound', 'collectionUuidMismatch')) return undefined;
    throw error;
  }
}
