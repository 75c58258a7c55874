import type { Db } from 'mongodb';
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
  const done = await fences.setAccepted(db, collection, { keyField, accepted }, gates[0]!);
  await dropGates(db, collection, () => true);
  if (!done) throw new Error(`a transaction holds ${collection}`);
}
