import { messageOf } from '../domain/errors.js';
import type { Partition } from '../domain/partition.js';
import { collectionOn, nodesOf } from '../domain/partition.js';
import type { ProfilerSettings, QueryStatistics } from '../store/profile.js';
import { profileEnd, profilerSettings, queryStatistics, readProfile } from '../store/profile.js';
import type { ControlContext } from './context.js';

/** What a node's profiler tells of a keyspace. */
export interface ProfiledNode {
  readonly node: string;
  /** Why it tells nothing; null where it does. */
  readonly reason: string | null;
  readonly profiler: ProfilerSettings | null;
  readonly queryStatistics: QueryStatistics | null;
  /** Operations that had not been read before. */
  readonly operationsRead: number;
}

/**
 * Takes over what the profilers of the nodes have written down about a keyspace since they were read last, each operation once, however
 * many processes do it. A node that can't be asked, or doesn't profile, is a finding, not a failure.
 */
export async function readProfiles(
  context: ControlContext,
  keyspace: string,
  partitions: readonly Partition[],
): Promise<ProfiledNode[]> {
  const nodes = [...new Set(partitions.flatMap(nodesOf))].sort();
  return Promise.all(
    nodes.map((node) =>
      readProfileOf(context, keyspace, partitions, node).catch((error: unknown) => ({
        ...NOTHING,
        node,
        reason: messageOf(error),
      })),
    ),
  );
}

const NOTHING = { profiler: null, queryStatistics: null, operationsRead: 0 } as const;

async function readProfileOf(
  { catalog, nodes }: ControlContext,
  keyspace: string,
  partitions: readonly Partition[],
  node: string,
): Promise<ProfiledNode> {
  const { database } = await catalog.keyspaces.get(keyspace);
  const client = await nodes.get(node);
  const [profiler, statistics] = await Promise.all([profilerSettings(client, database), queryStatistics(client)]);
  const [from, to] = await Promise.all([catalog.queryShapes.readTo(keyspace, node), profileEnd(client)]);
  const found = { node, profiler, queryStatistics: statistics };
  if (from !== undefined && from >= to) return { ...found, reason: null, operationsRead: 0 };
  const shapes = await readProfile(client, { database, collections: collectionsOn(partitions, node), from, to });
  const isOurs = await catalog.queryShapes.addProfiled({ keyspace, node, from, to }, shapes);
  const operations = isOurs ? shapes.reduce((sum, { use }) => sum + use.operations, 0) : 0;
  return { ...found, reason: null, operationsRead: operations };
}

/** The partition that has a collection on the node to itself; undefined where several share it. */
function collectionsOn(partitions: readonly Partition[], node: string): Map<string, string | undefined> {
  const collections = new Map<string, string | undefined>();
  for (const partition of partitions) {
    if (!nodesOf(partition).includes(node)) continue;
    const collection = collectionOn(partition, node);
    collections.set(collection, partition.shared?.node === node ? undefined : partition.name);
  }
  return collections;
}
