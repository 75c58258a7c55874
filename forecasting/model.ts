import type { Forecast } from '../domain/forecast.js';

export type { Forecast };

/** An equally spaced series without gaps, oldest value first; finite and not negative (counts, rates, durations). */
export type Series = Float64Array | readonly number[];

export interface ForecastRequest {
  /** Lengths of the seasons in steps, shortest first, each at least 2 and at most half as long as the series. */
  readonly seasons: readonly number[];
  /** How many steps ahead. */
  readonly horizon: number;
  /** Coverage of the prediction interval, in (0, 1). */
  readonly level: number;
}

/**
 * One way to forecast. A model is deterministic and keeps nothing between calls; it may throw, and may return what is
 * not finite: {@link attemptForecast} turns either into a failure of this model alone. It need not care about negative
 * values of its forecast: they are cut off there, too.
 */
export interface ForecastModel {
  readonly name: string;
  forecast(series: Series, request: ForecastRequest): Forecast;
}
