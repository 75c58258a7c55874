import type { ClusterTime, Direction } from './partition.js';
import type { Interval, Token } from './token.js';
import { contains, subtract } from './token.js';

/** Tokens that the origin of a direction of replication owns, and since when by the origin's own clock. */
export interface Owned extends Interval {
  /** Changes of the origin at this time or earlier are echoes of what this migration itself wrote there. */
  readonly since: ClusterTime;
}

/**
 * What a follower may apply, stored in its checkpoint beside the data it writes and read in the same transaction.
 *
 * Forward replication originates at the source, reverse replication at the target. A change of a token is applied
 * when its origin owned the token at the time of the change; so the two directions never undo each other, whatever
 * the route says at the moment a change is read.
 */
export interface ReplicationScope {
  readonly owned: readonly Owned[];
  /** Epoch of the last hand-over that took tokens out of this scope (or of its undo, which voids older markers). */
  readonly handedOver: number;
  /** Epoch of the last hand-over that brought tokens into this scope. */
  readonly received: number;
  /** The scope before `handedOver`, to go back to when that step is undone. */
  readonly before: readonly Owned[];
}

/** A row written into the stream's own scope: everything the origin did before it has been read when it is read. */
export interface BoundaryMarker {
  readonly epoch: number;
  readonly interval: Interval;
}

export const TIME_ZERO: ClusterTime = 0n;

/** The scope a migration starts with: forward replication carries everything, reverse replication nothing. */
export function initialScope(direction: Direction, tokens: Interval): ReplicationScope {
  const owned = direction === 'forward' ? [{ ...tokens, since: TIME_ZERO }] : [];
  return { owned, handedOver: 0, received: 0, before: owned };
}

/** Whether a change of `token` at the origin's `time` is to be applied. */
export const isApplied = (scope: ReplicationScope, token: Token, time: ClusterTime): boolean =>
  scope.owned.some((owned) => contains(owned, token) && time > owned.since);

/** At the marker: from here on this direction can never write the interval again. A late marker changes nothing. */
export function handOver(scope: ReplicationScope, marker: BoundaryMarker): ReplicationScope {
  if (marker.epoch <= scope.handedOver) return scope;
  return {
    ...scope,
    owned: subtract(scope.owned, marker.interval),
    handedOver: marker.epoch,
    before: scope.owned,
  };
}

/** After an undone step: as before it, with its marker void even if it is still on its way. */
export function takeBack(
  scope: ReplicationScope,
  step: { readonly begun: number; readonly undone: number },
): ReplicationScope {
  if (scope.handedOver >= step.undone) return scope;
  return {
    ...scope,
    owned: scope.handedOver === step.begun ? scope.before : scope.owned,
    handedOver: step.undone,
  };
}

/** After the ownership write, in the other direction: the interval's new owner is this direction's origin. */
export function receive(
  scope: ReplicationScope,
  step: { readonly epoch: number; readonly interval: Interval; readonly since: ClusterTime },
): ReplicationScope {
  if (step.epoch <= scope.received) return scope;
  return {
    ...scope,
    owned: [...subtract(scope.owned, step.interval), { ...step.interval, since: step.since }],
    received: step.epoch,
  };
}
