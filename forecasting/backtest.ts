import { meanAbsoluteError, relativeError } from '../domain/forecast-error.js';
import { attemptForecast } from './attempt.js';
import type { Forecast, ForecastModel, ForecastRequest } from './model.js';

/** How one model did on the past. */
export interface BacktestResult {
  readonly model: string;
  /** In the unit of the series, over all origins and steps. */
  readonly meanAbsoluteError: number;
  /** The model's absolute errors by the seasonal naive's; `undefined` if the naive made none. */
  readonly relativeError: number | undefined;
}

/** A forecast made from the past before an origin, and what came after it. */
export interface BacktestForecast {
  readonly forecast: Forecast;
  readonly actual: readonly number[];
}

export type BacktestOutcome =
  | { readonly kind: 'finished'; readonly forecasts: readonly BacktestForecast[] }
  | { readonly kind: 'failed'; readonly message: string };

export interface OriginOptions {
  readonly count: number;
  readonly horizon: number;
  readonly season: number;
  readonly minimumHistory: number;
}

/**
 * Where the backtest cuts the series: up to `count` origins, oldest first, each with the whole horizon after it and at
 * least `minimumHistory` values before it. They are spread over the last season, so that not all of them fall into the
 * same hour of the day; empty if there is no room for one.
 */
export function rollingOrigins(length: number, options: OriginOptions): number[] {
  const { count, horizon, season, minimumHistory } = options;
  const newest = length - horizon;
  const room = newest - minimumHistory;
  if (room < 0) return [];
  const wanted = Math.max(horizon, Math.ceil(season / count));
  const stride = Math.min(wanted, Math.floor(room / Math.max(1, count - 1)));
  const origins = Array.from({ length: count }, (_, i) => newest - i * stride);
  return [...new Set(origins)].sort((a, b) => a - b);
}

/** Lets a model forecast from each origin. One failed origin fails the model. */
export function backtest(
  model: ForecastModel,
  series: Float64Array,
  request: ForecastRequest,
  origins: readonly number[],
): BacktestOutcome {
  const forecasts: BacktestForecast[] = [];
  for (const origin of origins) {
    const attempt = attemptForecast(model, series.subarray(0, origin), request);
    if (attempt.kind === 'failed') return attempt;
    forecasts.push({ forecast: attempt.forecast, actual: [...series.subarray(origin, origin + request.horizon)] });
  }
  return { kind: 'finished', forecasts };
}

/** Compares what a model forecast with what came, and with what the seasonal naive forecast from the same origins. */
export function scoreBacktest(
  model: string,
  forecasts: readonly BacktestForecast[],
  naive: readonly BacktestForecast[],
): BacktestResult {
  const actual = forecasts.flatMap((f) => f.actual);
  const forecast = forecasts.flatMap((f) => f.forecast.mean);
  return {
    model,
    meanAbsoluteError: meanAbsoluteError(actual, forecast) ?? 0,
    relativeError: relativeError([{ actual, model: forecast, naive: naive.flatMap((f) => f.forecast.mean) }]),
  };
}
