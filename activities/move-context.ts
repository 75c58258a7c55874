import type { Db, MongoClient } from 'mongodb';
import { DroverError } from '../domain/errors.js';
import type { Direction, NodeName, Partition } from '../domain/partition.js';
import type { KeyspaceDocument } from '../store/catalog/keyspaces.js';
import { Checkpoint, Markers } from '../store/checkpoint.js';
import type { Dependencies, Move } from './dependencies.js';

/** What the steps of one move work with: its two nodes, its partition, its checkpoints. */
export interface MoveContext {
  readonly move: Move;
  readonly keyspace: KeyspaceDocument;
  readonly keyField: string;
  readonly partition: Partition;
  readonly source: MongoClient;
  readonly target: MongoClient;
  db(node: NodeName): Db;
  /** Checkpoint of a direction of replication: on the node that it writes to. */
  checkpoint(direction: Direction): Checkpoint;
  /** Markers that a direction of replication reads: on the node that it originates from. */
  markers(direction: Direction): Markers;
}

/** @throws DroverError `Refused` when the partition is no longer held by this migration */
export async function openMove({ catalog, nodes }: Dependencies, move: Move): Promise<MoveContext> {
  const [keyspace, partition, source, target] = await Promise.all([
    catalog.keyspaces.get(move.keyspace),
    catalog.partitions.get(move.keyspace, move.partition),
    nodes.get(move.source),
    nodes.get(move.target),
  ]);
  if (partition.handover?.migration !== move.migration) {
    throw new DroverError('Refused', `${partition.id} is not held by migration ${move.migration} any more`);
  }
  const db = (node: NodeName) => (node === move.source ? source : target).db(keyspace.database);
  return {
    move,
    keyspace,
    keyField: keyspace.dimensions[0].field,
    partition,
    source,
    target,
    db,
    checkpoint: (direction) =>
      new Checkpoint(db(direction === 'forward' ? move.target : move.source), move.migration, direction),
    markers: (direction) => new Markers(db(direction === 'forward' ? move.source : move.target)),
  };
}
