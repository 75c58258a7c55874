import type { Db } from 'mongodb';
import { MongoWriteConcernError } from 'mongodb';
import type { Interval } from '../../domain/token.js';
import * as fences from '../../store/fenced-collection.js';
import { dropGates, makeGates, newGates } from '../../store/gates.js';

/** A fenced collection without a validator of the user's. */
export const createFenced = (db: Db, collection: string, keyField: string, accepted: readonly Interval[]) =>
  fences.createFenced(db, collection, { keyField, accepted });

/** Sets a fence through a gate of its own, as an attempt does. */
export async function setAccepted(db: Db, collection: string, keyField: string, accepted: readonly Interval[]) {
  const gates = newGates('p0', 1).slice(0, 1);
  await makeGates(db, collection, gates);
  const done = await confirmed(() => fences.setAccepted(db, collection, { keyField, accepted }, gates[0]!));
  await confirmed(() => dropGates(db, collection, () => true));
  if (!done) throw new Error(`a transaction holds ${collection}`);
}

/** On a busy machine the majority of one may take longer than a step allows. */
async function confirmed<T>(change: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await change();
    } catch (error) {
      if (!(error instanceof MongoWriteConcernError)) throw error;
    }
  }
}
