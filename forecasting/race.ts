import { backtest, scoreBacktest } from './backtest.js';
import type { BacktestForecast, BacktestResult } from './backtest.js';
import { COMBINATION, medianForecast } from './combination.js';
import type { ForecastModel, ForecastRequest } from './model.js';

/** A model that failed, and where: it was left out, the forecast comes from the others. */
export interface ModelFailure {
  readonly model: string;
  readonly stage: 'backtest' | 'forecast';
  readonly message: string;
}

/** One that finished the backtest: a single model, or the combination of all that did. */
export interface Racer {
  readonly models: readonly ForecastModel[];
  readonly result: BacktestResult;
  readonly forecasts: readonly BacktestForecast[];
}

export interface Race {
  /** Who forecasts; `undefined` if there was no origin to start from. */
  readonly winner: Racer | undefined;
  /** All who finished, smallest error first. */
  readonly results: readonly BacktestResult[];
  readonly failures: readonly ModelFailure[];
}

/**
 * A single model is chosen only if its error is at most this share of the combination's. A few origins are a small
 * sample: the model that came first on it by a little is often not the better one, the combination mostly is.
 */
const CLEARLY_BETTER = 0.8;

/** Backtests the models, the seasonal naive first, and chooses. Of equals the one that stands earlier wins. */
export function race(
  [naive, ...others]: readonly [ForecastModel, ...ForecastModel[]],
  series: Float64Array,
  request: ForecastRequest,
  origins: readonly number[],
): Race {
  if (origins.length === 0) return { winner: undefined, results: [], failures: [] };
  const failures: ModelFailure[] = [];
  const singles: Racer[] = [];
  let naiveForecasts: readonly BacktestForecast[] | undefined;
  for (const model of [naive, ...others]) {
    const outcome = backtest(model, series, request, origins);
    if (outcome.kind === 'failed') {
      failures.push({ model: model.name, stage: 'backtest', message: outcome.message });
      continue;
    }
    const { forecasts } = outcome;
    naiveForecasts ??= forecasts;
    singles.push({ models: [model], result: scoreBacktest(model.name, forecasts, naiveForecasts), forecasts });
  }
  const best = bestFirst(singles)[0];
  const combined = singles.length > 1 && naiveForecasts !== undefined ? combine(singles, naiveForecasts) : undefined;
  const winner =
    best !== undefined && combined !== undefined && error(best) > CLEARLY_BETTER * error(combined) ? combined : best;
  const racers = combined === undefined ? singles : [...singles, combined];
  return { winner, results: bestFirst(racers).map(({ result }) => result), failures };
}

function combine(singles: readonly Racer[], naive: readonly BacktestForecast[]): Racer {
  const forecasts = naive.map(({ actual }, origin) => ({
    actual,
    forecast: medianForecast(singles.flatMap((single) => single.forecasts[origin]?.forecast ?? [])),
  }));
  return {
    models: singles.flatMap(({ models }) => models),
    result: scoreBacktest(COMBINATION, forecasts, naive),
    forecasts,
  };
}

const error = (racer: Racer): number => racer.result.meanAbsoluteError;

const bestFirst = (racers: readonly Racer[]): Racer[] => [...racers].sort((a, b) => error(a) - error(b));
