import type { Forecast } from '../domain/forecast.js';

export type { Forecast };

/** An equally spaced series without gaps, oldest value first; finite and not negative (counts, rates, durations). */
export type Series = Float64Array;

export interface ForecastRequest {
  /** Lengths of the seasons in steps, shortest first, each at least 2 and at most half as long as the series. */
  readonly seasons: readonly number[];
  /** A twenty-fourth of the shortest season in steps, at least 1: an hour, where that season is a day. */
  readonly unit: number;
  /** How many steps ahead. */
  readonly horizon: number;
}

/**
 * One way to say what comes next, one value a step. A model is deterministic and keeps nothing between calls; it may
 * throw, and may return what is not finite or negative: {@link attemptForecast} sees to that. How wrong a model is, and
 * so the interval, is measured by the backtest, for all models alike.
 */
export interface ForecastModel {
  readonly name: string;
  /** Takes milliseconds: it goes through a whole backtest only where a short one shows that this pays. */
  readonly costly?: true;
  forecast(series: Series, request: ForecastRequest): ArrayLike<number>;
}

/** Models of one kind, those of them that make sense with these seasons (in steps, shortest first). */
export type ModelFamily = (seasons: readonly number[]) => readonly ForecastModel[];
