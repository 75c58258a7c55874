import type { ClusterTime } from '../domain/partition.js';
import type { ReplicationScope } from '../domain/replication.js';
import { isApplied } from '../domain/replication.js';
import type { Change } from './change-log.js';
import { isPartitionKey, tokenOfRaw } from './key-token.js';
import type { RawValue } from './raw-bson.js';
import { identity } from './raw-bson.js';

/** What changes make of one document. */
export interface Outcome {
  readonly id: RawValue;
  /** Of the last insert or replacement. */
  key: RawValue | undefined;
  /** Whether it is there after the last change. */
  present: boolean;
  /** Time of the last change. */
  at: ClusterTime;
  deletedAt: ClusterTime | undefined;
  /** Whether these changes tell of the insert of what is there after the last one. */
  isNew: boolean;
  /** Keys of documents that were inserted and deleted again, where these are told from what was there before. */
  readonly passedBy: (RawValue | undefined)[];
}

/**
 * @param apart tells deletes of what was inserted by one of the changes from those of what was there before: where the collection is
 *   another one now, these need not have been one document
 */
export function outcomesOf(changes: readonly Change[], apart: boolean): Outcome[] {
  const byId = new Map<string, Outcome>();
  for (const { operationType, id, key, time } of changes) {
    if (id === undefined) continue;
    const name = identity(id);
    let outcome = byId.get(name);
    if (outcome === undefined) {
      outcome = { id, key: undefined, present: false, at: time, deletedAt: undefined, isNew: false, passedBy: [] };
      byId.set(name, outcome);
    }
    outcome.at = time;
    outcome.present = operationType !== 'delete';
    // Keys are immutable as long as a document lives.
    const keyBefore = outcome.key;
    if (operationType !== 'update') outcome.key = apart && !isPartitionKey(key) ? undefined : key;
    if (operationType === 'delete') {
      if (apart && outcome.isNew) outcome.passedBy.push(keyBefore);
      else outcome.deletedAt = time;
      outcome.isNew = false;
    } else if (operationType !== 'update') outcome.isNew = true;
  }
  return [...byId.values()];
}

/** Of a change whose key is not known, whatever it may be. */
export const mayCover = (scope: ReplicationScope, key: RawValue | undefined, time: ClusterTime): boolean =>
  key === undefined ? scope.owned.length > 0 : isApplied(scope, tokenOfRaw(key), time);
