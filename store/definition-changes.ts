import type { Db } from 'mongodb';
import type { MongoServerError } from 'mongodb';
import { DroverError } from '../domain/errors.js';
import { changeCollection } from './collection-change.js';
import type { CollectionDefinition, IndexDefinition, RawOptions } from './collection-definition.js';
import {
  byName,
  decoded,
  differentOptions,
  expiryOf,
  HIDDEN,
  isAdjustable,
  isSameIndex,
  NEVER,
  PRE_AND_POST_IMAGES,
} from './collection-definition.js';
import { hasCode } from './server-errors.js';
import { buildIndexes } from './shadow-indexes.js';

/** What makes one definition of another. */
export interface DefinitionChanges {
  /** Names of collection options. */
  readonly options: readonly string[];
  readonly created: readonly IndexDefinition[];
  readonly dropped: readonly IndexDefinition[];
  readonly changed: readonly { readonly from: IndexDefinition; readonly to: IndexDefinition }[];
}

export function changesBetween(before: CollectionDefinition, after: CollectionDefinition): DefinitionChanges {
  const [old, now] = [byName(before.indexes), byName(after.indexes)];
  return {
    options: differentOptions(before.options, after.options),
    created: after.indexes.filter(({ name }) => !old.has(name)),
    dropped: before.indexes.filter(({ name }) => !now.has(name)),
    changed: after.indexes.flatMap((to) => {
      const from = old.get(to.name);
      return from === undefined || isSameIndex(from, to) ? [] : [{ from, to }];
    }),
  };
}

/** In words, nothing where nothing was changed. */
export const described = ({ options, created, dropped, changed }: DefinitionChanges): string[] => [
  ...options.map((name) => `the option ${name} was changed`),
  ...created.map(({ name }) => `the index ${name} was created`),
  ...dropped.map(({ name }) => `the index ${name} was dropped`),
  ...changed.map(({ to }) => `the index ${to.name} was changed`),
];

/** Options that no `collMod` can change: of a collection that is there already they stay as they are. */
export const unchangeable = ({ options }: DefinitionChanges): string[] =>
  options.filter((name) => name !== PRE_AND_POST_IMAGES);

/**
 * Makes the changes to a collection; repeatable. Indexes by which documents expire are built as suspended ones.
 *
 * @param options of the collection, as they are after it
 * @param signal nobody waits for indexes any more
 * @throws DroverError `SourceChanged` where an index can't be beside others that are there
 */
export async function applyChanges(
  db: Db,
  collection: string,
  changes: DefinitionChanges,
  options: RawOptions,
  signal?: AbortSignal,
): Promise<void> {
  const { dropped, created, changed } = changes;
  if (changes.options.includes(PRE_AND_POST_IMAGES)) {
    const enabled = options.has(PRE_AND_POST_IMAGES);
    await changeCollection(db, { collMod: collection, [PRE_AND_POST_IMAGES]: { enabled } }, signal);
  }
  const [adjusted, rebuilt] = [
    changed.filter(({ from, to }) => isAdjustable(from, to)),
    changed.filter(({ from, to }) => !isAdjustable(from, to)),
  ];
  for (const { from, to } of adjusted) {
    const expiry = expiryOf(from) === undefined && expiryOf(to) !== undefined ? { expireAfterSeconds: NEVER } : {};
    const hidden = { hidden: decoded(to.options).get(HIDDEN) === true };
    await changeCollection(db, { collMod: collection, index: { name: to.name, ...hidden, ...expiry } }, signal);
  }
  for (const { name } of [...dropped, ...rebuilt.map(({ from }) => from)])
    await dropIndex(db, collection, name, signal);
  try {
    await buildIndexes(db, collection, [...created, ...rebuilt.map(({ to }) => to)], signal);
  } catch (error) {
    if (!hasCode(error, 'indexOptionsConflict', 'indexKeySpecsConflict', 'cannotCreateIndex')) throw error;
    const { message } = error as MongoServerError;
    throw new DroverError('SourceChanged', `an index can't be made on both sides: ${message}`);
  }
}

async function dropIndex(db: Db, collection: string, name: string, signal?: AbortSignal): Promise<void> {
  try {
    await changeCollection(db, { dropIndexes: collection, index: name }, signal);
  } catch (error) {
    if (!hasCode(error, 'indexNotFound')) throw error;
  }
}
