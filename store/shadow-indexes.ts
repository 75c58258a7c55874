import type { Db } from 'mongodb';
import type { CollectionDefinition, IndexDefinition } from './collection-definition.js';
import { decoded, expiryOf, isUnique, NEVER, withExpiry } from './collection-definition.js';
import { indexBuilds } from './gates.js';

/** Each by a read of its own. The server builds three at a time, and gates of other moves must find a place. */
const AT_ONCE = 2;

export interface ShadowIndexes {
  /** Must refuse what breaks them from the first document on. */
  readonly unique: readonly IndexDefinition[];
  /** Cheaper to build when the documents are there. */
  readonly others: readonly IndexDefinition[];
}

/** What a copy needs besides the index on `_id`. */
export const indexesToCopy = ({ indexes }: CollectionDefinition): ShadowIndexes => ({
  unique: indexes.filter(isUnique),
  others: indexes.filter((index) => !isUnique(index)),
});

/**
 * Builds those that are not there yet, several at a time; one that is being built already is waited for. Those by which
 * documents expire are suspended: a copy does not expire documents of its own accord. With `signal` nobody waits any more,
 * and no other build begins; the server goes on with what it has begun, for the next attempt or until `endIndexBuilds`.
 */
export async function buildIndexes(
  target: Db,
  collection: string,
  indexes: readonly IndexDefinition[],
  signal?: AbortSignal,
): Promise<void> {
  const left = indexes.map((index) => (expiryOf(index) === undefined ? index : withExpiry(index, NEVER)));
  const builder = async () => {
    for (let index = left.shift(); index !== undefined; index = left.shift()) {
      const indexes = [decoded(index.options)];
      const command = { createIndexes: collection, indexes, writeConcern: { w: 'majority' } };
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
