import type { Direction, NodeName } from '../domain/partition.js';

/** Of the marker that a boundary step sends behind the last change of what it hands over. */
export interface StepMarker {
  readonly migration: string;
  readonly direction: Direction;
  /** Of the step. */
  readonly epoch: number;
  /** The node that loses the tokens: the marker is in its change log. */
  readonly from: NodeName;
  readonly keyspace: string;
}

/** The marker's id says all that: also in the change log of the node at which it arrives. A keyspace's name may contain slashes. */
export const stepMarkerId = ({ migration, direction, epoch, from, keyspace }: StepMarker): string =>
  [migration, direction, epoch, from, keyspace].join('/');

/** @returns undefined for a marker of a release that did not say it */
export function originOf(markerId: string): Pick<StepMarker, 'from' | 'keyspace'> | undefined {
  const [, , , from, ...keyspace] = markerId.split('/');
  return from === undefined || keyspace.length === 0 ? undefined : { from, keyspace: keyspace.join('/') };
}

/** The direction of replication that a marker goes through: the id of its checkpoint. */
export const checkpointOf = (markerId: string): string => markerId.split('/', 2).join('/');
