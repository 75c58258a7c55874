import { messageOf } from '../domain/errors.js';
import { grouped } from '../domain/grouped.js';
import type { NodeName, Partition } from '../domain/partition.js';
import { isSharedOn } from '../domain/partition.js';
import type { SizeReading } from '../domain/size-growth.js';
import type { PartitionRange } from '../store/catalog/partition-range.js';
import { collectionSizes } from '../store/collection-sizes.js';
import { askedNode } from './asked-node.js';
import type { Dependencies } from './dependencies.js';

/** A run waits no longer: it leaves what it did not come to to the next one. */
const MOST_MS = 10_000;

export interface SizesOf {
  readonly keyspace: string;
  /** Only these partitions. */
  readonly partitions?: PartitionRange;
}

/**
 * Keeps how large partitions are that have a collection of their own, once an hour of Drover's time each, whoever forecasts how often.
 * What has to be counted is not known by it: see `counted-sizes.ts`.
 *
 * Never fails: what is not known now is asked for in the next run.
 */
export async function recordSizes(dependencies: Dependencies, of: SizesOf, signal: AbortSignal): Promise<void> {
  const { catalog, access, clockRate, log } = dependencies;
  const { keyspace, partitions = {} } = of;
  try {
    const time = dependencies.now();
    const due = await unreadPartitions(dependencies, of, time);
    if (due.length === 0) return;
    const failures = new Map<NodeName, string>();
    const found = await readSizes(dependencies, { keyspace, due, time, failures }, signal);
    // What was read where a partition has left meanwhile may be what is left of it there.
    const owners = new Map(
      (await catalog.partitions.list(keyspace, partitions)).map((each) => [each.name, each.route]),
    );
    const read = found.flatMap(({ partition: { name }, reading }) =>
      owners.get(name)?.source === reading.node ? [{ keyspace, partition: name, reading }] : [],
    );
    await catalog.partitionSizes.record(read, access.keep.hours / clockRate);
    const unknown = due.length - read.length;
    if (unknown > 0) {
      log.warn('sizes of partitions are unknown', { keyspace, unknown, nodes: Object.fromEntries(failures) });
    }
  } catch (error) {
    // Whoever is cancelled finds out by itself.
    if (!signal.aborted) log.warn('sizes of partitions were not recorded', { keyspace, error: messageOf(error) });
  }
}

interface Found {
  readonly partition: Partition;
  readonly reading: SizeReading;
}

interface Due {
  readonly keyspace: string;
  readonly due: readonly Partition[];
  readonly time: number;
  /** Why a node did not tell. */
  readonly failures: Map<NodeName, string>;
}

/** Those with collections of their own that nothing is known of for this hour. */
async function unreadPartitions(
  { catalog }: Dependencies,
  { keyspace, partitions = {} }: SizesOf,
  time: number,
): Promise<Partition[]> {
  const [recorded, all] = await Promise.all([
    catalog.partitionSizes.recorded(keyspace, partitions, time),
    catalog.partitions.list(keyspace, partitions),
  ]);
  return all.filter((partition) => !isSharedOn(partition, partition.route.source) && !recorded.has(partition.name));
}

/** All nodes at once. While a partition moves, its source has all of it. */
async function readSizes(
  { catalog, nodes }: Dependencies,
  { keyspace, due, time, failures }: Due,
  cancelled: AbortSignal,
): Promise<Found[]> {
  const { database } = await catalog.keyspaces.get(keyspace);
  const probed = new Map((await catalog.nodes.list()).map(({ _id, probe }) => [_id, probe]));
  const signal = AbortSignal.any([cancelled, AbortSignal.timeout(MOST_MS)]);
  const ofNode = async ([node, own]: [NodeName, Partition[]]): Promise<Found[]> => {
    try {
      const db = (await askedNode(nodes, node, probed.get(node))).db(database);
      const names = own.map(({ collection }) => collection);
      const { sizes, failure } = await collectionSizes({ node, db, names, signal });
      if (failure !== undefined) failures.set(node, messageOf(failure));
      return own.flatMap((partition) => {
        const size = sizes.get(partition.collection);
        return size === undefined ? [] : [{ partition, reading: { time, node, ...size } }];
      });
    } catch (error) {
      failures.set(node, messageOf(error));
      return [];
    }
  };
  return (await Promise.all([...grouped(due, ({ route }) => route.source)].map(ofNode))).flat();
}
