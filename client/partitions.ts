import type { UsedTogether } from '../domain/access-correlation.js';
import type { AccessLatency, AccessWindow } from '../domain/access.js';
import type { Partition } from '../domain/partition.js';
import { collectionOn, tokensOf } from '../domain/partition.js';
import { distanceFrom } from '../domain/region-distance.js';
import type { SizeGrowth } from '../domain/size-growth.js';
import { GROWTH_SPAN_MS, sizeGrowth } from '../domain/size-growth.js';
import type { Interval } from '../domain/token.js';
import type { MigrationDocument } from '../store/catalog/migrations.js';
import type { PartitionScores, ScoredSpan } from './access-scores.js';
import { rateOf, scoresOf, seriesOf } from './access-scores.js';
import type { ControlContext } from './context.js';
import { partitionSizes } from './partition-size.js';
import type { Traffic } from './traffic.js';
import { trafficOf } from './traffic.js';

const HOUR_MS = 3_600_000;

export interface PartitionSummary {
  readonly keyspace: string;
  readonly partition: string;
  readonly owner: string;
  /** Where it moves to. */
  readonly target: string | null;
  /** The target's share of the load, in percent. */
  readonly weight: number;
  readonly epoch: number;
  /** `steady`, or the phase of its migration. */
  readonly state: string;
  /** Documents and bytes on the owner; null when that can't be reached. */
  readonly documents: number | null;
  readonly bytes: number | null;
  readonly requestsLastHour: number;
  readonly lastMovedAt: Date | null;
}

export interface PartitionDetails extends PartitionSummary {
  /** Name of its collection on the owner. */
  readonly collection: string;
  readonly tokens: Interval;
  /** Over the last week; null where too little is known. */
  readonly sizeGrowth: SizeGrowth | null;
  /** Tokens whose writes wait at this moment. */
  readonly fence: Interval | null;
  /** Requests of the last hour by the region they came from, busiest first. */
  readonly regions: readonly RegionRequests[];
  /** Busiest client networks of the last hour. */
  readonly networks: readonly (readonly [network: string, requests: number])[];
  /** How many different client networks there were in the last hour; to 6 % beyond 256. */
  readonly distinctNetworks: number;
  /** How it is used, over the last hour. */
  readonly scores: PartitionScores;
  /** Partitions that the same clients used within a minute, those that belong to it most first. */
  readonly together: readonly UsedTogether[];
  /** Newest first. */
  readonly migrations: readonly MigrationDocument[];
}

export interface RegionRequests {
  readonly region: string;
  readonly reads: number;
  readonly writes: number;
  readonly errors: number;
  readonly latencyMsMean: number;
  /** To 2 %; null where no router has told it. */
  readonly latencyMsP50: number | null;
  readonly latencyMsP99: number | null;
  readonly latencyMsMax: number;
  /** Null where it is not known of any of them. */
  readonly traffic: Traffic | null;
}

/** @throws DroverError `InvalidRequest` when there is no such keyspace */
export async function listPartitions(context: ControlContext, keyspace: string): Promise<readonly PartitionSummary[]> {
  await context.catalog.keyspaces.get(keyspace);
  return summaries(context, keyspace, await context.catalog.partitions.list(keyspace));
}

/** @throws DroverError `InvalidRequest` when there is no such partition */
export async function showPartition(
  context: ControlContext,
  keyspace: string,
  name: string,
): Promise<PartitionDetails> {
  const { catalog } = context;
  const partition = await catalog.partitions.get(keyspace, name);
  const since = context.now() - HOUR_MS;
  const span = { keyspace, from: since, to: since + HOUR_MS };
  const sizes = { from: span.to - GROWTH_SPAN_MS, to: span.to };
  const [[summary], windows, latencies, networks, distinct, migrations, scores, together, readings] = await Promise.all(
    [
      summaries(context, keyspace, [partition]),
      lastHour(context, keyspace),
      catalog.access.latencies(keyspace, since, [0.5, 0.99]),
      catalog.access.clients(keyspace, since),
      catalog.access.distinctClients(keyspace, since),
      catalog.migrations.list({ keyspace, partition: name }, 10),
      scoresNow(context, partition),
      catalog.access.top.usedTogether(span, 1_000),
      catalog.partitionSizes.readings(keyspace, { among: [name] }, sizes),
    ],
  );
  return {
    ...summary!,
    collection: collectionOn(partition, partition.route.source),
    tokens: tokensOf(partition),
    sizeGrowth: sizeGrowth(readings.get(name) ?? [], sizes.to) ?? null,
    fence: partition.route.fence,
    regions: byRegion(
      windows.filter((window) => window.partition === name),
      latencies.filter((latency) => latency.partition === name),
    ),
    networks: networks.get(name)?.slice(0, 10) ?? [],
    distinctNetworks: distinct.get(name) ?? networks.get(name)?.length ?? 0,
    scores,
    together: together.filter(({ a, b }) => a === name || b === name).slice(0, 5),
    migrations,
  };
}

/** Over the last hour, in windows of the policy. */
async function scoresNow(context: ControlContext, { keyspace, name, route }: Partition): Promise<PartitionScores> {
  const { catalog, configuration } = context;
  const windowMs = configuration.policy.access.window;
  const to = context.now();
  const span: ScoredSpan = { from: Math.floor((to - HOUR_MS) / windowMs) * windowMs, to, windowMs };
  const [windows, networks, forecasts, nodes, partitions, roundTrips] = await Promise.all([
    catalog.access.windows(keyspace, span.from, to, windowMs),
    catalog.access.clients(keyspace, span.from),
    catalog.forecasts.latest(keyspace, name),
    catalog.nodes.list(),
    catalog.partitions.list(keyspace),
    catalog.roundTrips.list(),
  ]);
  const region = nodes.find(({ _id }) => _id === route.source)?.region;
  const own = windows.filter(({ partition }) => partition === name);
  const meanRate = rateOf(seriesOf(windows, span)) / Math.max(1, partitions.length);
  return scoresOf(
    context,
    keyspace,
    {
      ...{ name, region, windows: own, networks: networks.get(name) ?? [], forecasts },
      distance: distanceFrom(route.source, roundTrips),
    },
    span,
    meanRate,
  );
}

async function summaries(
  context: ControlContext,
  keyspace: string,
  partitions: readonly Partition[],
): Promise<PartitionSummary[]> {
  const [sizes, windows, running] = await Promise.all([
    partitionSizes(context, keyspace, partitions),
    lastHour(context, keyspace),
    context.catalog.migrations.list({ keyspace, state: 'running' }),
  ]);
  const requests = new Map<string, number>();
  for (const { partition, reads, writes } of windows) {
    requests.set(partition, (requests.get(partition) ?? 0) + reads + writes);
  }
  const migrations = new Map(running.map((migration) => [migration._id, migration]));
  return partitions.map(({ name, route, epoch, handover, lastMovedAt }) => {
    const migration = handover === null ? undefined : migrations.get(handover.migration);
    return {
      keyspace,
      partition: name,
      owner: route.source,
      target: handover?.target ?? null,
      weight: migration?.weight ?? 0,
      epoch,
      state: handover === null ? 'steady' : (migration?.phase ?? 'claimed'),
      documents: sizes.get(name)?.documents ?? null,
      bytes: sizes.get(name)?.bytes ?? null,
      requestsLastHour: requests.get(name) ?? 0,
      lastMovedAt: lastMovedAt === null ? null : new Date(lastMovedAt),
    };
  });
}

function lastHour({ catalog, now }: ControlContext, keyspace: string): Promise<AccessWindow[]> {
  const to = now();
  return catalog.access.windows(keyspace, to - HOUR_MS, to, HOUR_MS);
}

function byRegion(windows: readonly AccessWindow[], latencies: readonly AccessLatency[]): RegionRequests[] {
  const regions = [...new Set(windows.map(({ region }) => region))].map((region): RegionRequests => {
    const own = windows.filter((window) => window.region === region);
    const sum = (of: (window: AccessWindow) => number) => own.reduce((total, window) => total + of(window), 0);
    const reads = sum((window) => window.reads);
    const writes = sum((window) => window.writes);
    const [p50 = null, p99 = null] = latencies.find((latency) => latency.region === region)?.latencyMs ?? [];
    return {
      region,
      reads,
      writes,
      errors: sum((window) => window.errors),
      latencyMsMean: reads + writes === 0 ? 0 : sum((window) => window.latencyMsSum) / (reads + writes),
      latencyMsP50: p50,
      latencyMsP99: p99,
      latencyMsMax: Math.max(0, ...own.map((window) => window.latencyMsMax)),
      traffic: trafficOf(own),
    };
  });
  return regions.sort((a, b) => b.reads + b.writes - (a.reads + a.writes));
}
