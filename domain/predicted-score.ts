import type { AccessWindow } from './access.js';
import { thresholdCrossing } from './crossing.js';
import type { Crossing } from './crossing.js';
import { DroverError } from './errors.js';
import type { Forecast } from './forecast.js';
import { normalHalfWidth } from './normal-distribution.js';
import { accessFrequency, ownershipScore } from './ownership-score.js';
import type { OwnershipMetrics, OwnershipWeights } from './ownership-score.js';

/** Requests per step that are forecast from one region. */
export interface RegionForecast extends Forecast {
  readonly region: string;
}

/** Forecast of one partition's requests, of the same length for every region it is used from. */
export interface PartitionForecast {
  /** Start of the first step, milliseconds since the epoch. */
  readonly start: number;
  /** Length of a step in milliseconds. */
  readonly stepMs: number;
  /** Coverage of the intervals, in (0, 1). */
  readonly level: number;
  readonly regions: readonly RegionForecast[];
}

/** Forecast requests per region over the whole horizon. */
export function forecastRequestsByRegion(forecast: PartitionForecast): ReadonlyMap<string, number> {
  const requests = new Map<string, number>();
  for (const { region, mean } of forecast.regions) {
    requests.set(
      region,
      mean.reduce((sum, value) => sum + value, requests.get(region) ?? 0),
    );
  }
  return requests;
}

/** Forecast requests from all regions together, step by step. */
export function forecastRequestsByStep(forecast: PartitionForecast): number[] {
  const steps = forecast.regions[0]?.mean.length ?? 0;
  return Array.from({ length: steps }, (_, step) =>
    forecast.regions.reduce((sum, { mean }) => sum + (mean[step] ?? 0), 0),
  );
}

/**
 * `ForecastOwnershipScore` of source document 1: the ownership score that the requests forecast over the whole horizon
 * will give, affinity and modification rate staying as they are. `undefined` if no requests are forecast.
 */
export function predictedOwnershipScore(
  forecast: PartitionForecast,
  primaryRegion: string,
  metrics: OwnershipMetrics,
  weights: OwnershipWeights,
): number | undefined {
  const frequency = accessFrequency(forecastRequestsByRegion(forecast), primaryRegion);
  return frequency === undefined ? undefined : ownershipScore({ ...metrics, accessFrequency: frequency }, weights);
}

export interface ScoreCrossingRequest {
  readonly forecast: PartitionForecast;
  readonly primaryRegion: string;
  readonly metrics: OwnershipMetrics;
  readonly weights: OwnershipWeights;
  readonly trigger: number;
  /** Length of the score window in steps of the forecast. */
  readonly scoreWindowSteps: number;
  /** What came before the forecast, on its grid. A window that is not among them had no requests. */
  readonly observed: readonly AccessWindow[];
}

/**
 * When, and with what probability, the ownership score falls below the trigger.
 *
 * The score at a step is that of the last `scoreWindowSteps` steps up to it, so that one quiet night does not look like
 * lost ownership. At the first steps most of these are observed ones, of which nothing is uncertain. Below the trigger means: access frequency below f* = (trigger - wA*a + wM*m) / wF, that is, requests
 * from the primary's region less f* times those from the busiest region less than 0. That difference of two normal
 * variables is normal, taken as independent between regions and fully dependent from step to step, which errs towards
 * wide intervals. With a primary region that is itself the busiest, the next busiest is compared: it is the one that
 * may overtake.
 */
export function scoreCrossing(request: ScoreCrossingRequest): Crossing {
  const { forecast, primaryRegion, metrics, weights, trigger } = request;
  requireWellFormed(forecast);
  const fixedTerms = ownershipScore({ ...metrics, accessFrequency: 0 }, weights);
  const neededFrequency =
    weights.accessFrequency > 0
      ? (trigger - fixedTerms) / weights.accessFrequency
      : fixedTerms < trigger
        ? Infinity
        : -Infinity;
  const z = normalHalfWidth(forecast.level);
  const steps = forecast.regions[0]?.mean.length ?? 0;
  const regions = withObserved(request);
  const differences = Array.from({ length: steps }, (_, step) => {
    const inWindow = regions.map((region) => requestsInWindow(region, step, request, z));
    const own = inWindow.find(({ region }) => region === primaryRegion) ?? NO_REQUESTS;
    const rival = inWindow
      .filter(({ region }) => region !== primaryRegion)
      .reduce((busiest, other) => (other.mean > busiest.mean ? other : busiest), NO_REQUESTS);
    return scoreMargin(own, rival, neededFrequency);
  });
  const halfWidths = differences.map(({ deviation }) => z * deviation);
  const mean = differences.map((difference) => difference.mean);
  return thresholdCrossing(
    {
      mean,
      lower: mean.map((value, step) => value - (halfWidths[step] ?? 0)),
      upper: mean.map((value, step) => value + (halfWidths[step] ?? 0)),
    },
    forecast.level,
    0,
    'below',
  );
}

interface WindowRequests {
  readonly region: string;
  readonly mean: number;
  readonly deviation: number;
}

const NO_REQUESTS: WindowRequests = { region: '', mean: 0, deviation: 0 };

interface ObservedRegion extends RegionForecast {
  /** Requests in the windows before the forecast, by how many steps before it they began. */
  readonly before: ReadonlyMap<number, number>;
}

/** Every region that is forecast or was observed. */
function withObserved({ forecast, observed }: ScoreCrossingRequest): ObservedRegion[] {
  const { start, stepMs } = forecast;
  const ofRegion = new Map(
    forecast.regions.map((region) => [region.region, { ...region, before: new Map<number, number>() }]),
  );
  for (const { region, start: at, reads, writes } of observed) {
    const known = ofRegion.get(region) ?? { region, ...NOTHING_FORECAST, before: new Map<number, number>() };
    ofRegion.set(region, known);
    const stepsAgo = Math.ceil((start - at) / stepMs);
    known.before.set(stepsAgo, (known.before.get(stepsAgo) ?? 0) + reads + writes);
  }
  return [...ofRegion.values()];
}

const NOTHING_FORECAST: Forecast = { mean: [], lower: [], upper: [] };

function requestsInWindow(
  { region, mean, lower, upper, before }: ObservedRegion,
  step: number,
  { scoreWindowSteps }: ScoreCrossingRequest,
  z: number,
): WindowRequests {
  let sum = 0;
  let halfWidth = 0;
  for (let i = step - scoreWindowSteps + 1; i <= step; i++) {
    const middle = mean[i] ?? before.get(-i) ?? 0;
    sum += middle;
    halfWidth += Math.max((upper[i] ?? middle) - middle, middle - (lower[i] ?? middle));
  }
  return { region, mean: sum, deviation: halfWidth / z };
}

/** Requests by which the primary's region stays above the needed frequency; certain where no forecast can change it. */
function scoreMargin(
  own: WindowRequests,
  rival: WindowRequests,
  neededFrequency: number,
): { mean: number; deviation: number } {
  if (own.mean <= 0 && rival.mean <= 0) return { mean: 0, deviation: 0 }; // no requests, no score, no crossing
  if (neededFrequency <= 0) return { mean: 1, deviation: 0 }; // the score cannot fall that low
  if (neededFrequency > 1) return { mean: -1, deviation: 0 }; // the score cannot be that high
  return {
    mean: own.mean - neededFrequency * rival.mean,
    deviation: Math.hypot(own.deviation, neededFrequency * rival.deviation),
  };
}

function requireWellFormed({ regions, level }: PartitionForecast): void {
  if (!(level > 0 && level < 1)) {
    throw new DroverError('InvalidRequest', `The level of an interval is between 0 and 1, not ${level}.`);
  }
  const steps = regions[0]?.mean.length ?? 0;
  for (const { region, mean, lower, upper } of regions) {
    if (mean.length !== steps || lower.length !== steps || upper.length !== steps) {
      throw new DroverError('InvalidRequest', `The forecast of region ${region} does not have ${steps} steps.`);
    }
    if (![...mean, ...lower, ...upper].every(Number.isFinite)) {
      throw new DroverError('InvalidRequest', `The forecast of region ${region} is not finite.`);
    }
  }
}
