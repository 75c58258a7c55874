import type { Db } from 'mongodb';
import type { NodeName, Partition } from '../domain/partition.js';
import { collectionOn, isSharedOn } from '../domain/partition.js';
import { collectionSize, collectionSizes } from '../store/collection-sizes.js';
import { partOf, sharesOf } from '../store/part.js';
import type { ControlContext } from './context.js';

export interface PartitionSize {
  readonly documents: number;
  /** Uncompressed size of the documents. */
  readonly bytes: number;
}

/** Size of the partition's collection on its owner; undefined when that can't be reached. */
export async function partitionSize(context: ControlContext, partition: Partition): Promise<PartitionSize | undefined> {
  return (await partitionSizes(context, partition.keyspace, [partition])).get(partition.name);
}

/** Sizes by the partition's name, without those whose node can't be reached: a list must still come out at such a time. */
export async function partitionSizes(
  { catalog, nodes }: ControlContext,
  keyspace: string,
  partitions: readonly Partition[],
): Promise<ReadonlyMap<string, PartitionSize>> {
  const { database, dimensions } = await catalog.keyspaces.get(keyspace);
  const sizes = new Map<string, PartitionSize>();
  const ofNode = async (node: string) => {
    const client = await nodes.get(node).catch(() => undefined);
    if (client === undefined) return;
    const here = partitions.filter((partition) => partition.route.source === node);
    const db = client.db(database);
    const together = here.filter((partition) => isSharedOn(partition, node));
    for (const [name, size] of await sharedSizes(db, dimensions[0].field, node, together)) sizes.set(name, size);
    const own = here.filter((partition) => !isSharedOn(partition, node));
    const found = await collectionSizes({ node, db, names: own.map(({ collection }) => collection) });
    for (const { name, collection } of own) {
      const size = found.sizes.get(collection);
      if (size !== undefined) sizes.set(name, size);
    }
  };
  await Promise.all([...new Set(partitions.map(({ route }) => route.source))].map(ofNode));
  return sizes;
}

/** Of partitions in one collection only their shares of it are known, by a sample. */
async function sharedSizes(
  db: Db,
  keyField: string,
  node: NodeName,
  partitions: readonly Partition[],
): Promise<[name: string, size: PartitionSize][]> {
  const [first] = partitions;
  if (first === undefined) return [];
  const collection = collectionOn(first, node);
  const parts = partitions.map((partition) => partOf(keyField, partition));
  const [all, shares] = await Promise.all([
    collectionSize(db.collection(collection)).catch(() => undefined),
    sharesOf(db.collection(collection), parts).catch(() => []),
  ]);
  if (all === undefined) return [];
  return partitions.flatMap(({ name }, i) => {
    const share = shares[i];
    if (share === undefined) return [];
    return [[name, { documents: Math.round(all.documents * share), bytes: Math.round(all.bytes * share) }]];
  });
}
