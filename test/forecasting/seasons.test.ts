import { describe, expect, it } from 'vitest';
import { seasonsOf, strongestPeriod } from '../../forecasting/seasons.js';
import { noise, seasonal } from './series-samples.js';

const of = (series: readonly number[]) => Float64Array.from(series);

describe('seasons', () => {
  it('are the expected ones that fit twice', () => {
    expect(seasonsOf(of(seasonal(200)), [168, 24])).toEqual([24]);
    expect(seasonsOf(of(seasonal(400)), [168, 24])).toEqual([24, 168]);
  });

  it('get one more where the series repeats itself at another distance', () => {
    const [found, ...rest] = seasonsOf(of(seasonal(480, { season: 17, spread: 5 })), [24]);
    expect(found).toBe(17);
    expect(rest).toEqual([24]);
  });

  it('follow a season that has changed its length', () => {
    const changed = [...seasonal(240), ...seasonal(400, { season: 32, spread: 3 })];
    expect(seasonsOf(of(changed), [24])).toEqual([24, 32]);
  });

  it('do not come out of noise, a constant or a trend', () => {
    const random = noise(5);
    const noisy = Array.from({ length: 480 }, () => 50 + 10 * random());
    const trend = Array.from({ length: 480 }, (_, t) => t);
    for (const series of [noisy, new Array<number>(480).fill(3), trend])
      expect(seasonsOf(of(series), [24])).toEqual([24]);
  });

  it('hold a day and a week together', () => {
    const week = seasonal(1344, { spread: 4 }).map((value, t) => (Math.floor(t / 24) % 7 < 2 ? value * 0.3 : value));
    expect(seasonsOf(of(week), [24, 168])).toEqual([24, 168]);
    expect(strongestPeriod(of(week))?.period).toBeGreaterThanOrEqual(24);
  });
});
