import type { MongoClient } from 'mongodb';
import { MongoServerError } from 'mongodb';
import { DroverError, messageOf } from '../domain/errors.js';
import { grouped } from '../domain/grouped.js';
import type { NodeName, Partition } from '../domain/partition.js';
import { collectionOn, isSharedOn, partitionId, sidesOf } from '../domain/partition.js';
import type { EntityReading, SizeReading } from '../domain/size-growth.js';
import { partOfSize } from '../domain/size-growth.js';
import type { Token } from '../domain/token.js';
import { takeTurns } from '../domain/turns.js';
import type { KeyspaceDocument } from '../store/catalog/keyspaces.js';
import { hourOf } from '../store/catalog/query-shapes.js';
import { collectionSize } from '../store/collection-sizes.js';
import { sizeOfToken } from '../store/entity-documents.js';
import { inTime } from '../store/in-time.js';
import { countIn } from '../store/part-count.js';
import { confirmTokenIndex, partOf } from '../store/part.js';
import { hasCode } from '../store/server-errors.js';
import { askedNode } from './asked-node.js';
import type { Dependencies } from './dependencies.js';

const HOUR_MS = 3_600_000;

/** What all counting may take of a node in an hour: 0.14 % of a core. */
const BUDGET_MS = 5_000;
/** A node that has not answered so long after it should have is given up until the next hour. */
const SILENT_MS = 1_000;

/** Entities whose documents are counted, of so many partitions of a keyspace and of one of them. */
const ENTITIES = { inAll: 100, amongPartitions: 500, ofOne: 10 } as const;

/**
 * Keeps what has to be counted, once an hour of Drover's time on each node, one count at a time: documents of partitions that share a
 * collection with others, and those of the busiest entities. What the budget does not suffice for has its turn in one of the next hours.
 *
 * Never fails.
 */
export async function recordCounts(dependencies: Dependencies, signal: AbortSignal): Promise<void> {
  const { catalog, access, clockRate, log } = dependencies;
  const failures = new Map<NodeName, string>();
  try {
    const time = dependencies.now();
    const taken = await takeNodes(dependencies, time, failures);
    const turns = await withBusiest(dependencies, taken, time);
    const counted = (await Promise.all(turns.map((each) => countOn(dependencies, each, failures, signal)))).flat();
    const known = counted.length === 0 || signal.aborted ? [] : await catalog.partitions.list();
    const present = new Map(known.map((each) => [each.id, each]));
    const read = counted.flatMap(({ partition, reading }) => {
      const { keyspace, name } = partition;
      return isStillThere(partition, present.get(partition.id)) ? [{ keyspace, partition: name, reading }] : [];
    });
    await catalog.partitionSizes.record(read, access.keep.hours / clockRate);
  } catch (error) {
    // Whoever is cancelled finds out by itself.
    if (!signal.aborted) log.warn('counts of documents were not recorded', { error: messageOf(error) });
  }
  if (failures.size > 0) log.warn('documents could not be counted', { nodes: Object.fromEntries(failures) });
}

/** What was counted where a partition has left meanwhile may be what is left of it there. */
function isStillThere(before: Partition, now: Partition | undefined): boolean {
  const node = before.route.source;
  return now?.route.source === node && (!isSharedOn(before, node) || now.epoch === before.epoch);
}

interface TakenNode {
  readonly node: NodeName;
  readonly client: MongoClient;
  /** Id of the partition that had the last turn. */
  readonly last: string | undefined;
  readonly time: number;
  /** Those that it owns. */
  readonly partitions: readonly Partition[];
}

/** Nodes that nobody has counted on in this hour; they are this run's from now on. */
async function takeNodes(
  { catalog, nodes }: Dependencies,
  time: number,
  failures: Map<NodeName, string>,
): Promise<TakenNode[]> {
  const hour = hourOf(time);
  const [all, others] = await Promise.all([catalog.nodes.list(), catalog.sizeTurns.taken(hour)]);
  const free = all.filter(({ _id }) => !others.has(_id));
  if (free.length === 0) return [];
  const owned = grouped(await catalog.partitions.list(), ({ route }) => route.source);
  const take = async ({ _id: node, probe }: (typeof free)[number]): Promise<TakenNode[]> => {
    const partitions = owned.get(node);
    try {
      if (partitions === undefined) {
        await catalog.sizeTurns.take(node, hour);
        return [];
      }
      const client = await askedNode(nodes, node, probe);
      const turn = await catalog.sizeTurns.take(node, hour);
      return turn === undefined ? [] : [{ node, client, last: turn.last, time, partitions }];
    } catch (error) {
      failures.set(node, messageOf(error));
      return [];
    }
  };
  return (await Promise.all(free.map(take))).flat();
}

interface Turns extends TakenNode {
  readonly waiting: readonly ToCount[];
}

interface ToCount {
  readonly keyspace: KeyspaceDocument;
  readonly partition: Partition;
  /** Of its busiest entities of the last hour. */
  readonly tokens: readonly Token[];
}

async function withBusiest({ catalog }: Dependencies, taken: readonly TakenNode[], time: number): Promise<Turns[]> {
  if (taken.length === 0) return [];
  const tokens = new Map<string, Token[]>();
  const owned = taken.flatMap(({ partitions }) => partitions);
  for (const [keyspace, here] of grouped(owned, (partition) => partition.keyspace)) {
    for (let at = 0; at < here.length; at += ENTITIES.amongPartitions) {
      const among = here.slice(at, at + ENTITIES.amongPartitions).map(({ name }) => name);
      const lastHour = { keyspace, from: time - HOUR_MS, to: time };
      const busiest = await catalog.access.top.entities(lastHour, ENTITIES.inAll, { among });
      for (const [name, own] of grouped(busiest, ({ partition }) => partition)) {
        const id = partitionId(keyspace, name);
        tokens.set(
          id,
          own.slice(0, ENTITIES.ofOne).map(({ token }) => token),
        );
      }
    }
  }
  const keyspaces = new Map((await catalog.keyspaces.list()).map((keyspace) => [keyspace._id, keyspace]));
  return taken.map((each) => ({
    ...each,
    waiting: each.partitions.flatMap((partition): ToCount[] => {
      const keyspace = keyspaces.get(partition.keyspace);
      const own = tokens.get(partition.id) ?? [];
      if (keyspace === undefined || !isCounted(partition, own)) return [];
      return [{ keyspace, partition, tokens: own }];
    }),
  }));
}

/** Of a partition that is on two nodes, a shared collection may have what is not its own there any more, or lack what it has already. */
function isCounted(partition: Partition, tokens: readonly Token[]): boolean {
  const { source } = partition.route;
  if (!isSharedOn(partition, source)) return tokens.length > 0;
  return sidesOf(partition).every(({ node }) => node === source);
}

interface Counted {
  readonly partition: Partition;
  readonly reading: SizeReading;
}

async function countOn(
  { catalog }: Dependencies,
  { node, client, last, time, waiting }: Turns,
  failures: Map<NodeName, string>,
  signal: AbortSignal,
): Promise<Counted[]> {
  const counted: Counted[] = [];
  const until = performance.now() + BUDGET_MS;
  const leftMs = () => (signal.aborted ? 0 : until - performance.now());
  const count = async (each: ToCount, left: number): Promise<boolean> => {
    try {
      const { reading, complete } = await sizeOf(client, each, left, signal);
      counted.push({ partition: each.partition, reading: { time, node, ...reading } });
      return complete;
    } catch (error) {
      if (hasCode(error, 'maxTimeExpired')) return false;
      if (!(error instanceof MongoServerError || error instanceof DroverError)) throw error;
      failures.set(node, messageOf(error));
      return true;
    }
  };
  try {
    const turns = await takeTurns({ waiting, nameOf: ({ partition }) => partition.id, last, leftMs }, (each, left) =>
      inTime(node, count(each, left), left + SILENT_MS),
    );
    if (turns.last !== undefined) await catalog.sizeTurns.end(node, turns.last);
    if (turns.tooLong !== undefined)
      failures.set(node, `${turns.tooLong} can't be counted within ${BUDGET_MS / 1_000} s`);
  } catch (error) {
    if (!signal.aborted) failures.set(node, messageOf(error));
  }
  return counted;
}

/** @throws MongoServerError of code `maxTimeExpired` where the time is too short for the partition itself */
async function sizeOf(
  client: MongoClient,
  { keyspace: { database, dimensions }, partition, tokens }: ToCount,
  mostMs: number,
  signal: AbortSignal,
): Promise<{ readonly reading: Omit<SizeReading, 'time' | 'node'>; readonly complete: boolean }> {
  const until = performance.now() + mostMs;
  // One that is too large must not take the time of the others.
  const limits = (share: number) => ({
    maxTimeMS: Math.max(1, Math.floor(share * (until - performance.now()))),
    signal,
  });
  const node = partition.route.source;
  const keyField = dimensions[0].field;
  const collection = client.db(database).collection(collectionOn(partition, node));
  await confirmTokenIndex(collection, keyField);
  const all = await collectionSize(collection);
  const size = isSharedOn(partition, node)
    ? partOfSize(all, await countIn(collection, partOf(keyField, partition), limits(1)))
    : all;
  const entities: EntityReading[] = [];
  for (const token of tokens) {
    try {
      const { documents, bytes } = await sizeOfToken(collection, { keyField, token }, limits(0.5));
      entities.push([token, documents, bytes]);
    } catch (error) {
      if (!hasCode(error, 'maxTimeExpired')) throw error;
    }
  }
  const reading = { ...size, ...(entities.length === 0 ? {} : { entities }) };
  return { reading, complete: entities.length === tokens.length };
}
