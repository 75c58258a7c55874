import type { AccessWindow } from '../domain/access.js';
import { growth } from '../domain/growth.js';
import { heat, recentRate, requestsPerSecond } from '../domain/heat.js';
import { mobilityScore } from '../domain/mobility-score.js';
import type { OwnershipBand } from '../domain/ownership-score.js';
import {
  ownershipBand,
  ownershipMetrics,
  ownershipScore,
  ownershipWeights,
  requestsByRegion,
} from '../domain/ownership-score.js';
import { forecastRequestsByRegion } from '../domain/predicted-score.js';
import type { ForecastDocument } from '../store/catalog/forecasts.js';
import type { ControlContext } from './context.js';

const DAY_MS = 24 * 3_600_000;
/** Half-life of the rate that heat is made of, in windows. */
const HALF_LIFE = 6;

/** What is known of how a partition is used (docs/scores.md); null where that says nothing, such as without requests. */
export interface PartitionScores {
  readonly requests: number;
  readonly requestsPerSecond: number;
  /** Share of its requests, in [0, 1], that come from its owner's region, relative to the region that uses it most. */
  readonly accessFrequency: number | null;
  /** Concentration over client networks, in [0, 1]. */
  readonly clientAffinity: number | null;
  /** Writes per request, in [0, 1]. */
  readonly modificationRate: number | null;
  readonly ownershipScore: number | null;
  readonly band: OwnershipBand | null;
  /** Of its newest forecast; in [0, 1]. */
  readonly mobilityScore: number | null;
  /** Among the partitions of its keyspace: 0.5 is the mean, in [0, 1). */
  readonly heat: number | null;
  /** Share by which its load grows in a day. */
  readonly growthPerDay: number | null;
}

export interface ScoredSpan {
  readonly from: number;
  readonly to: number;
  readonly windowMs: number;
}

export interface ScoredPartition {
  readonly name: string;
  /** Region of its owner; undefined where that is no known node. */
  readonly region: string | undefined;
  readonly windows: readonly AccessWindow[];
  readonly networks: readonly (readonly [network: string, requests: number])[];
  readonly forecasts: readonly ForecastDocument[];
  /** Of regions from its owner, in [0, 1]. */
  readonly distance: (region: string) => number;
}

/** @param meanRate requests per window of a partition of the keyspace, the mean of all */
export function scoresOf(
  { configuration }: Pick<ControlContext, 'configuration'>,
  keyspace: string,
  { name, region, windows, networks, forecasts, distance }: ScoredPartition,
  span: ScoredSpan,
  meanRate: number,
): PartitionScores {
  const { score } = configuration.policy;
  // Networks are known for the whole time: any one window may carry them.
  const withNetworks = windows.map((window, i) => (i === 0 ? { ...window, clients: networks } : window));
  const metrics = region === undefined ? undefined : ownershipMetrics(withNetworks, region);
  const owned = metrics && ownershipScore(metrics, ownershipWeights(score, keyspace, name));
  const requests = [...requestsByRegion(windows).values()].reduce((sum, each) => sum + each, 0);
  const series = seriesOf(windows, span);
  return {
    requests,
    requestsPerSecond: requestsPerSecond(requests, span.to - span.from),
    accessFrequency: metrics?.accessFrequency ?? null,
    clientAffinity: metrics?.clientAffinity ?? null,
    modificationRate: metrics?.modificationRate ?? null,
    ownershipScore: owned ?? null,
    band: owned === undefined ? null : ownershipBand(owned, score.bands),
    mobilityScore: (region === undefined ? undefined : mobilityOf(forecasts, region, distance)) ?? null,
    heat: heat(rateOf(series), meanRate) ?? null,
    growthPerDay: growth(series, DAY_MS / span.windowMs) ?? null,
  };
}

/** Requests per window now, with more weight on the newest. */
export const rateOf = (series: readonly number[]): number => recentRate(series, HALF_LIFE);

/** Requests of a partition from all regions, window by window without gaps. */
export function seriesOf(windows: readonly AccessWindow[], { from, to, windowMs }: ScoredSpan): number[] {
  const series = new Array<number>(Math.max(0, Math.ceil((to - from) / windowMs))).fill(0);
  for (const { start, reads, writes } of windows) {
    const i = Math.floor((start - from) / windowMs);
    if (i >= 0 && i < series.length) series[i]! += reads + writes;
  }
  return series;
}

function mobilityOf(
  forecasts: readonly ForecastDocument[],
  region: string,
  distance: (region: string) => number,
): number | undefined {
  const [first] = forecasts;
  if (first === undefined) return undefined;
  const forecast = { start: first.madeAt.getTime(), stepMs: first.windowMs, level: first.level, regions: forecasts };
  return mobilityScore(forecastRequestsByRegion(forecast), region, distance);
}
