import type { Collection, Document } from 'mongodb';
import { MongoServerError } from 'mongodb';
import type { Part } from './part.js';
import { rangeOf } from './part.js';

export interface CountLimits {
  /** What the server may take, whole milliseconds; then it answers with an error of code `maxTimeExpired`. */
  readonly maxTimeMS: number;
  readonly signal: AbortSignal;
}

/**
 * How many documents are in a part, exactly, by the key's hashed index alone: the server reads none of them. No command counts a range
 * of that index; `explain` goes through it as `find` would, and answers with the number instead of the keys.
 */
export async function countIn(collection: Collection, part: Part, limits: CountLimits): Promise<number> {
  const { maxTimeMS, signal } = limits;
  const find = { find: collection.collectionName, filter: {}, ...rangeOf(part), returnKey: true };
  const command = { explain: find, verbosity: 'executionStats', maxTimeMS };
  const { executionStats } = (await collection.db.command(command, { signal })) as { executionStats: Document };
  const { executionSuccess, errorMessage, errorCode, nReturned } = executionStats;
  // `explain` itself does not fail of what goes wrong meanwhile.
  if (executionSuccess === true) return Number(nReturned);
  throw new MongoServerError({ message: String(errorMessage), code: Number(errorCode) });
}
