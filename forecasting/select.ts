import { DroverError } from '../domain/errors.js';
import { attemptForecast } from './attempt.js';
import { rollingOrigins } from './backtest.js';
import type { BacktestResult } from './backtest.js';
import { COMBINATION, medianForecast } from './combination.js';
import { ets } from './ets.js';
import { coverage, missingWidth, widen } from './interval-calibration.js';
import type { Forecast, ForecastModel, ForecastRequest, Series } from './model.js';
import { mstl } from './mstl.js';
import { race } from './race.js';
import type { ModelFailure } from './race.js';
import { seasonalNaive } from './seasonal-naive.js';

/** The models that race against the seasonal naive, simplest first. */
export const DEFAULT_MODELS: readonly ForecastModel[] = [ets, mstl];

/** Without any season, level and trend still need this many values. */
const MINIMUM_POINTS = 10;

export interface ForecastOptions {
  /** Lengths of the seasons in steps, in any order; those that do not fit twice into the history are left out. */
  readonly seasons: readonly number[];
  /** How many steps ahead; at least 1. */
  readonly horizon: number;
  /** Coverage of the prediction interval, in (0, 1); 0.9 by default. */
  readonly level?: number;
  /** From how many points of the past the models are tried; 3 by default. More cost more. */
  readonly origins?: number;
  /** The models that race against the seasonal naive, which always takes part. */
  readonly models?: readonly ForecastModel[];
}

export type ForecastOutcome =
  | {
      readonly kind: 'too-little-history';
      readonly points: number;
      /** How many points are needed: two of the shortest season. */
      readonly needed: number;
    }
  | {
      readonly kind: 'forecast';
      /** Name of the chosen model; `median` for the combination of all. */
      readonly model: string;
      readonly forecast: Forecast;
      readonly level: number;
      /** What the seasonal naive says, for scoring the forecast when its time has come. */
      readonly naive: Forecast;
      /** The seasons that were used, shortest first. */
      readonly seasons: readonly number[];
      /** Every model that finished the backtest, and their combination, best first; empty if the history was too short for one. */
      readonly backtest: readonly BacktestResult[];
      readonly failures: readonly ModelFailure[];
      /** Share of the backtest's values inside the chosen model's own interval, and how much was added to it for that. */
      readonly coverage: number | undefined;
      readonly widenedBy: number;
    };

/**
 * Forecasts one series of counts by what did best on its own past.
 *
 * Every model forecasts from the same few origins of the past, and so does their combination, the median. It is taken,
 * unless one model alone was clearly better. Where the history leaves no room for that, nothing has been proven better
 * than the seasonal naive, so that is taken. With less than two seasons there is no forecast at all. Deterministic.
 *
 * @throws DroverError `InvalidRequest` if a value is negative or not finite, or an option is out of range.
 * @example forecastSeries(requests, { seasons: [24, 168], horizon: 24 })
 */
export function forecastSeries(series: Series, options: ForecastOptions): ForecastOutcome {
  const { horizon, level = 0.9, origins: count = 3 } = options;
  requireOptions(options, level, count);
  requireCounts(series);

  const values = Float64Array.from(series);
  const points = values.length;
  const needed = Math.max(MINIMUM_POINTS, options.seasons.length > 0 ? 2 * Math.min(...options.seasons) : 0);
  if (points < needed) return { kind: 'too-little-history', points, needed };

  const seasons = [...new Set(options.seasons)].filter((season) => 2 * season <= points).sort((a, b) => a - b);
  const season = seasons.at(-1) ?? 1;
  const request: ForecastRequest = { seasons, horizon, level };
  const minimumHistory = Math.max(MINIMUM_POINTS, 2 * season);
  const origins = rollingOrigins(points, { count, horizon, season, minimumHistory });
  const rivals = (options.models ?? DEFAULT_MODELS).filter(({ name }) => name !== seasonalNaive.name);
  const { winner, results, failures } = race([seasonalNaive, ...rivals], values, request, origins);

  const naive = naiveForecast(values, request);
  const made: { model: string; forecast: Forecast }[] = [];
  const failedNow: ModelFailure[] = [];
  for (const model of winner?.models ?? []) {
    const attempt = attemptForecast(model, values, request);
    if (attempt.kind === 'forecast') made.push({ model: model.name, forecast: attempt.forecast });
    else failedNow.push({ model: model.name, stage: 'forecast', message: attempt.message });
  }
  const [only = { model: seasonalNaive.name, forecast: naive }, ...more] = made;
  const chosen =
    more.length > 0 ? { model: COMBINATION, forecast: medianForecast(made.map(({ forecast }) => forecast)) } : only;
  const widenedBy = winner === undefined ? 0 : missingWidth(winner.forecasts, level);
  return {
    kind: 'forecast',
    model: chosen.model,
    forecast: widen(chosen.forecast, widenedBy),
    level,
    naive,
    seasons,
    backtest: results,
    failures: [...failures, ...failedNow],
    coverage: winner === undefined ? undefined : coverage(winner.forecasts),
    widenedBy,
  };
}

/** The one model that cannot fail on a series with two seasons of finite values. */
function naiveForecast(values: Float64Array, request: ForecastRequest): Forecast {
  const attempt = attemptForecast(seasonalNaive, values, request);
  if (attempt.kind === 'forecast') return attempt.forecast;
  throw new DroverError('InvalidRequest', `The series cannot be forecast: ${attempt.message}.`);
}

function requireOptions({ seasons, horizon }: ForecastOptions, level: number, origins: number): void {
  const invalid = (message: string): DroverError => new DroverError('InvalidRequest', message);
  if (!(Number.isInteger(horizon) && horizon >= 1)) throw invalid(`The horizon is at least one step, not ${horizon}.`);
  if (!(level > 0 && level < 1)) throw invalid(`The level of an interval is between 0 and 1, not ${level}.`);
  if (!(Number.isInteger(origins) && origins >= 1))
    throw invalid(`A backtest has at least one origin, not ${origins}.`);
  const wrong = seasons.find((season) => !(Number.isInteger(season) && season >= 2));
  if (wrong !== undefined) throw invalid(`A season is at least two whole steps long, not ${wrong}.`);
}

function requireCounts(series: Series): void {
  const wrong = series.findIndex((value) => !(Number.isFinite(value) && value >= 0));
  if (wrong >= 0) {
    throw new DroverError(
      'InvalidRequest',
      `A series holds finite values from 0 up, but value ${wrong} of ${series.length} is ${series[wrong]}.`,
    );
  }
}
