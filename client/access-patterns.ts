import { DroverError } from '../domain/errors.js';
import type { HotRange, KnownLoad } from '../domain/hot-subsets.js';
import { hotEntities, hottestRange } from '../domain/hot-subsets.js';
import type { IndexAdvice, ProfiledUse, ShapeUse } from '../domain/index-advice.js';
import { indexAdvice } from '../domain/index-advice.js';
import type { Partition } from '../domain/partition.js';
import { collectionOn, tokensOf } from '../domain/partition.js';
import type { QueryShape } from '../domain/query-shape.js';
import type { SplitPoint } from '../domain/split-points.js';
import { splitPoints } from '../domain/split-points.js';
import type { Token } from '../domain/token.js';
import type { ShapeSpan, UsedShape } from '../store/catalog/query-shapes.js';
import { indexUse } from '../store/index-use.js';
import type { ControlContext } from './context.js';
import { keyOf } from './entity-key.js';
import type { ProfiledNode } from './profiles.js';
import { readProfiles } from './profiles.js';

const HOUR_MS = 3_600_000;
const QUANTILES = [0.5, 0.99] as const;
/** An entity with less of its partition's load than this is not hot. */
const HOT = 0.02;
/** The part of the load that the narrowest range is looked for. */
const HALF = 0.5;
/** Shapes that advice on the indexes of a partition is made from. */
const SHAPES = 500;

export interface AccessPatternsRequest {
  readonly keyspace: string;
  /** Only this one. Default: the busiest. */
  readonly partition?: string;
  /** Begin of the time, Drover's, milliseconds. Default: the last hour. */
  readonly from?: number;
  /** How many shapes, partitions, entities. Default 10. */
  readonly atMost?: number;
  /** Whether the nodes' profilers and statistics of queries are read first. Default true. */
  readonly profiles?: boolean;
}

/** Requests of one shape: field paths and operators, no values. */
export interface ShapePattern {
  /** Such as `find {customerId: $eq} sort {at: -1}`. */
  readonly text: string;
  readonly shape: QueryShape;
  /** As routers counted them; of busy routers an estimate. */
  readonly requests: number;
  /** Of all requests whose shape is known, in [0, 1]. */
  readonly share: number;
  readonly errors: number;
  readonly regions: readonly { readonly region: string; readonly requests: number }[];
  /** Partitions that were asked by themselves, and requests that asked several at once. */
  readonly partitions: number;
  readonly scattered: number;
  readonly latencyMsP50: number | null;
  readonly latencyMsP99: number | null;
  readonly profiled: ProfiledUse | null;
}

export interface HotEntityPattern {
  readonly key: unknown;
  readonly token: Token;
  readonly requests: number;
  readonly share: number;
}

export type RecommendedSplit = SplitPoint & { readonly reason: string };

export interface PartitionPattern {
  readonly partition: string;
  readonly owner: string;
  readonly requests: number;
  /** Of all requests to the keyspace, in [0, 1]. */
  readonly share: number;
  readonly entities: readonly HotEntityPattern[];
  /** The narrowest range of tokens with half of what is known; null where nothing is. */
  readonly range: HotRange | null;
  readonly splits: readonly RecommendedSplit[];
  /** Null where its owner could not be asked. */
  readonly indexes: IndexAdvice | null;
}

export interface AccessPatternsReport {
  readonly keyspace: string;
  readonly from: Date;
  readonly to: Date;
  /** Whose shape is known. */
  readonly requests: number;
  readonly shapes: readonly ShapePattern[];
  readonly partitions: readonly PartitionPattern[];
  readonly nodes: readonly ProfiledNode[];
}

/**
 * What is asked for, in which shapes, and where inside of the partitions the load lies; where to split them by it, and which indexes
 * the destination of a move should build first. Shapes come from routers, and from the nodes where their profilers are on or they have statistics of queries.
 *
 * @throws DroverError `InvalidRequest` when there is no such keyspace or partition, or the time is none
 */
export async function accessPatterns(
  context: ControlContext,
  request: AccessPatternsRequest,
): Promise<AccessPatternsReport> {
  const { catalog, configuration } = context;
  const { keyspace, partition, atMost = 10, profiles = true } = request;
  const to = context.now() + 1;
  const from = request.from ?? to - HOUR_MS;
  if (!(from < to)) throw new DroverError('InvalidRequest', 'the time must begin before now');
  await catalog.keyspaces.get(keyspace);
  const all = await catalog.partitions.list(keyspace);
  const chosen = partition === undefined ? all : [await catalog.partitions.get(keyspace, partition)];
  const nodes = profiles ? await readProfiles(context, all, chosen) : [];
  const span: ShapeSpan = { keyspace, from, to, ...(partition === undefined ? {} : { partition }) };
  const [requests, used, profiled, windows] = await Promise.all([
    catalog.queryShapes.requests(span),
    catalog.queryShapes.busiest(span, atMost, QUANTILES),
    catalog.queryShapes.profiledUse(span, SHAPES),
    catalog.access.windows(keyspace, from, to, configuration.policy.access.window),
  ]);
  const byPartition = new Map<string, number>();
  for (const { partition: name, reads, writes } of windows) {
    byPartition.set(name, (byPartition.get(name) ?? 0) + reads + writes);
  }
  const total = [...byPartition.values()].reduce((sum, each) => sum + each, 0);
  const loaded = chosen
    .map((each) => ({ partition: each, requests: byPartition.get(each.name) ?? 0 }))
    .filter((each) => each.requests > 0 || partition !== undefined)
    .sort((a, b) => b.requests - a.requests || (a.partition.name < b.partition.name ? -1 : 1));
  return {
    keyspace,
    from: new Date(from),
    to: new Date(to),
    requests,
    shapes: used.map((each) => patternOf(each, requests, profiled.get(each.text)?.use)),
    partitions: await Promise.all(
      loaded.slice(0, atMost).map((each) => partitionPattern(context, span, { ...each, total, atMost })),
    ),
    nodes,
  };
}

function patternOf(used: UsedShape, all: number, profiled: ProfiledUse | undefined): ShapePattern {
  const { text, shape, requests, errors, byRegion, partitions, scattered, latencyMs } = used;
  const [p50, p99] = latencyMs.map((ms) => (Number.isNaN(ms) ? null : ms));
  const regions = [...byRegion].map(([region, count]) => ({ region, requests: count }));
  return {
    ...{ text, shape, requests, share: all > 0 ? requests / all : 0, errors },
    regions: regions.sort((a, b) => b.requests - a.requests),
    partitions: partitions.length,
    scattered,
    latencyMsP50: p50 ?? null,
    latencyMsP99: p99 ?? null,
    profiled: profiled ?? null,
  };
}

interface Loaded {
  readonly partition: Partition;
  readonly requests: number;
  readonly total: number;
  readonly atMost: number;
}

async function partitionPattern(
  context: ControlContext,
  { keyspace, from, to }: ShapeSpan,
  { partition, requests, total, atMost }: Loaded,
): Promise<PartitionPattern> {
  const { name, route } = partition;
  const [loads, indexes] = await Promise.all([
    context.catalog.access.tokenLoads(keyspace, name, from),
    // A node that is away must not keep the rest from being told.
    adviceFor(context, { keyspace, from, to, partition: name }, partition).catch(() => null),
  ]);
  const known: KnownLoad = { tokens: tokensOf(partition), loads, requests };
  const keys = new Map<Token, unknown>();
  const named = async (token: Token): Promise<unknown> => {
    if (!keys.has(token)) keys.set(token, await keyOf(context, partition, token));
    return keys.get(token);
  };
  const entities: HotEntityPattern[] = [];
  for (const hot of hotEntities(known, HOT, atMost)) entities.push({ key: await named(hot.token), ...hot });
  const splits: RecommendedSplit[] = [];
  for (const split of splitPoints(known)) {
    const key = split.kind === 'isolate' ? await named(split.entity) : undefined;
    splits.push({ ...split, reason: reasonOf(split, key) });
  }
  return {
    ...{ partition: name, owner: route.source, requests, share: total > 0 ? requests / total : 0 },
    ...{ entities, range: hottestRange(known, HALF) ?? null, splits, indexes },
  };
}

async function adviceFor(
  { catalog, nodes }: ControlContext,
  span: ShapeSpan,
  partition: Partition,
): Promise<IndexAdvice> {
  const { database, dimensions } = await catalog.keyspaces.get(partition.keyspace);
  const client = await nodes.get(partition.route.source);
  const collection = client.db(database).collection(collectionOn(partition, partition.route.source));
  const [used, profiled, indexes] = await Promise.all([
    catalog.queryShapes.busiest(span, SHAPES, []),
    catalog.queryShapes.profiledUse(span, SHAPES),
    indexUse(collection),
  ]);
  const uses = [
    ...used.map(({ shape, requests }): ShapeUse => ({ shape, requests })),
    ...[...profiled.values()].map(({ shape, use }): ShapeUse => ({ shape, requests: 0, profiled: use })),
  ];
  return indexAdvice(uses, indexes, dimensions[0].field);
}

const percent = (share: number): string => `${Math.round(share * 100)} %`;

function reasonOf(split: SplitPoint, key: unknown): string {
  if (split.kind === 'halve') {
    const [below, above] = split.shares;
    return `${percent(below)} of the load lies below it, ${percent(above)} from it on`;
  }
  const [below, own, above] = split.shares;
  const entity = key === undefined ? `token ${split.entity}` : JSON.stringify(key);
  return `${entity} alone has ${percent(own)} of the load; ${percent(below)} lies below it, ${percent(above)} above`;
}
