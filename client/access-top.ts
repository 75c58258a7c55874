import type { UsedTogether } from '../domain/access-correlation.js';
import { distanceFrom } from '../domain/region-distance.js';
import { DroverError } from '../domain/errors.js';
import { mobilityScore } from '../domain/mobility-score.js';
import { readOwner } from '../domain/partition.js';
import type { EntitySize, SizeGrowth } from '../domain/size-growth.js';
import { entitySize, GROWTH_SPAN_MS, sizeGrowth } from '../domain/size-growth.js';
import type { Token } from '../domain/token.js';
import type { PartitionScores, ScoredSpan } from './access-scores.js';
import { rateOf, scoresOf, seriesOf } from './access-scores.js';
import type { ControlContext } from './context.js';
import type { EntitiesTogether } from './entities-together.js';
import { entitiesTogether } from './entities-together.js';
import { keyOf } from './entity-key.js';
import type { Traffic } from './traffic.js';
import { trafficOf } from './traffic.js';

const HOUR_MS = 3_600_000;

export interface AccessTopRequest {
  readonly keyspace: string;
  /** Begin and end of the time, Drover's, milliseconds. Default: the last hour. */
  readonly from?: number;
  readonly to?: number;
  /** How many of each. Default 10. */
  readonly atMost?: number;
}

export interface TopPartition extends PartitionScores {
  readonly partition: string;
  readonly owner: string;
  /** Of all requests to the keyspace, in [0, 1]. */
  readonly share: number;
  /** Over the week before the end; null where too little is known. */
  readonly sizeGrowth: SizeGrowth | null;
  /** Null where it is not known of any of its requests. */
  readonly traffic: Traffic | null;
}

export interface TopRegion {
  readonly region: string;
  readonly requests: number;
  readonly share: number;
  /** Null where it is not known of any of them. */
  readonly traffic: Traffic | null;
}

export interface TopEntity {
  /** Its key; undefined where its owner could not be asked, or has no document of it. */
  readonly key: unknown;
  readonly token: Token;
  readonly partition: string;
  /** At least: of each access record the busiest entities alone are known. */
  readonly requests: number;
  readonly share: number;
  /** By its requests of this time, as if they went on; in [0, 1]. */
  readonly mobilityScore: number | null;
  /** Null where it was not looked at: it was not among the busiest when its partition had its turn, or took too long to count. */
  readonly size: EntitySize | null;
}

export interface AccessTopReport {
  readonly keyspace: string;
  readonly from: Date;
  readonly to: Date;
  readonly requests: number;
  readonly partitions: readonly TopPartition[];
  readonly entities: readonly TopEntity[];
  readonly regions: readonly TopRegion[];
  readonly networks: readonly { readonly network: string; readonly requests: number; readonly share: number }[];
  /** Partitions. */
  readonly together: readonly UsedTogether[];
  readonly entitiesTogether: readonly EntitiesTogether[];
  /** The hour from which on they are told: one after `from` where there is too much of it. */
  readonly entitiesTogetherSince: Date;
}

/**
 * What is used most: partitions with their scores, entities, regions, client networks; partitions, and entities, that are used together.
 *
 * @throws DroverError `InvalidRequest` when there is no such keyspace, or the time is none
 */
export async function topAccesses(context: ControlContext, request: AccessTopRequest): Promise<AccessTopReport> {
  const { catalog, configuration } = context;
  const { keyspace, to = context.now(), from = to - HOUR_MS, atMost = 10 } = request;
  if (!(from < to)) throw new DroverError('InvalidRequest', 'the time must begin before it ends');
  await catalog.keyspaces.get(keyspace);
  const windowMs = configuration.policy.access.window;
  const span: ScoredSpan = { from: Math.floor(from / windowMs) * windowMs, to, windowMs };
  const asked = { keyspace, from: span.from, to };
  const [windows, partitions, nodes, roundTrips, clients, entities, networks, together] = await Promise.all([
    catalog.access.windows(keyspace, span.from, to, windowMs),
    catalog.partitions.list(keyspace),
    catalog.nodes.list(),
    catalog.roundTrips.list(),
    catalog.access.clients(keyspace, span.from, { to }),
    catalog.access.top.entities(asked, atMost),
    catalog.access.top.networks(asked, atMost),
    catalog.access.top.usedTogether(asked, atMost),
  ]);
  const total = windows.reduce((sum, { reads, writes }) => sum + reads + writes, 0);
  const byPartition = groupBy(windows, ({ partition }) => partition);
  const regionOf = new Map(nodes.map(({ _id, region }) => [_id, region]));
  const busiest = partitions
    .map((partition) => {
      const own = byPartition.get(partition.name) ?? [];
      return { partition, own, requests: own.reduce((sum, { reads, writes }) => sum + reads + writes, 0) };
    })
    .sort((a, b) => b.requests - a.requests);
  const meanRate = rateOf(seriesOf(windows, span)) / Math.max(1, partitions.length);
  const share = (requests: number) => (total > 0 ? requests / total : 0);
  const named = new Set([
    ...busiest.slice(0, atMost).map(({ partition }) => partition.name),
    ...entities.map((each) => each.partition),
  ]);
  const sizes = await catalog.partitionSizes.readings(
    keyspace,
    { among: [...named] },
    { from: to - GROWTH_SPAN_MS, to },
  );
  const top = await Promise.all(
    busiest.slice(0, atMost).map(async ({ partition: { name, route }, own, requests }): Promise<TopPartition> => {
      const scored = {
        name,
        region: regionOf.get(route.source),
        windows: own,
        networks: clients.get(name) ?? [],
        forecasts: await catalog.forecasts.latest(keyspace, name),
        distance: distanceFrom(route.source, roundTrips),
      };
      const scores = scoresOf(context, keyspace, scored, span, meanRate);
      const growth = sizeGrowth(sizes.get(name) ?? [], to) ?? null;
      const more = { traffic: trafficOf(own), sizeGrowth: growth };
      return { partition: name, owner: route.source, share: share(requests), ...scores, ...more };
    }),
  );
  const regions = [...groupBy(windows, ({ region }) => region)].map(([region, own]) => {
    const requests = own.reduce((sum, { reads, writes }) => sum + reads + writes, 0);
    return { region, requests, share: share(requests), traffic: trafficOf(own) };
  });
  const byName = new Map(partitions.map((partition) => [partition.name, partition]));
  const sameUsers = await entitiesTogether(context, partitions, { span: asked, atMost });
  return {
    keyspace,
    from: new Date(span.from),
    to: new Date(to),
    requests: total,
    partitions: top.filter(({ requests }) => requests > 0),
    entities: await Promise.all(
      entities.map(async (entity) => {
        const partition = byName.get(entity.partition);
        const owner = partition && readOwner(partition, entity.token);
        const region = owner === undefined ? undefined : regionOf.get(owner);
        const mobility =
          owner === undefined || region === undefined
            ? undefined
            : mobilityScore(entity.byRegion, region, distanceFrom(owner, roundTrips));
        return {
          key: partition && (await keyOf(context, partition, entity.token)),
          token: entity.token,
          partition: entity.partition,
          requests: entity.requests,
          share: share(entity.requests),
          mobilityScore: mobility ?? null,
          size: entitySize(sizes.get(entity.partition) ?? [], entity.token, to) ?? null,
        };
      }),
    ),
    regions: regions.sort((a, b) => b.requests - a.requests).slice(0, atMost),
    networks: networks.map((each) => ({ ...each, share: share(each.requests) })),
    together,
    entitiesTogether: sameUsers.pairs,
    entitiesTogetherSince: sameUsers.since,
  };
}

function groupBy<T>(items: readonly T[], keyOfItem: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(keyOfItem(item));
    if (group === undefined) groups.set(keyOfItem(item), [item]);
    else group.push(item);
  }
  return groups;
}
