import { DroverError } from '../domain/errors.js';
import type { ErrorsByModel, ModelChoice } from '../domain/model-choice.js';
import { attemptForecast } from './attempt.js';
import { chooseModels } from './choice.js';
import { combine } from './combination.js';
import { withInterval } from './error-quantiles.js';
import type { Forecast, ForecastModel, ModelFamily } from './model.js';
import { DEFAULT_FAMILIES, modelsFor } from './models.js';
import { prepareSeries } from './prepare.js';
import type { PreparedSeries } from './prepare.js';
import { SEASONAL_NAIVE } from './seasonal-naive.js';
import { seasonsOf } from './seasons.js';
import { stretchOfSteps } from './stretches.js';

/** Name under which a forecast that no single model has half of the weight in appears. */
export const COMBINATION = 'combination';

/** Without any season, level and trend still need this many values. */
const MINIMUM_POINTS = 10;

const ORIGINS = 16;

export interface ForecastOptions {
  /** Expected lengths of the seasons in steps, in any order; those that do not fit twice into the history are left out. */
  readonly seasons: readonly number[];
  /** How many steps ahead; at least 1. */
  readonly horizon: number;
  /** Coverage of the prediction interval, in (0, 1); 0.9 by default. */
  readonly level?: number;
  /** From how many points of the past the models are tried; 16 by default. More cost more. */
  readonly origins?: number;
  /** The models that race against the seasonal naive, which always takes part. */
  readonly families?: readonly ModelFamily[];
  /**
   * So many of the first values are even shares of what is known for a longer time only: models use them, but no forecast of the
   * past is judged by them. 0 by default.
   */
  readonly spread?: number;
  /** A choice made before for this series and horizon: there is no backtest then. */
  readonly choice?: ModelChoice;
  /** Errors of forecasts made before, which count in the choice like those of the backtest. */
  readonly past?: ErrorsByModel;
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
      /** Name of the model that has more than half of the weight; `combination` if none has. */
      readonly model: string;
      readonly forecast: Forecast;
      readonly level: number;
      /** What the seasonal naive says, for scoring the forecast when its time has come. */
      readonly naive: readonly number[];
      /** What each model with a weight says, for the same. */
      readonly byModel: Readonly<Record<string, readonly number[]>>;
      readonly choice: ModelChoice;
    };

/**
 * Forecasts one series of counts by what did well on its own past; `NaN` is a gap. Deterministic.
 *
 * @throws DroverError `InvalidRequest` if a value is negative or not finite, or an option is out of range.
 * @example forecastSeries(requests, { seasons: [24, 168], horizon: 24 })
 */
export function forecastSeries(series: ArrayLike<number>, options: ForecastOptions): ForecastOutcome {
  const { horizon, level = 0.9, origins = ORIGINS } = options;
  requireOptions(options, level, origins);
  requireCounts(series);

  const expected = options.seasons.length > 0 ? Math.min(...options.seasons) : 1;
  const prepared = prepareSeries(series, expected, options.spread);
  const points = prepared.observed.length - prepared.gaps;
  const needed = Math.max(MINIMUM_POINTS, expected > 1 ? 2 * expected : 0);
  if (points < needed) return { kind: 'too-little-history', points, needed };

  const { families = DEFAULT_FAMILIES } = options;
  const choice = options.choice ?? choose(prepared, expected, families, { ...options, origins });
  if (choice.ends.at(-1) !== horizon) {
    throw new DroverError('InvalidRequest', `The choice is for ${choice.ends.at(-1)} steps, not ${horizon}.`);
  }
  const models = modelsFor(families, choice.seasons);
  const made = forecastsOf(models, choice, prepared.values);
  const stretches = stretchOfSteps(choice.ends);
  const [naive, ...others] = made;
  const weighted = made.filter(({ weights }) => weights.some((weight) => weight > 0));
  const mean = combine(weighted.length > 0 ? weighted : [{ ...naive, weights: choice.ends.map(() => 1) }], stretches);
  return {
    kind: 'forecast',
    model: heaviest(choice),
    forecast: withInterval(mean, choice.errorQuantiles, stretches, level),
    level,
    naive: [...naive.mean],
    byModel: Object.fromEntries([naive, ...others].map((each) => [each.name, [...each.mean]])),
    choice,
  };
}

function choose(
  prepared: PreparedSeries,
  expected: number,
  families: readonly ModelFamily[],
  { seasons: expectedSeasons, horizon, origins, past = {} }: ForecastOptions & { readonly origins: number },
): ModelChoice {
  const seasons = seasonsOf(prepared.values, expectedSeasons);
  const unit = Math.max(1, Math.round(expected / 24));
  const models = modelsFor(families, seasons);
  return chooseModels(prepared, { seasons, unit, horizon }, { models, origins, past });
}

interface Made {
  readonly name: string;
  readonly mean: Float64Array;
  readonly weights: readonly number[];
}

/** The seasonal naive's forecast, and those of the models that have a weight. One that fails now is left out. */
function forecastsOf(models: readonly ForecastModel[], choice: ModelChoice, values: Float64Array): [Made, ...Made[]] {
  const { seasons, unit, ends } = choice;
  const made: Made[] = [];
  for (const { name, weights } of choice.models) {
    const model = models.find((each) => each.name === name);
    if (model === undefined || (name !== SEASONAL_NAIVE && !weights.some((weight) => weight > 0))) continue;
    const attempt = attemptForecast(model, values, { seasons, unit, horizon: ends.at(-1)! });
    if (attempt.kind === 'forecast') made.push({ name, mean: attempt.mean, weights });
    else if (name === SEASONAL_NAIVE) {
      throw new DroverError('InvalidRequest', `The series cannot be forecast: ${attempt.message}.`);
    }
  }
  const [naive, ...others] = made;
  if (naive?.name !== SEASONAL_NAIVE) {
    throw new DroverError('InvalidRequest', 'The choice of models does not begin with the seasonal naive.');
  }
  return [naive, ...others];
}

function heaviest({ models, ends }: ModelChoice): string {
  const share = (weights: readonly number[]) => weights.reduce((sum, weight) => sum + weight, 0) / ends.length;
  return models.find(({ weights }) => share(weights) > 0.5)?.name ?? COMBINATION;
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

function requireCounts(series: ArrayLike<number>): void {
  for (let at = 0; at < series.length; at++) {
    const value = series[at]!;
    if (!Number.isNaN(value) && !(Number.isFinite(value) && value >= 0)) {
      throw new DroverError(
        'InvalidRequest',
        `A series holds finite values from 0 up, and NaN for a gap, but value ${at} of ${series.length} is ${value}.`,
      );
    }
  }
}
