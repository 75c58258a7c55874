import type { AccessWindow } from './access.js';

/**
 * Ownership score (source document 1, "Partition Ownership Scoring"): how tied a partition is to its current primary.
 */

/** Weights wF, wA and wM, each 0 or more; configurable per environment and per partition type. */
export interface OwnershipWeights {
  readonly accessFrequency: number;
  readonly clientAffinity: number;
  readonly modificationRate: number;
}

/** The same weights as the policy names them. */
export interface ScoreWeights {
  readonly frequency: number;
  readonly affinity: number;
  readonly modification: number;
}

export interface OwnershipPolicy {
  readonly weights: ScoreWeights;
  /** Weights by the type of a partition. */
  readonly perType: Readonly<Record<string, ScoreWeights>>;
  /** Types by keyspace (`shop.orders`), or by partition (`shop.orders/p3`), which comes first. */
  readonly types: Readonly<Record<string, string>>;
}

/** The weights for one partition: those of its type, where it has one. */
export function ownershipWeights(
  { weights, perType, types }: OwnershipPolicy,
  keyspace: string,
  partition: string,
): OwnershipWeights {
  const type = types[`${keyspace}/${partition}`] ?? types[keyspace];
  const { frequency, affinity, modification } = (type === undefined ? undefined : perType[type]) ?? weights;
  return { accessFrequency: frequency, clientAffinity: affinity, modificationRate: modification };
}

/** The three metrics of the score, each in [0, 1]. */
export interface OwnershipMetrics {
  readonly accessFrequency: number;
  readonly clientAffinity: number;
  readonly modificationRate: number;
}

/** Lower bounds of the bands: High from `high` on, Medium from `medium` on, Low below. */
export interface OwnershipThresholds {
  readonly high: number;
  readonly medium: number;
}

export type OwnershipBand = 'High' | 'Medium' | 'Low';

/** With these weights the score of a partition lies in [-0.1, 0.9]. */
export const DEFAULT_OWNERSHIP_WEIGHTS: OwnershipWeights = {
  accessFrequency: 0.8,
  clientAffinity: 0.1,
  modificationRate: 0.1,
};

export const DEFAULT_OWNERSHIP_THRESHOLDS: OwnershipThresholds = { high: 0.7, medium: 0.4 };

/** Metric 1 to 3 of the given windows of one partition; `undefined` if there were no requests: nothing is known then. */
export function ownershipMetrics(
  windows: readonly AccessWindow[],
  primaryRegion: string,
): OwnershipMetrics | undefined {
  const frequency = accessFrequency(requestsByRegion(windows), primaryRegion);
  const modifications = modificationRate(windows);
  if (frequency === undefined || modifications === undefined) return undefined;
  return { accessFrequency: frequency, clientAffinity: clientAffinity(windows), modificationRate: modifications };
}

/** Reads and writes per region. */
export function requestsByRegion(windows: readonly AccessWindow[]): ReadonlyMap<string, number> {
  const requests = new Map<string, number>();
  for (const window of windows) {
    requests.set(window.region, (requests.get(window.region) ?? 0) + window.reads + window.writes);
  }
  return requests;
}

/**
 * Metric 1, access frequency, in [0, 1]: requests from the primary's region, divided by those from the busiest region.
 *
 * The document counts requests; a count has no upper bound, so no weight would mean the same for two partitions. Of
 * the ways to normalise it, relative to the partition's own busiest region says what the score is about: 1 means that
 * the primary stands where the partition is used most, 0.5 that some other region uses it twice as much. It does not
 * depend on how busy the partition is, nor on the number of regions, as a share of all requests would.
 *
 * `undefined` when no region made a request.
 */
export function accessFrequency(requests: ReadonlyMap<string, number>, primaryRegion: string): number | undefined {
  const busiest = Math.max(0, ...requests.values());
  return busiest > 0 ? (requests.get(primaryRegion) ?? 0) / busiest : undefined;
}

/**
 * Metric 2, client affinity, in [0, 1]: concentration of the requests over client networks, by the normalised
 * Herfindahl index (H - 1/N) / (1 - 1/N), H the sum of the squared shares of N networks. 1: all from one network; 0:
 * spread evenly.
 *
 * A window names the busiest networks only. Each request beyond them counts as a network of its own, so that what was
 * left out never looks like concentration. Without any request there is no affinity to be seen: 0.
 */
export function clientAffinity(windows: readonly AccessWindow[]): number {
  const networks = new Map<string, number>();
  let requests = 0;
  for (const window of windows) {
    requests += window.reads + window.writes;
    for (const [network, count] of window.clients) networks.set(network, (networks.get(network) ?? 0) + count);
  }
  const named = [...networks.values()].filter((count) => count > 0);
  const sumNamed = named.reduce((sum, count) => sum + count, 0);
  const others = Math.max(0, requests - sumNamed);
  const total = sumNamed + others;
  const n = named.length + others;
  if (total === 0) return 0;
  if (n <= 1) return 1;
  const herfindahl = (named.reduce((sum, count) => sum + count * count, 0) + others) / (total * total);
  return clampToUnit((herfindahl - 1 / n) / (1 - 1 / n));
}

/** Metric 3, data modification rate, in [0, 1]: writes divided by requests; `undefined` without requests. */
export function modificationRate(windows: readonly AccessWindow[]): number | undefined {
  const writes = windows.reduce((sum, window) => sum + window.writes, 0);
  const requests = windows.reduce((sum, window) => sum + window.reads + window.writes, 0);
  return requests > 0 ? writes / requests : undefined;
}

/**
 * `OwnershipScore = (AccessFrequencyWeight * AccessFrequency) + (ClientAffinityWeight * ClientAffinity) -
 * (ModificationRateWeight * ModificationRate)`, in [-wM, wF + wA].
 *
 * @example ownershipScore({ accessFrequency: 1, clientAffinity: 0.5, modificationRate: 0.2 }, weights)
 */
export function ownershipScore(metrics: OwnershipMetrics, weights: OwnershipWeights): number {
  return (
    weights.accessFrequency * metrics.accessFrequency +
    weights.clientAffinity * metrics.clientAffinity -
    weights.modificationRate * metrics.modificationRate
  );
}

export function ownershipBand(score: number, thresholds: OwnershipThresholds): OwnershipBand {
  if (score >= thresholds.high) return 'High';
  return score >= thresholds.medium ? 'Medium' : 'Low';
}

const clampToUnit = (value: number): number => Math.min(1, Math.max(0, value));
