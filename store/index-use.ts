import type { Collection, Document } from 'mongodb';
import type { KnownIndex } from '../domain/index-advice.js';
import { parseGate } from './gates.js';

/** The indexes of a collection, with how often each was used since the server knows (`$indexStats`). */
export async function indexUse(collection: Collection): Promise<KnownIndex[]> {
  const [indexes, stats] = await Promise.all([
    collection.indexes() as Promise<Document[]>,
    // What this user may not ask is unknown, not unused.
    collection
      .aggregate<{ name: string; accesses: { ops: unknown; since: Date } }>([{ $indexStats: {} }])
      .toArray()
      .catch(() => []),
  ]);
  const accesses = new Map(stats.map((each) => [each.name, each.accesses]));
  return indexes
    .filter(({ name }) => parseGate(String(name)) === undefined)
    .map((index): KnownIndex => {
      const { name, key, unique, hidden, partialFilterExpression, sparse, collation } = index;
      const used = accesses.get(String(name));
      const only = [partialFilterExpression, collation].some((option) => option !== undefined);
      return {
        name: String(name),
        key: Object.entries(key as Record<string, number | string>),
        unique: unique === true,
        limited: hidden === true || sparse === true || only,
        ...(used === undefined ? {} : { uses: Number(used.ops), since: used.since }),
      };
    });
}
