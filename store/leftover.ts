import type { Db } from 'mongodb';
import type { Partition } from '../domain/partition.js';
import type { KeyspaceDocument } from './catalog/keyspaces.js';

/**
 * Something on a node that is not as the catalog has it: left by a migration that did not come to its end, or made by
 * somebody else.
 */
export interface Leftover {
  readonly kind: 'fence' | 'missing' | 'gates' | 'replication' | 'temporary' | 'copy' | 'foreign' | 'expiry';
  readonly node: string;
  readonly keyspace: string;
  /** Name of the partition that it concerns; absent where that is not known any more. */
  readonly partition?: string;
  /** Id of the migration that left it, where that is known. */
  readonly migration?: string;
  readonly collection: string;
  /** Of a `copy`: which collection it was that was looked at. */
  readonly uuid?: string;
  /** In a sentence. */
  readonly what: string;
}

/** A collection of a keyspace on a node, and the partitions that it may hold. */
export interface Place {
  readonly node: string;
  readonly db: Db;
  readonly keyspace: KeyspaceDocument;
  readonly collection: string;
  readonly partitions: readonly Partition[];
}

/** No step of the protocol is under way. */
export const isSettled = ({ handover }: Partition): boolean => handover === null || handover.state.kind === 'idle';
