import type { Collection, CreateIndexesOptions, Document, DropIndexesOptions, IndexDescription } from 'mongodb';
import { expiries, NEVER, readDefinition } from '../store/collection-definition.js';
import { changeCollection } from '../store/collection-change.js';
import { hasCode } from '../store/server-errors.js';
import type { Everywhere, Served } from './everywhere.js';
import { cannotDropKeyIndex, checkIndex, indexNotFound, isHidden, isKept, nameOfIndex } from './index-rules.js';
import type { KeyspaceHandle } from './keyspaces.js';
import { MAJORITY } from './majority.js';

/**
 * Makes indexes in all collections of a keyspace, or in none: where one can't be made, those that this call has made elsewhere
 * are dropped again.
 *
 * @param adopted whether partitions of the keyspace may share a collection
 * @returns their names
 * @throws MongoServerError as a sharded cluster does
 */
export async function createEverywhere(
  everywhere: Everywhere,
  keyspace: KeyspaceHandle,
  indexes: readonly IndexDescription[],
  options: CreateIndexesOptions,
  allowUnknown: boolean,
  adopted: boolean,
): Promise<string[]> {
  for (const index of indexes) checkIndex(index, keyspace, adopted);
  const made: { readonly collection: Collection; readonly names: readonly string[] }[] = [];
  try {
    await everywhere.change(keyspace, async (place) => {
      const { collection } = place;
      const before = await namesOf(collection);
      const wanted = await fit(place, indexes, before);
      if (wanted.length === 0 && indexes.length > 0) return;
      const settings = { ...options, writeConcern: MAJORITY };
      try {
        await collection.createIndexes(wanted, settings, allowUnknown);
      } finally {
        // Of several the server may have made some.
        made.push({ collection, names: (await namesOf(collection)).filter((name) => !before.includes(name)) });
      }
    });
  } catch (error) {
    const names = new Set(indexes.map(nameOfIndex));
    const own = made.map(({ collection, names: all }) => ({
      collection,
      names: all.filter((name) => names.has(name)),
    }));
    await undo(own).catch((cause: unknown) => {
      throw Object.assign(error as Error, { cause });
    });
    throw error;
  }
  return indexes.map(nameOfIndex);
}

/**
 * What is to be made in one place of indexes by which documents expire. Those that a move has suspended are there as such;
 * where they are not, and a move is under way, it brings them from the owner, suspended.
 */
async function fit(
  { collection, isOwner }: Served,
  indexes: readonly IndexDescription[],
  before: readonly string[],
): Promise<IndexDescription[]> {
  if (!indexes.some(({ expireAfterSeconds }) => expireAfterSeconds !== undefined)) return [...indexes];
  const definition = await readDefinition(collection.db, collection.collectionName);
  const present = definition === undefined ? new Map<string, number>() : expiries(definition);
  return indexes.flatMap((index) => {
    const name = nameOfIndex(index);
    if (index.expireAfterSeconds === undefined) return [index];
    if (present.get(name) === NEVER) return [{ ...index, expireAfterSeconds: NEVER }];
    return isOwner || before.includes(name) ? [index] : [];
  });
}

async function undo(made: readonly { collection: Collection; names: readonly string[] }[]): Promise<void> {
  for (const { collection, names } of made) for (const name of names) await dropHere(collection, name);
}

/** @returns the server's reply, undefined when it was not there */
async function dropHere(collection: Collection, name: string, comment?: unknown): Promise<Document | undefined> {
  const command = {
    dropIndexes: collection.collectionName,
    index: name,
    ...(comment === undefined ? {} : { comment }),
  };
  try {
    return await changeCollection(collection.db, command);
  } catch (error) {
    if (hasCode(error, 'indexNotFound')) return undefined;
    throw error;
  }
}

/** @throws MongoServerError when no collection has it, and for those that Drover needs */
export async function dropEverywhere(
  everywhere: Everywhere,
  keyspace: KeyspaceHandle,
  name: string,
  { comment }: Pick<DropIndexesOptions, 'comment'>,
): Promise<Document> {
  if (isHidden({ name })) throw indexNotFound(name);
  const listed = (await (await everywhere.one(keyspace)).indexes()) as Document[];
  const index = listed.find((each) => each['name'] === name);
  if (index !== undefined && name !== '_id_' && isKept(index, keyspace)) throw cannotDropKeyIndex(name);
  const replies = await everywhere.change(keyspace, ({ collection }) => dropHere(collection, name, comment));
  const reply = replies.find((each) => each !== undefined);
  if (reply === undefined) throw indexNotFound(name);
  return { ...reply, nIndexesWas: listed.filter((each) => !isHidden(each)).length };
}

/** All but what the keyspace can't do without. */
export async function dropAllEverywhere(everywhere: Everywhere, keyspace: KeyspaceHandle): Promise<void> {
  await everywhere.change(keyspace, async ({ collection }) => {
    const indexes = (await collection.indexes()) as Document[];
    for (const index of indexes) if (!isKept(index, keyspace)) await dropHere(collection, index['name'] as string);
  });
}

const namesOf = async (collection: Collection): Promise<string[]> =>
  ((await collection.indexes()) as Document[]).map(({ name }) => name as string);
