import pMap from 'p-map';
import { messageOf } from '../domain/errors.js';
import { grouped } from '../domain/grouped.js';
import type { NodeName, Partition } from '../domain/partition.js';
import { isSharedOn } from '../domain/partition.js';
import type { SizeReading } from '../domain/size-growth.js';
import type { Token } from '../domain/token.js';
import type { KeyspaceDocument } from '../store/catalog/keyspaces.js';
import type { PartitionRange } from '../store/catalog/partition-range.js';
import { collectionSizes } from '../store/collection-sizes.js';
import { documentsOfToken } from '../store/entity-documents.js';
import { inTime } from '../store/in-time.js';
import type { Dependencies } from './dependencies.js';

const HOUR_MS = 3_600_000;

/** A run waits no longer: it leaves what it did not come to to the next one, entities to the next hour. */
const MOST_MS = { sizes: 10_000, entities: 5_000 } as const;
const CONNECT_MS = 3_000;

/** Entities that documents are counted of, on all nodes together, and how many of one partition. */
const ENTITIES = { inAll: 100, ofOne: 10, atOnce: 4 } as const;
/** What a server may take to count an entity, and when it is given up. */
const COUNT_MS = { most: 250, silent: 1_000 } as const;

export interface SizesOf {
  readonly keyspace: string;
  /** Only these partitions. */
  readonly partitions?: PartitionRange;
}

/**
 * Keeps how large partitions are, once an hour of Drover's time each, whoever forecasts how often. Those in a collection that others are
 * in, too, are left out: how much of it is theirs only a sample tells, and that is too rough for a growth.
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
    const entities = await readEntities(dependencies, { keyspace, found, time }, signal);
    // What was read where a partition has left meanwhile may be what is left of it there.
    const owners = new Map(
      (await catalog.partitions.list(keyspace, partitions)).map((each) => [each.name, each.route]),
    );
    const read = found.flatMap(({ partition: { name }, reading }) =>
      owners.get(name)?.source === reading.node
        ? [{ keyspace, partition: name, reading: { ...reading, ...entitiesOf(entities.get(name)) } }]
        : [],
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
  const signal = AbortSignal.any([cancelled, AbortSignal.timeout(MOST_MS.sizes)]);
  const ofNode = async ([node, own]: [NodeName, Partition[]]): Promise<Found[]> => {
    const probe = probed.get(node);
    if (probe?.reachable === false) {
      failures.set(node, probe.reason ?? 'it did not answer when it was probed');
      return [];
    }
    try {
      const db = (await inTime(node, nodes.get(node), CONNECT_MS)).db(database);
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

interface ToCount {
  readonly keyspace: string;
  readonly found: readonly Found[];
  readonly time: number;
}

type EntityDocuments = readonly [token: Token, documents: number];

/** Documents of the entities that were busiest in the last hour, by partition; those that can't be counted quickly stay unknown. */
async function readEntities(
  { catalog, nodes }: Dependencies,
  { keyspace, found, time }: ToCount,
  cancelled: AbortSignal,
): Promise<ReadonlyMap<string, readonly EntityDocuments[]>> {
  if (found.length === 0) return new Map();
  const partitions = new Map(found.map(({ partition }) => [partition.name, partition]));
  const [of, busiest] = await Promise.all([
    catalog.keyspaces.get(keyspace),
    catalog.access.top.entities({ keyspace, from: time - HOUR_MS, to: time }, ENTITIES.inAll, {
      among: [...partitions.keys()],
    }),
  ]);
  const wanted = [...grouped(busiest, ({ partition }) => partition).values()].flatMap((each) =>
    each.slice(0, ENTITIES.ofOne),
  );
  const signal = AbortSignal.any([cancelled, AbortSignal.timeout(MOST_MS.entities)]);
  const counted = await pMap(
    wanted,
    async ({ partition: name, token }) => {
      if (signal.aborted) return [];
      const documents = await countEntity(nodes, { keyspace: of, partition: partitions.get(name)!, token });
      return documents === undefined ? [] : [{ name, entity: [token, documents] as const }];
    },
    { concurrency: ENTITIES.atOnce },
  );
  const byPartition = grouped(counted.flat(), ({ name }) => name);
  return new Map([...byPartition].map(([name, each]) => [name, each.map(({ entity }) => entity)]));
}

interface Entity {
  readonly keyspace: KeyspaceDocument;
  readonly partition: Partition;
  readonly token: Token;
}

async function countEntity(
  nodes: Dependencies['nodes'],
  { keyspace: { database, dimensions }, partition, token }: Entity,
): Promise<number | undefined> {
  const node = partition.route.source;
  const collection = nodes.peek(node)?.db(database).collection(partition.collection);
  if (collection === undefined) return undefined;
  const asked = { keyField: dimensions[0].field, token };
  return inTime(node, documentsOfToken(collection, asked, COUNT_MS.most), COUNT_MS.silent).catch(() => undefined);
}

const entitiesOf = (entities: readonly EntityDocuments[] | undefined): Pick<SizeReading, 'entities'> =>
  entities === undefined ? {} : { entities };
