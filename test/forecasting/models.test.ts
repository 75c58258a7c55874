import { describe, expect, it } from 'vitest';
import { meanAbsoluteError } from '../../domain/forecast-error.js';
import { attemptForecast } from '../../forecasting/attempt.js';
import { ets } from '../../forecasting/ets.js';
import type { Forecast, ForecastModel } from '../../forecasting/model.js';
import { mstl } from '../../forecasting/mstl.js';
import { seasonalNaive } from '../../forecasting/seasonal-naive.js';
import { seasonal } from './series-samples.js';

const request = { seasons: [24], horizon: 24, level: 0.9 };

const forecastOf = (model: ForecastModel, series: readonly number[]): Forecast => {
  const attempt = attemptForecast(model, series, request);
  if (attempt.kind === 'failed') throw new Error(`${model.name}: ${attempt.message}`);
  return attempt.forecast;
};

describe.each([seasonalNaive, ets, mstl].map((model) => [model.name, model] as const))('%s', (_, model) => {
  it('continues a constant series', () => {
    const { mean } = forecastOf(model, new Array<number>(120).fill(7));
    mean.forEach((value) => expect(value).toBeCloseTo(7, 3));
  });

  it('continues silence with silence', () => {
    const { mean, upper } = forecastOf(model, new Array<number>(120).fill(0));
    [...mean, ...upper].forEach((value) => expect(value).toBeCloseTo(0, 6));
  });

  it('continues a season', () => {
    const series = seasonal(264);
    const error = meanAbsoluteError(series.slice(240), forecastOf(model, series.slice(0, 240)).mean);
    expect(error).toBeLessThan(1);
  });

  it('never forecasts less than nothing, and keeps the mean inside its interval', () => {
    const falling = seasonal(240, { level: 30, slope: -0.15, amplitude: 25, spread: 10 });
    const { mean, lower, upper } = forecastOf(model, falling);
    mean.forEach((value, step) => {
      expect(lower[step]).toBeGreaterThanOrEqual(0);
      expect(value).toBeGreaterThanOrEqual(lower[step] ?? NaN);
      expect(value).toBeLessThanOrEqual(upper[step] ?? NaN);
    });
  });

  it('gives the same forecast every time, and leaves its input alone', () => {
    const series = Object.freeze(seasonal(240, { spread: 10 }));
    expect(forecastOf(model, series)).toEqual(forecastOf(model, series));
  });
});

describe('the models against the seasonal naive', () => {
  it('follow a trend, which it cannot', () => {
    const series = seasonal(264, { slope: 0.5, spread: 2 });
    const error = (model: ForecastModel): number =>
      meanAbsoluteError(series.slice(240), forecastOf(model, series.slice(0, 240)).mean) ?? NaN;
    expect(error(ets)).toBeLessThan(error(seasonalNaive) / 2);
    expect(error(mstl)).toBeLessThan(error(seasonalNaive) / 2);
  });
});

describe('an attempt', () => {
  const returning = (forecast: Forecast): ForecastModel => ({ name: 'fake', forecast: () => forecast });
  const flat = (value: number): number[] => new Array<number>(24).fill(value);

  it('turns whatever is thrown into a message', () => {
    const throwing = (what: unknown): ForecastModel => ({
      name: 'fake',
      forecast: () => {
        throw what;
      },
    });
    const failed = { kind: 'failed', message: 'no model found' };
    expect(attemptForecast(throwing(new Error('no model found')), [], request)).toEqual(failed);
    expect(attemptForecast(throwing('no model found'), [], request)).toEqual(failed);
  });

  it('refuses what is not finite, and steps that are missing', () => {
    const nan = returning({ mean: flat(1), lower: flat(0), upper: flat(NaN) });
    expect(attemptForecast(nan, [], request)).toEqual({ kind: 'failed', message: 'upper is NaN at step 0' });
    const short = returning({ mean: [1], lower: [0], upper: [2] });
    expect(attemptForecast(short, [], request)).toMatchObject({ message: 'mean has 1 steps instead of 24' });
  });

  it('cuts off what is negative', () => {
    const attempt = attemptForecast(returning({ mean: flat(-1), lower: flat(-3), upper: flat(2) }), [], request);
    expect(attempt).toEqual({ kind: 'forecast', forecast: { mean: flat(0), lower: flat(0), upper: flat(2) } });
  });
});
