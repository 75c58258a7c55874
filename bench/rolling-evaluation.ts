import { thresholdCrossing } from '../domain/crossing.js';
import { attemptForecast } from '../forecasting/attempt.js';
import type { ForecastModel } from '../forecasting/model.js';
import { prepareSeries } from '../forecasting/prepare.js';
import { forecastSeries } from '../forecasting/select.js';
import type { RealSeries } from './real-series.js';

const HOUR_MS = 3_600_000;

/** What the automatic choice is called beside the models. */
export const AUTOMATIC = 'automatic choice';

/** How good forecasts of one series were, over all origins and steps that were observed. */
export interface Evaluation {
  readonly series: RealSeries;
  readonly hours: number;
  /** Mean absolute errors by model; a model that failed once is left out. */
  readonly errors: ReadonlyMap<string, number>;
  /** Mean absolute difference of one season to the next in the history: what MASE divides by. */
  readonly scale: number;
  readonly steps: number;
  /** How many of the steps lay inside of the interval, by its level. */
  readonly inside: ReadonlyMap<number, number>;
  /** Forecast probability that a step lies above a threshold, and whether it did. */
  readonly crossings: readonly (readonly [probability: number, came: boolean])[];
}

export const LEVELS = [0.8, 0.95] as const;

/** Thresholds of the crossings: quantiles of the history. */
const THRESHOLDS = [0.5, 0.75, 0.9];

/**
 * Forecasts from `origins` points spread over the series, each with the history that a forecast would have had then.
 *
 * @param models those to be measured beside the automatic choice, the seasonal naive first
 */
export function evaluate(
  series: RealSeries,
  hours: number,
  origins: number,
  models: readonly ForecastModel[],
): Evaluation {
  const horizon = Math.round((hours * HOUR_MS) / series.stepMs);
  const { values, history, seasons } = series;
  const room = values.length - history - horizon;
  const sums = new Map<string, number>();
  const failed = new Set<string>();
  const inside = new Map<number, number>();
  const crossings: (readonly [number, boolean])[] = [];
  const scales: number[] = [];
  let steps = 0;
  for (let i = 0; i < origins; i++) {
    const origin = history + Math.round((i * room) / (origins - 1));
    const past = values.slice(origin - history, origin);
    const actual = values.subarray(origin, origin + horizon);
    const forEach = (visit: (value: number, step: number) => void) =>
      actual.forEach((value, step) => {
        if (!Number.isNaN(value)) visit(value, step);
      });
    const addError = (name: string, mean: ArrayLike<number>) =>
      forEach((value, step) => sums.set(name, (sums.get(name) ?? 0) + Math.abs(value - mean[step]!)));

    const made = forecastSeries(past, { seasons, horizon, level: LEVELS[0] });
    if (made.kind !== 'forecast') throw new Error(`${series.name}: ${made.kind}`);
    addError(AUTOMATIC, made.forecast.mean);
    const prepared = prepareSeries(past, seasons[0]!).values;
    for (const model of models) {
      const attempt = attemptForecast(model, prepared, { seasons, unit: Math.max(1, seasons[0]! / 24), horizon });
      if (attempt.kind === 'forecast') addError(model.name, attempt.mean);
      else failed.add(model.name);
    }
    forEach(() => (steps += 1));
    for (const level of LEVELS) {
      const again = forecastSeries(past, { seasons, horizon, level, choice: made.choice });
      if (again.kind !== 'forecast') throw new Error(`${series.name}: ${again.kind}`);
      const { lower, upper } = again.forecast;
      forEach((value, step) => {
        if (value >= lower[step]! && value <= upper[step]!) inside.set(level, (inside.get(level) ?? 0) + 1);
      });
    }
    const sorted = prepared.slice().sort();
    for (const share of THRESHOLDS) {
      const threshold = sorted[Math.floor(share * (sorted.length - 1))]!;
      const { probability } = thresholdCrossing(made.forecast, LEVELS[0], threshold, 'above');
      forEach((value, step) => crossings.push([probability[step]!, value > threshold]));
    }
    scales.push(seasonalDifference(prepared, seasons.at(-1)!));
  }
  return {
    series,
    hours,
    errors: new Map([...sums].filter(([name]) => !failed.has(name)).map(([name, sum]) => [name, sum / steps])),
    scale: mean(scales),
    steps,
    inside,
    crossings,
  };
}

const seasonalDifference = (values: Float64Array, season: number): number =>
  mean(Array.from(values.subarray(season), (value, i) => Math.abs(value - values[i]!)));

export const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

export const geometricMean = (values: readonly number[]): number => Math.exp(mean(values.map(Math.log)));
