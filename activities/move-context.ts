import type { Db, MongoClient } from 'mongodb';
import { DroverError } from '../domain/errors.js';
import type { Direction, NodeName, Partition } from '../domain/partition.js';
import { collectionOn, nodesOf } from '../domain/partition.js';
import type { KeyspaceDocument } from '../store/catalog/keyspaces.js';
import { fenceOf } from '../store/catalog/keyspaces.js';
import { Checkpoint, Markers } from '../store/checkpoint.js';
import type { Fence } from '../store/fenced-collection.js';
import type { Part } from '../store/part.js';
import { partOn } from '../store/part.js';
import type { Dependencies, Move } from './dependencies.js';

/** What steps work with on the nodes of a partition: databases, and what its fences have in common. */
export interface PartitionContext {
  readonly partition: Partition;
  readonly keyspace: KeyspaceDocument;
  readonly fence: Omit<Fence, 'accepted'>;
  readonly client: (node: NodeName) => MongoClient;
  readonly db: (node: NodeName) => Db;
}

/** The same for a partition that a migration holds, with what that migration keeps on the nodes. */
export interface MoveContext extends PartitionContext {
  readonly move: Move;
  /** Work that takes long ends with it; another attempt goes on. */
  readonly signal?: AbortSignal | undefined;
  /** Checkpoint of a direction of replication: on the node that it writes to. */
  checkpoint(direction: Direction): Checkpoint;
  /** Names of the partition's collections at the source and at the target. */
  readonly names: Readonly<Record<'source' | 'target', string>>;
  /** The partition's documents, where one of these collections holds others, too. */
  readonly part?: Part | undefined;
  /** Markers that a direction of replication reads: on the node that it originates from. */
  markers(direction: Direction): Markers;
}

export async function openPartition({ catalog, nodes }: Dependencies, partition: Partition): Promise<PartitionContext> {
  const names = nodesOf(partition);
  const [keyspace, ...clients] = await Promise.all([
    catalog.keyspaces.get(partition.keyspace),
    ...names.map((name) => nodes.get(name)),
  ]);
  const client = (node: NodeName) => {
    const found = clients[names.indexOf(node)];
    if (found === undefined) throw new DroverError('Refused', `${partition.id} has nothing to do with node "${node}"`);
    return found;
  };
  return {
    partition,
    keyspace,
    fence: fenceOf(keyspace),
    client,
    db: (node) => client(node).db(keyspace.database),
  };
}

/** @throws DroverError `Refused` when no migration holds the partition */
export async function openHandover(
  dependencies: Dependencies,
  partition: Partition,
  signal?: AbortSignal,
): Promise<MoveContext> {
  const { handover } = partition;
  if (handover === null) throw new DroverError('Refused', `no migration holds ${partition.id}`);
  const context = await openPartition(dependencies, partition);
  const { migration, target } = handover;
  const source = nodesOf(partition).find((node) => node !== target)!;
  return {
    ...context,
    signal,
    names: { source: collectionOn(partition, source), target: collectionOn(partition, target) },
    part: partOn(context.fence.keyField, partition, source, target),
    move: { migration, keyspace: partition.keyspace, partition: partition.name, source, target },
    checkpoint: (direction) =>
      new Checkpoint(context.db(direction === 'forward' ? target : source), migration, direction),
    markers: (direction) => new Markers(context.db(direction === 'forward' ? source : target)),
  };
}

/** @throws DroverError `Refused` when the partition is no longer held by this migration */
export async function openMove(dependencies: Dependencies, move: Move, signal?: AbortSignal): Promise<MoveContext> {
  const partition = await dependencies.catalog.partitions.get(move.keyspace, move.partition);
  if (partition.handover?.migration !== move.migration) {
    throw new DroverError('Refused', `${partition.id} is not held by migration ${move.migration} any more`);
  }
  if (move.phase !== undefined) {
    await dependencies.catalog.migrations.update(move.migration, { $set: { phase: move.phase } });
  }
  return openHandover(dependencies, partition, signal);
}

/** @throws DroverError `Superseded` when a later attempt, of this migration or of another one, has taken over */
export async function confirmAttempt(
  catalog: Dependencies['catalog'],
  { keyspace, name, id, attempt, handover }: Partition,
): Promise<void> {
  const now = await catalog.partitions.get(keyspace, name);
  if (now.attempt === attempt && now.handover?.migration === handover?.migration) return;
  throw new DroverError('Superseded', `${id}: another attempt has taken over`);
}
