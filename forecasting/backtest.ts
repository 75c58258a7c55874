import { attemptForecast } from './attempt.js';
import type { ForecastModel, ForecastRequest } from './model.js';

/** Where the backtest cuts a series, and what came after each cut. */
export interface Backtest {
  /** Oldest first. */
  readonly origins: readonly number[];
  readonly values: Float64Array;
  /** What is known at each origin: the same array for all models, so that they can share what they find out about it. */
  readonly pasts: readonly Float64Array[];
  /** Values that were filled in are no evidence. */
  readonly observed: readonly boolean[];
  readonly request: ForecastRequest;
}

export type BacktestOutcome =
  | { readonly kind: 'finished'; readonly means: readonly Float64Array[] }
  | { readonly kind: 'failed'; readonly message: string };

export interface OriginOptions {
  readonly count: number;
  readonly horizon: number;
  readonly seasons: readonly number[];
  /** Nothing is forecast from a point before this one; 0 by default. */
  readonly notBefore?: number;
}

/** A backtest looks back over so many of the shortest season, or of the longest, whichever is more. */
const SHORTEST_BACK = 4;
const LONGEST_BACK = 2;

/** Before its first cut a backtest leaves two of the longest season, and half of the shortest. */
const historyBefore = (seasons: readonly number[], length: number): number =>
  seasons.length === 0 ? Math.min(10, length) : 2 * seasons.at(-1)! + Math.floor(seasons[0]! / 2);

/**
 * Up to `count` origins, oldest first, each with the whole horizon after it and enough history before it, evenly over
 * the last seasons, so that they fall into all hours of the day. None if there is no room.
 */
export function rollingOrigins(length: number, { count, horizon, seasons, notBefore = 0 }: OriginOptions): number[] {
  const newest = length - horizon;
  const room = newest - Math.max(notBefore, historyBefore(seasons, length));
  if (room < 0) return [];
  const wanted = Math.max(SHORTEST_BACK * (seasons[0] ?? horizon), LONGEST_BACK * (seasons.at(-1) ?? horizon));
  const span = Math.min(room, wanted);
  const origins = Array.from({ length: count }, (_, i) => newest - Math.round((i * span) / Math.max(1, count - 1)));
  return [...new Set(origins)].sort((a, b) => a - b);
}

export const backtestFrom = (origins: readonly number[], rest: Omit<Backtest, 'origins' | 'pasts'>): Backtest => ({
  ...rest,
  origins,
  pasts: origins.map((origin) => rest.values.subarray(0, origin)),
});

/** Only some of the origins, by their numbers. */
export const atOrigins = (backtest: Backtest, chosen: readonly number[]): Backtest => ({
  ...backtest,
  origins: chosen.map((origin) => backtest.origins[origin]!),
  pasts: chosen.map((origin) => backtest.pasts[origin]!),
});

/** Lets a model forecast from each origin. One failed origin fails the model. */
export function backtestModel(model: ForecastModel, { pasts, request }: Backtest): BacktestOutcome {
  const means: Float64Array[] = [];
  for (const past of pasts) {
    const attempt = attemptForecast(model, past, request);
    if (attempt.kind === 'failed') return attempt;
    means.push(attempt.mean);
  }
  return { kind: 'finished', means };
}

/** Calls back for each observed value after each origin. */
export function forEachOutcome(
  { origins, values, observed, request }: Backtest,
  visit: (actual: number, step: number, origin: number) => void,
): void {
  origins.forEach((start, origin) => {
    for (let step = 0; step < request.horizon; step++) {
      if (observed[start + step] === true) visit(values[start + step]!, step, origin);
    }
  });
}
