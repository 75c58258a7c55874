import { describe, expect, it } from 'vitest';
import { meanAbsoluteError } from '../../domain/forecast-error.js';
import { attemptForecast } from '../../forecasting/attempt.js';
import type { ForecastModel } from '../../forecasting/model.js';
import { familiesNamed, modelsFor } from '../../forecasting/models.js';
import { noise, seasonal } from './series-samples.js';

const request = { seasons: [24], unit: 1, horizon: 24 };

function forecastOf(model: ForecastModel, series: readonly number[], asked = request): number[] {
  const attempt = attemptForecast(model, Float64Array.from(series), asked);
  if (attempt.kind === 'failed') throw new Error(`${model.name}: ${attempt.message}`);
  return [...attempt.mean];
}

const families = await familiesNamed(['level', 'profile', 'ets', 'mstl', 'arima', 'prophet']);
const models = modelsFor(families, [24]);
const named = (name: string, { seasons } = request): ForecastModel => {
  const found = modelsFor(families, seasons).find((model) => model.name === name);
  if (found === undefined) throw new Error(`there is no model ${name}`);
  return found;
};

describe.each(models.map((model) => [model.name, model] as const))('%s', (_, model) => {
  it('continues a constant series', () => {
    for (const level of [7, 0]) {
      forecastOf(model, new Array<number>(120).fill(level)).forEach((value) => expect(value).toBeCloseTo(level, 1));
    }
  });

  it('gives the same forecast every time, and leaves its input alone', () => {
    const series = Float64Array.from(seasonal(240, { spread: 10 }));
    const before = [...series];
    const first = attemptForecast(model, series, request);
    expect(attemptForecast(model, series, request)).toEqual(first);
    expect([...series]).toEqual(before);
  });
});

describe.each(['seasonal-naive', 'profile', 'profile-levelled', 'ets', 'mstl', 'arima', 'prophet'])('%s', (name) => {
  it('continues a season', () => {
    const series = seasonal(264);
    expect(meanAbsoluteError(series.slice(240), forecastOf(named(name), series.slice(0, 240)))).toBeLessThan(1.5);
  });

  it('continues a season on a finer grid, too', () => {
    const series = seasonal(2304, { season: 288 });
    const asked = { seasons: [288], unit: 12, horizon: 288 };
    const error = meanAbsoluteError(series.slice(2016), forecastOf(named(name, asked), series.slice(0, 2016), asked));
    expect(error).toBeLessThan(2);
  });
});

describe('models differ in what they follow', () => {
  it('a shift of the level: levels and levelled profiles do at once, the seasonal naive does not', () => {
    const series = seasonal(264).map((value, t) => (t < 228 ? value : value + 100));
    const error = (name: string) => meanAbsoluteError(series.slice(240), forecastOf(named(name), series.slice(0, 240)));
    expect(error('profile-levelled-3')).toBeLessThan(error('seasonal-naive')! / 10);
    expect(error('level-3')).toBeLessThan(error('seasonal-naive')!);
  });

  it('a burst: medians do not', () => {
    const series = seasonal(240).map((value, t) => (t % 24 === 5 && t > 216 ? value + 1000 : value));
    expect(Math.max(...forecastOf(named('profile'), series))).toBeLessThan(80);
    expect(Math.max(...forecastOf(named('seasonal-naive'), series))).toBeGreaterThan(1000);
  });
});

describe('an attempt', () => {
  const series = Float64Array.of(1, 2);
  const asked = { seasons: [], unit: 1, horizon: 3 };
  const returning = (values: readonly number[]): ForecastModel => ({ name: 'fake', forecast: () => values });

  it('turns whatever is thrown into a message', () => {
    const throwing = (what: unknown): ForecastModel => ({
      name: 'fake',
      forecast: () => {
        throw what;
      },
    });
    const failed = { kind: 'failed', message: 'no model found' };
    expect(attemptForecast(throwing(new Error('no model found')), series, asked)).toEqual(failed);
    expect(attemptForecast(throwing('no model found'), series, asked)).toEqual(failed);
  });

  it('refuses what is not finite, and steps that are missing', () => {
    const notFinite = { kind: 'failed', message: 'NaN at step 1' };
    expect(attemptForecast(returning([1, NaN, 2]), series, asked)).toEqual(notFinite);
    expect(attemptForecast(returning([1]), series, asked)).toMatchObject({ message: '1 steps instead of 3' });
  });

  it('cuts off what is negative', () => {
    expect(attemptForecast(returning([-1, 2, 0]), series, asked)).toEqual({
      kind: 'forecast',
      mean: Float64Array.of(0, 2, 0),
    });
  });
});

it('arima stays where values were lately, also when its fit is not stable', () => {
  const random = noise(2);
  const bursts = Array.from({ length: 200 }, () => Math.round(20 * random() ** 6 * (random() < 0.1 ? 20 : 1)));
  const asked = { seasons: [], unit: 1, horizon: 200 };
  const most = Math.max(...forecastOf(named('arima', asked), bursts, asked));
  expect(most).toBeLessThanOrEqual(1.5 * Math.max(...bursts));
});
