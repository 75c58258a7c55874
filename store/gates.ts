import type { Db, Document } from 'mongodb';
import { nanoid } from 'nanoid';
import { hasCode } from './server-errors.js';

/**
 * A gate is an index that one attempt made, and without which the server refuses that attempt's `collMod`. Whoever takes
 * over drops it: then an older attempt that wakes up late can't open or close a fence any more.
 *
 * No document has the field, so that the index stays empty; making it reads the whole collection once, though, and several
 * are made in one pass, for the attempts to come.
 */
const PREFIX = 'droverGate_';
const MADE_AT_ONCE = 8;

export const isGate = (index: string): boolean => index.startsWith(PREFIX);

export const newGates = (): string[] => Array.from({ length: MADE_AT_ONCE }, () => PREFIX + nanoid());

export async function makeGates(db: Db, collection: string, names: readonly string[]): Promise<void> {
  await db.command(
    {
      createIndexes: collection,
      indexes: names.map((name) => ({ name, key: { [name]: 1 }, sparse: true, hidden: true })),
    },
    { writeConcern: { w: 'majority' } } as Document,
  );
}

/**
 * Drops every gate that is not among `kept`.
 *
 * @returns false when a transaction held the collection for too long
 */
export async function dropGates(db: Db, collection: string, kept: readonly string[]): Promise<boolean> {
  const dropped = (await gatesOf(db, collection)).filter((name) => !kept.includes(name));
  if (dropped.length === 0) return true;
  try {
    await db.command({ dropIndexes: collection, index: dropped, maxTimeMS: 100 }, {
      writeConcern: { w: 'majority' },
    } as Document);
  } catch (error) {
    // Dropped by somebody else in between: what is left is looked at again.
    if (hasCode(error, 'indexNotFound')) return dropGates(db, collection, kept);
    if (hasCode(error, 'maxTimeExpired')) return false;
    if (!hasCode(error, 'namespaceNotFound')) throw error;
  }
  return true;
}

export async function gatesOf(db: Db, collection: string): Promise<string[]> {
  try {
    const indexes = await db.collection(collection).indexes();
    return indexes.map(({ name }) => name!).filter(isGate);
  } catch (error) {
    if (hasCode(error, 'namespaceNotFound')) return [];
    throw error;
  }
}
