import { messageOf } from '../domain/errors.js';
import type { Partition } from '../domain/partition.js';
import { collectionOn, nodesOf } from '../domain/partition.js';
import type { ProfilerSettings } from '../store/profile.js';
import { profileEnd, profilerSettings, readProfile } from '../store/profile.js';
import type { QueryStatistics } from '../store/query-statistics.js';
import { readQueryStatistics } from '../store/query-statistics.js';
import type { ControlContext } from './context.js';

/** What a node tells of a keyspace. */
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
 * Takes over what nodes have written down and counted about a keyspace since they were read last, each operation once, however
 * many processes do it. A node that can't be asked, or doesn't tell, is a finding, not a failure.
 *
 * @param chosen those whose nodes are asked; they are asked about all of them, as what is read now is not read again
 */
export async function readProfiles(
  context: ControlContext,
  all: readonly Partition[],
  chosen: readonly Partition[],
): Promise<ProfiledNode[]> {
  const nodes = [...new Set(chosen.flatMap(nodesOf))].sort();
  return Promise.all(
    nodes.map((node) =>
      readProfileOf(context, all, node).catch((error: unknown) => ({ ...NOTHING, node, reason: messageOf(error) })),
    ),
  );
}

const NOTHING = { profiler: null, queryStatistics: null, operationsRead: 0 } as const;

async function readProfileOf(
  { catalog, nodes }: ControlContext,
  partitions: readonly Partition[],
  node: string,
): Promise<ProfiledNode> {
  const { keyspace } = partitions[0]!;
  const { database } = await catalog.keyspaces.get(keyspace);
  const client = await nodes.get(node);
  const [profiler, position, to] = await Promise.all([
    profilerSettings(client, database),
    catalog.queryShapes.position(keyspace, node),
    profileEnd(client),
  ]);
  const from = position?.readTo;
  const part = { database, collections: collectionsOn(partitions, node), from };
  const reading = await readQueryStatistics(client, { ...part, counted: position?.counted ?? null });
  const found = { node, reason: null, profiler };
  const unread = { ...found, queryStatistics: { ...reading.statistics, since: null }, operationsRead: 0 };
  if (from !== undefined && from >= to) return unread;
  const { counted, commands } = reading;
  const profiled = await readProfile(client, { ...part, to, without: commands });
  const shapes = [...profiled, ...reading.shapes];
  const isOurs = await catalog.queryShapes.addProfiled({ keyspace, node, from, to, counted }, shapes);
  if (!isOurs) return unread;
  const operationsRead = shapes.reduce((sum, { use }) => sum + use.operations, 0);
  return { ...found, queryStatistics: reading.statistics, operationsRead };
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
