import type { Db, IndexDescription } from 'mongodb';
import { BSON } from 'mongodb';
import { indexBuilds, parseGate } from './gates.js';
import { hasCode } from './server-errors.js';

/** Each by a read of its own. The server builds three at a time, and gates of other moves must find a place. */
const AT_ONCE = 2;

export interface ShadowIndexes {
  /** Must refuse what breaks them from the first document on. */
  readonly unique: readonly IndexDescription[];
  /** Cheaper to build when the documents are there. */
  readonly others: readonly IndexDescription[];
}

/** What a copy needs besides the index on `_id`. */
export async function indexesToCopy(source: Db, collection: string): Promise<ShadowIndexes> {
  const indexes = (await source.collection(collection).indexes())
    .filter(({ name }) => name !== '_id_' && parseGate(name!) === undefined)
    .map(({ v: _version, ns: _namespace, ...index }) => index as IndexDescription);
  return {
    unique: indexes.filter(({ unique }) => unique === true),
    others: indexes.filter(({ unique }) => unique !== true),
  };
}

/**
 * Builds those that are not there yet, several at a time; one that is being built already is waited for. With `signal`
 * nobody waits any more, and no other build begins; the server goes on with what it has begun, for the next attempt or
 * until `endIndexBuilds`.
 */
export async function buildIndexes(
  target: Db,
  collection: string,
  indexes: readonly IndexDescription[],
  signal?: AbortSignal,
): Promise<void> {
  const left = [...indexes];
  const builder = async () => {
    for (let index = left.shift(); index !== undefined; index = left.shift()) {
      const command = { createIndexes: collection, indexes: [index], writeConcern: { w: 'majority' } };
      await target.command(command, { signal });
    }
  };
  const builders = await Promise.allSettled(Array.from({ length: AT_ONCE }, builder));
  for (const each of builders) if (each.status === 'rejected') throw each.reason;
}

/**
 * Ends the builds under way in a copy that goes, which can't be replaced before, and drops its other indexes with them: of
 * several builds the server ends none by its name.
 */
export async function endIndexBuilds(db: Db, collection: string): Promise<void> {
  if ((await indexBuilds(db, collection)).length === 0) return;
  await db.command({ dropIndexes: collection, index: '*', writeConcern: { w: 'majority' } });
}

/** Builds what the source has and the target has not. One that can't be beside another is left to the comparison. */
export async function buildMissing(source: Db, target: Db, collection: string, signal?: AbortSignal): Promise<void> {
  const [ours, theirs] = await Promise.all([indexesToCopy(source, collection), indexesToCopy(target, collection)]);
  const there = new Set([...theirs.unique, ...theirs.others].map(({ name }) => name));
  const missing = [...ours.unique, ...ours.others].filter(({ name }) => !there.has(name));
  try {
    await buildIndexes(target, collection, missing, signal);
  } catch (error) {
    if (!hasCode(error, 'indexOptionsConflict', 'indexKeySpecsConflict')) throw error;
  }
}

/** Names of indexes that only one side has, or that are not the same on both. */
export async function differentIndexes(source: Db, target: Db, collection: string): Promise<string[]> {
  const [ours, theirs] = await Promise.all(
    [source, target].map(async (db) => {
      const { unique, others } = await indexesToCopy(db, collection);
      return new Map([...unique, ...others].map((index) => [index.name!, canonical(index)]));
    }),
  );
  return [...new Set([...ours!.keys(), ...theirs!.keys()])].filter((name) => ours!.get(name) !== theirs!.get(name));
}

/** The order of the key's fields counts, that of the options does not. */
const canonical = (index: IndexDescription): string =>
  BSON.EJSON.stringify(
    Object.entries(index).sort(([a], [b]) => (a < b ? -1 : 1)),
    { relaxed: true },
  );
