import { describe, expect, it } from 'vitest';
import { prepareSeries } from '../../forecasting/prepare.js';
import { seasonal } from './series-samples.js';

const without = (series: readonly number[], from: number, to: number) =>
  series.map((value, t) => (t >= from && t < to ? NaN : value));

describe('gaps', () => {
  it('of one value are filled by a straight line', () => {
    expect([...prepareSeries([1, NaN, 3], 24).values]).toEqual([1, 2, 3]);
  });

  it('of hours are filled by the values a season earlier, or later', () => {
    const series = seasonal(96);
    const { values, observed } = prepareSeries(without(without(series, 50, 60), 0, 10), 24);
    values.forEach((value, t) => expect(value).toBeCloseTo(series[t]!, 6));
    expect(observed.filter((each) => !each)).toHaveLength(20);
  });

  it('at the end, at the beginning and everywhere leave finite values', () => {
    for (const series of [without(seasonal(48), 30, 48), without(seasonal(48), 0, 47), new Array<number>(48).fill(NaN)])
      prepareSeries(series, 24).values.forEach((value) => expect(value).toBeGreaterThanOrEqual(0));
  });
});

describe('a sensor that had died', () => {
  it('is a gap, once it is over', () => {
    const series = seasonal(96, { spread: 3 });
    const dead = series.map((value, t) => (t >= 40 && t < 52 ? 0 : value));
    const { values, observed } = prepareSeries(dead, 24);
    expect(observed.slice(40, 52)).not.toContain(true);
    values.subarray(40, 52).forEach((value, i) => expect(value).toBe(series[16 + i]));
  });

  it('is not seen in quiet nights, in a constant series, or in a silence that lasts', () => {
    const nights = seasonal(96, { spread: 3 }).map((value, t) => (t % 24 < 8 ? 0 : value));
    const silent = seasonal(96, { spread: 3 }).map((value, t) => (t >= 80 ? 0 : value));
    for (const series of [nights, new Array<number>(96).fill(4), silent]) {
      expect(prepareSeries(series, 24).observed).not.toContain(false);
    }
  });
});

it('means over a longer time are used, but were not observed one by one', () => {
  const hourly = seasonal(96).map((_, t, all) => all[t - (t % 12)]!);
  const { values, observed, gaps } = prepareSeries([...hourly, ...seasonal(96)], 24, 96);
  expect([...values]).toEqual([...hourly, ...seasonal(96)]);
  expect([observed.indexOf(true), gaps]).toEqual([96, 0]);
});
