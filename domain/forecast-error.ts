import { DroverError } from './errors.js';

/** What was forecast for some steps, by a model and by the seasonal naive, against what came. */
export interface ScoredForecast {
  readonly actual: readonly number[];
  readonly model: readonly number[];
  readonly naive: readonly number[];
}

/** Sum of |actual - forecast| over the steps, in the unit of the series. */
export function sumOfAbsoluteErrors(actual: readonly number[], forecast: readonly number[]): number {
  if (actual.length !== forecast.length) {
    throw new DroverError(
      'InvalidRequest',
      `${actual.length} actual values cannot be compared with ${forecast.length} forecast ones.`,
    );
  }
  return actual.reduce((sum, value, step) => sum + Math.abs(value - (forecast[step] ?? 0)), 0);
}

/**
 * Mean absolute error, in the unit of the series; `undefined` without any step.
 *
 * @throws DroverError `InvalidRequest` if the lengths differ.
 */
export function meanAbsoluteError(actual: readonly number[], forecast: readonly number[]): number | undefined {
  const sum = sumOfAbsoluteErrors(actual, forecast);
  return actual.length === 0 ? undefined : sum / actual.length;
}

/**
 * Error relative to the seasonal naive: the model's absolute errors, summed over all series and steps, divided by the
 * seasonal naive's. Below 1 the model is better than repeating the last season.
 *
 * Like MASE (Hyndman and Koehler 2006), but against the naive's errors over the very same steps, and pooled: series
 * count by their volume, as requests do, and a quiet series cannot blow the ratio up. `undefined` when the naive made
 * no error at all: then there is nothing to divide by.
 *
 * @throws DroverError `InvalidRequest` if lengths differ.
 */
export function relativeError(forecasts: readonly ScoredForecast[]): number | undefined {
  const model = forecasts.reduce((sum, f) => sum + sumOfAbsoluteErrors(f.actual, f.model), 0);
  const naive = forecasts.reduce((sum, f) => sum + sumOfAbsoluteErrors(f.actual, f.naive), 0);
  return naive === 0 ? undefined : model / naive;
}
