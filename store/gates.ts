import type { Db } from 'mongodb';
import { MongoWriteConcernError } from 'mongodb';
import { nanoid } from 'nanoid';
import { DroverError } from '../domain/errors.js';
import { hasCode } from './server-errors.js';
import { storageStats } from './storage-stats.js';

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
  /** Those made in one pass. */
  readonly batch: string;
}

const PREFIX = 'droverGate';
/** In the place of a partition's name: before a collection is a keyspace's, and after it has been. */
export const OUTSIDE = '-';
/** Within a transaction the server looks at each index of a collection for each document that it writes: few are better. */
const MADE_AT_ONCE = 5;

export function parseGate(index: string): Gate | undefined {
  const [prefix, partition, attempt, batch] = index.split(':');
  return prefix === PREFIX && partition !== undefined && batch !== undefined
    ? { name: index, partition, attempt: Number(attempt), batch }
    : undefined;
}

export function newGates(partition: string, attempt: number): string[] {
  const batch = nanoid();
  return Array.from({ length: MADE_AT_ONCE }, (_, i) => [PREFIX, partition, attempt, batch, i].join(':'));
}

/** @throws DroverError `SourceChanged` when there is no such collection: an index would make one, without a fence */
export async function makeGates(db: Db, collection: string, names: readonly string[]): Promise<void> {
  const found = await db.listCollections({ name: collection }, { nameOnly: true }).toArray();
  if (found.length === 0) {
    throw new DroverError('SourceChanged', `${db.databaseName}.${collection} was dropped or renamed: it gets no gates`);
  }
  const indexes = names.map((name) => ({ name, key: { [name]: 1 }, sparse: true, hidden: true }));
  await db.command({ createIndexes: collection, indexes, ...MAJORITY });
}

/** Names of the collection's indexes that are being built; the server goes on with one also when its client is gone. */
export async function indexBuilds(db: Db, collection: string): Promise<string[]> {
  try {
    const stats = await storageStats(db.collection(collection), LOCAL);
    return (stats['indexBuilds'] ?? []) as string[];
  } catch (error) {
    if (hasCode(error, 'namespaceNotFound')) return [];
    throw error;
  }
}

/** A majority read does not see what is under way. */
const LOCAL = { readConcern: { level: 'local' } } as const;
/** Part of the command: the driver does not add its own write concern to commands. */
const MAJORITY = { writeConcern: { w: 'majority' } } as const;

/**
 * Drops the gates that `isOver` says are over, those that are still being made included.
 *
 * @param confirm throws when somebody else is at work: what is made after it was not listed before, and stays
 * @returns false when a transaction, or something else that goes on, was in the way: some may be left
 */
export async function dropGates(
  db: Db,
  collection: string,
  isOver: (gate: Gate) => boolean,
  confirm: () => Promise<void> = async () => {},
): Promise<boolean> {
  const batches = new Map<string, string[]>();
  const over = (await gatesOf(db, collection)).filter(isOver);
  if (over.length > 0) await confirm();
  for (const gate of over) {
    const batch = batches.get(gate.batch);
    if (batch === undefined) batches.set(gate.batch, [gate.name]);
    else batch.push(gate.name);
  }
  // A build that is under way ends only when exactly its indexes are dropped.
  for (const names of batches.values()) if (!(await dropBatch(db, collection, names))) return false;
  return true;
}

async function dropBatch(db: Db, collection: string, names: readonly string[]): Promise<boolean> {
  try {
    await db.command({ dropIndexes: collection, index: names, maxTimeMS: 100, ...MAJORITY });
    return true;
  } catch (error) {
    if (hasCode(error, 'namespaceNotFound')) return true;
    // Dropped by somebody else, or finished just now: what is left is looked at again.
    if (hasCode(error, 'indexNotFound')) return false;
    // Done, but not by a majority in time, is something else.
    if (hasCode(error, 'maxTimeExpired') && !(error instanceof MongoWriteConcernError)) return false;
    throw error;
  }
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
