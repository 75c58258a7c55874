import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { relativeError } from '../../domain/forecast-error.js';
import type { ScoredForecast } from '../../domain/forecast-error.js';
import type { ModelFamily } from '../../forecasting/model.js';
import { forecastSeries } from '../../forecasting/select.js';
import type { ForecastOptions, ForecastOutcome } from '../../forecasting/select.js';
import { noise, seasonal } from './series-samples.js';

type Made = Extract<ForecastOutcome, { kind: 'forecast' }>;

const options = { seasons: [24], horizon: 12 };

function made(series: readonly number[], more: Partial<ForecastOptions> = {}): Made {
  const outcome = forecastSeries(series, { ...options, ...more });
  if (outcome.kind !== 'forecast') throw new Error(`no forecast: ${JSON.stringify(outcome)}`);
  return outcome;
}

const flat = (length: number, value: number): number[] => new Array<number>(length).fill(value);

/** A family of one model that always says the same. */
const saying =
  (name: string, value: number): ModelFamily =>
  () => [{ name, forecast: (_, { horizon }) => flat(horizon, value) }];

const failing: ModelFamily = () => [
  {
    name: 'failing',
    forecast: () => {
      throw new Error('unreachable executed');
    },
  },
];

describe('too little history', () => {
  it('is said with what is needed: two seasons', () => {
    expect(forecastSeries(flat(47, 5), options)).toEqual({ kind: 'too-little-history', points: 47, needed: 48 });
    expect(forecastSeries([], options)).toMatchObject({ kind: 'too-little-history', points: 0 });
    expect(forecastSeries(flat(9, 5), { seasons: [], horizon: 3 })).toMatchObject({ needed: 10 });
  });

  it('is no reason to wait for the longest season: it is left out until it fits twice', () => {
    const week = { seasons: [168, 24], horizon: 12 };
    expect(made(seasonal(200), week).choice.seasons).toEqual([24]);
    expect(made(seasonal(400), week).choice.seasons).toEqual([24, 168]);
  });

  it('for a backtest leaves the seasonal naive, as nothing was proven better', () => {
    const outcome = made(seasonal(50, { spread: 5 }));
    expect(outcome).toMatchObject({ model: 'seasonal-naive', choice: { origins: 0 } });
    expect(outcome.forecast.mean).toEqual(outcome.naive);
    expect(outcome.forecast.upper[0]).toBeGreaterThan(outcome.naive[0]!);
  });
});

describe('history that is known for longer stretches only', () => {
  const DAY = 96;
  const random = noise(5);
  // Two days of the week are another: only weeks tell. The first three of four weeks are known by the hour.
  const fine = Array.from({ length: 28 * DAY }, (_, t) => {
    const level = Math.floor(t / DAY) % 7 >= 5 ? 20 : 100;
    return level * (1 + 0.5 * Math.sin((2 * Math.PI * t) / DAY)) * (0.5 + random());
  });
  const spread = 21 * DAY;
  const known = fine.map((value, t) => {
    const hour = t - (t % 4);
    return t < spread ? fine.slice(hour, hour + 4).reduce((sum, each) => sum + each, 0) / 4 : value;
  });
  const week = { seasons: [DAY, 7 * DAY], horizon: DAY };
  const end = 26 * DAY;

  it('tells the long season', () => {
    const outcome = made(known.slice(0, end), { ...week, spread });
    expect(outcome.choice.seasons).toEqual([DAY, 7 * DAY]);
    const actual = fine.slice(end, end + DAY);
    const naive = known.slice(end - DAY, end);
    const error = (model: readonly number[]) => relativeError([{ actual, model, naive }])!;
    const daysOnly = made(known.slice(end - 7 * DAY, end), { ...week, seasons: [DAY] });
    expect(error(outcome.forecast.mean)).toBeLessThan(0.75 * error(daysOnly.forecast.mean));
  });

  it('is no evidence of how good forecasts are: it is smoother than what comes', () => {
    const narrow = made(known.slice(0, end), week).choice;
    const { choice } = made(known.slice(0, end), { ...week, spread });
    const width = (quantiles: readonly number[]) => quantiles.at(-3)! - quantiles[2]!;
    const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
    expect(mean(choice.errorQuantiles.map(width))).toBeGreaterThan(1.1 * mean(narrow.errorQuantiles.map(width)));
  });
});

describe('the choice of a model', () => {
  it('keeps the simplest where none is better', () => {
    expect(made(flat(240, 3))).toMatchObject({ model: 'seasonal-naive', forecast: { mean: flat(12, 3) } });
    expect(made(flat(240, 0))).toMatchObject({ forecast: { mean: flat(12, 0), upper: flat(12, 0) } });
  });

  it('takes a model that is clearly better than all others', () => {
    const drop = [...flat(110, 90), ...flat(130, 10)];
    const outcome = made(drop, { families: [saying('right', 10), saying('wrong', 50)], horizon: 24 });
    expect(outcome.model).toBe('right');
    expect(outcome.forecast.mean).toEqual(flat(24, 10));
  });

  it('combines them where they err alike', () => {
    const outcome = made(seasonal(240, { spread: 15 }));
    expect(outcome.model).toBe('combination');
    const { models } = outcome.choice;
    outcome.choice.ends.forEach((_, stretch) =>
      expect(models.reduce((sum, { weights }) => sum + weights[stretch]!, 0)).toBeCloseTo(1, 9),
    );
  });

  it('can be kept: the next forecast makes no backtest, and says the same', () => {
    const series = seasonal(240, { spread: 15 });
    const first = made(series);
    const again = made(series, { choice: JSON.parse(JSON.stringify(first.choice)) as typeof first.choice });
    expect(again.forecast).toEqual(first.forecast);
    expect(() => made(series, { choice: first.choice, horizon: 5 })).toThrow(/choice is for 12 steps, not 5/);
  });

  it('takes the errors of past forecasts into account', () => {
    const families = [saying('low', 49), saying('high', 51)];
    const series = seasonal(240, { spread: 30, amplitude: 0 });
    const weightOfHigh = (past: ForecastOptions['past'] & object) =>
      made(series, { families, past })
        .choice.models.find(({ name }) => name === 'high')!
        .weights.at(-1)!;
    const wrong = [1, 2, 3, 4].map(() => ({ sum: 1e6, count: 1000 }));
    expect(weightOfHigh({ high: wrong })).toBeLessThan(weightOfHigh({}));
    expect(weightOfHigh({ low: wrong })).toBeGreaterThan(weightOfHigh({}));
  });

  it('beats the seasonal naive on a noisy season and on a trend', () => {
    for (const shape of [{ spread: 15 }, { slope: 0.3, spread: 5 }]) {
      const scored = Array.from({ length: 10 }, (_, seed): ScoredForecast => {
        const series = seasonal(252, { ...shape, seed });
        const { forecast, naive } = made(series.slice(0, 240));
        return { actual: series.slice(240), model: forecast.mean, naive };
      });
      expect(relativeError(scored)).toBeLessThan(0.9);
    }
  });

  it('is not thrown off by bursts', () => {
    const random = noise(3);
    const bursts = seasonal(252, { spread: 5 }).map((value) => (random() < 0.03 ? value + 500 : value));
    const { forecast } = made(bursts.slice(0, 240));
    forecast.mean.forEach((value) => expect(value).toBeLessThan(250));
  });

  it('is the same every time', () => {
    const series = seasonal(240, { spread: 20 });
    expect(made(series)).toEqual(made(Float64Array.from(series) as unknown as number[]));
  });
});

describe('what real series have', () => {
  it('gaps: they are neither nights nor forecasts', () => {
    const series = seasonal(480, { spread: 2 });
    const gaps = series.map((value, t) => (t % 50 < 6 ? NaN : value));
    const { forecast } = made(gaps.slice(0, 468));
    forecast.mean.forEach((value, step) => expect(Math.abs(value - series[468 + step]!)).toBeLessThan(8));
  });

  it('a shift of the level: it is followed within hours', () => {
    const series = seasonal(480, { spread: 2 }).map((value, t) => (t < 440 ? value : value + 200));
    const { forecast } = made(series.slice(0, 468));
    forecast.mean.forEach((value, step) => expect(Math.abs(value - series[468 + step]!)).toBeLessThan(20));
  });

  it('silence most of the time', () => {
    const { forecast } = made(seasonal(480).map((_, t) => (t % 100 === 0 ? 40 : 0)));
    expect(forecast.mean).toEqual(flat(12, 0));
  });

  it('another season than was expected', () => {
    const series = seasonal(480, { season: 17, spread: 2 });
    const { forecast } = made(series.slice(0, 468));
    forecast.mean.forEach((value, step) => expect(Math.abs(value - series[468 + step]!)).toBeLessThan(12));
  });
});

describe('a model that fails', () => {
  it('costs only itself, and is reported', () => {
    const { choice } = made(seasonal(240, { spread: 5 }), { families: [failing, saying('other', 50)] });
    expect(choice.failures).toEqual([{ model: 'failing', message: 'unreachable executed' }]);
    expect(choice.models.map(({ name }) => name)).toEqual(['seasonal-naive', 'other']);
  });

  it('costs only itself when it fails at the forecast itself', () => {
    const series = [...flat(168, 90), ...flat(72, 10)];
    const late: ModelFamily = () => [
      {
        name: 'late',
        forecast: (past, request) => {
          if (past.length === series.length) throw new Error('out of memory');
          return flat(request.horizon, 10);
        },
      },
    ];
    const outcome = made(series, { families: [late], horizon: 24 });
    expect(outcome.choice.models.map(({ name }) => name)).toContain('late');
    expect(outcome.forecast.mean).toEqual(outcome.naive);
  });
});

describe('the interval', () => {
  it('covers about what it promises on series it has not seen', () => {
    let inside = 0;
    let all = 0;
    for (let seed = 0; seed < 20; seed++) {
      const series = seasonal(252, { spread: 15, seed });
      const { forecast } = made(series.slice(0, 240));
      series.slice(240).forEach((value, step) => {
        all += 1;
        if (value >= (forecast.lower[step] ?? NaN) && value <= (forecast.upper[step] ?? NaN)) inside += 1;
      });
    }
    expect(inside / all).toBeGreaterThan(0.8);
  });
});

describe('bad input is refused with what is wrong', () => {
  const series = flat(100, 1);
  it.each([
    ['infinity', [Infinity, ...series], {}, /value 0 of 101 is Infinity/],
    ['a negative count', [...series, -1], {}, /value 100 of 101 is -1/],
    ['no horizon', series, { horizon: 0 }, /at least one step, not 0/],
    ['half a season', series, { seasons: [1.5] }, /two whole steps long, not 1.5/],
    ['an impossible level', series, { level: 90 }, /between 0 and 1, not 90/],
    ['no origin', series, { origins: 0 }, /at least one origin, not 0/],
  ] as const)('%s', (_, values, change, message) => {
    expect(() => forecastSeries(values, { ...options, ...change })).toThrow(message);
  });
});

describe('on real accesses (flights of 2013 by carrier and airport)', () => {
  it('forecasts two days better than repeating the last week, from eight weeks of history', () => {
    const windowMs = 6 * 3_600_000;
    const start = Date.UTC(2013, 0, 1);
    const file = new URL('../../../examples/data/flights-2013-h1.csv.gz', import.meta.url);
    const byRegion = new Map<string, number[]>();
    for (const line of gunzipSync(readFileSync(file)).toString().trim().split('\n').slice(1)) {
      const [time = '', , origin = '', , carrier = ''] = line.split(',');
      const name = `${carrier} ${origin}`;
      const series = byRegion.get(name) ?? flat(720, 0);
      byRegion.set(name, series);
      const window = Math.floor((Date.parse(time) - start) / windowMs);
      if (window < series.length) series[window] = (series[window] ?? 0) + 1;
    }
    const scored: ScoredForecast[] = [];
    for (let now = 8 * 28; now + 8 <= 720; now += 240) {
      for (const series of byRegion.values()) {
        const { forecast, naive } = made(series.slice(now - 8 * 28, now), { seasons: [4, 28], horizon: 8 });
        scored.push({ actual: series.slice(now, now + 8), model: forecast.mean, naive });
      }
    }
    expect(scored.length).toBeGreaterThan(100);
    expect(relativeError(scored)).toBeLessThan(1);
  });
});
