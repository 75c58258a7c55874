import type { Forecast } from './model.js';

/** Name under which the combination of all models appears beside theirs. */
export const COMBINATION = 'median';

/**
 * The median of several models' forecasts, step by step, of mean and bounds alike.
 *
 * Models err in different directions, so their median is mostly nearer than the best of them, and one model gone wrong
 * does not move it. `lower <= mean <= upper` holds as it holds for each.
 */
export function medianForecast(forecasts: readonly Forecast[]): Forecast {
  const medians = (part: keyof Forecast): number[] =>
    (forecasts[0]?.[part] ?? []).map((_, step) => median(forecasts.map((forecast) => forecast[part][step] ?? 0)));
  return { mean: medians('mean'), lower: medians('lower'), upper: medians('upper') };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? 0) + upper) / 2;
}
