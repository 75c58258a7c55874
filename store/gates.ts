import type { Db, MongoClient } from 'mongodb';
import { MongoWriteConcernError } from 'mongodb';
import { nanoid } from 'nanoid';
import { hasCode } from './server-errors.js';

/**
 * A gate is an index that one attempt made, and without which the server refuses that attempt's `collMod`. Whoever takes
 * over drops it: then an older attempt that wakes up late can't open or close a fence any more.
 *
 * No document has the field, so that the index stays empty; making it reads the whole collection once, though, and several
 * are made in one pass, for the attempts to come.
 */
export interface Gate {
  readonly name: string;
  /** Name of the partition in whose behalf it was made, and the attempt that made it. */
  readonly partition: string;
  readonly attempt: number;
}

const PREFIX = 'droverGate';
const MADE_AT_ONCE = 12;

export function parseGate(index: string): Gate | undefined {
  const [prefix, partition, attempt] = index.split(':');
  return prefix === PREFIX && partition !== undefined
    ? { name: index, partition, attempt: Number(attempt) }
    : undefined;
}

export const newGates = (partition: string, attempt: number): string[] =>
  Array.from({ length: MADE_AT_ONCE }, () => [PREFIX, partition, attempt, nanoid()].join(':'));

export async function makeGates(db: Db, collection: string, names: readonly string[]): Promise<void> {
  const indexes = names.map((name) => ({ name, key: { [name]: 1 }, sparse: true, hidden: true }));
  await db.command({ createIndexes: collection, indexes, ...MAJORITY });
}

/** Whether the server is at making gates in behalf of this attempt: for a large collection that takes its time. */
export async function isMakingGates(
  client: MongoClient,
  { database, collection, ...of }: Omit<Gate, 'name'> & { readonly database: string; readonly collection: string },
): Promise<boolean> {
  const found = await client
    .db('admin')
    .aggregate<{ readonly names?: readonly string[] }>(
      [
        { $currentOp: { allUsers: true } },
        { $match: { 'command.createIndexes': collection, 'command.$db': database } },
        { $project: { names: '$command.indexes.name' } },
      ],
      { readConcern: { level: 'local' } },
    )
    .toArray();
  const gates = found.flatMap(({ names }) => (names ?? []).flatMap((name) => parseGate(name) ?? []));
  return gates.some(({ partition, attempt }) => partition === of.partition && attempt === of.attempt);
}

/** Part of the command: the driver does not add its own write concern to commands. */
const MAJORITY = { writeConcern: { w: 'majority' } } as const;

/**
 * Drops the gates that `isOver` says are over.
 *
 * @returns false when a transaction held the collection for too long: for certain nothing was dropped
 */
export async function dropGates(db: Db, collection: string, isOver: (gate: Gate) => boolean): Promise<boolean> {
  const dropped = (await gatesOf(db, collection)).filter(isOver).map(({ name }) => name);
  if (dropped.length === 0) return true;
  try {
    await db.command({ dropIndexes: collection, index: dropped, maxTimeMS: 100, ...MAJORITY });
  } catch (error) {
    // Dropped by somebody else in between: what is left is looked at again.
    if (hasCode(error, 'indexNotFound')) return dropGates(db, collection, isOver);
    // Done, but not by a majority in time, is something else.
    if (hasCode(error, 'maxTimeExpired') && !(error instanceof MongoWriteConcernError)) return false;
    if (!hasCode(error, 'namespaceNotFound')) throw error;
  }
  return true;
}

export async function gatesOf(db: Db, collection: string): Promise<Gate[]> {
  try {
    const indexes = await db.collection(collection).indexes();
    return indexes.flatMap(({ name }) => parseGate(name!) ?? []);
  } catch (error) {
    if (hasCode(error, 'namespaceNotFound')) return [];
    throw error;
  }
}
