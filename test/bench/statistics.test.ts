import { describe, expect, it } from 'vitest';
import { comparison } from '../../bench/bench.js';
import { arrivals } from '../../bench/open-loop.js';
import { random } from '../../examples/random.js';
import { quantile, spread } from '../../bench/statistics.js';

describe('figures of a benchmark', () => {
  it('names a value that was measured, for every share', () => {
    const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
    expect([0, 0.5, 0.99, 1].map((q) => quantile(hundred, q))).toEqual([1, 50, 99, 100]);
    expect(quantile([7], 0.99)).toBe(7);
    expect(() => quantile([], 0.5)).toThrow('nothing was measured');
  });

  it('compares round by round, above 1 where Drover is better', () => {
    const what = { case: 'a move', against: 'driver loop', unit: 'ms' };
    const rounds = [
      { drover: 10, baseline: 20 },
      { drover: 100, baseline: 50 },
      { drover: 10, baseline: 40 },
    ];
    expect(comparison(what, 'lower', rounds).ratio).toEqual({ min: 0.5, median: 2, max: 4 });
    expect(comparison(what, 'higher', rounds).ratio).toEqual({ min: 0.25, median: 0.5, max: 2 });
    expect(comparison(what, 'lower', rounds).baseline).toEqual(spread([20, 50, 40]));
  });
});

describe('the schedule of the load', () => {
  const first = (n: number, rate: number, seed: number) => {
    const schedule = arrivals(rate, random(seed));
    return Array.from({ length: n }, () => schedule.next().value);
  };

  it('keeps its rate and is the same for the same seed', () => {
    const times = first(15_000, 1_500, 1);
    expect(times.at(-1)! / 1000).toBeCloseTo(10, 0);
    expect(times.every((at, i) => at >= (times[i - 1] ?? 0))).toBe(true);
    expect(first(100, 1_500, 1)).toEqual(times.slice(0, 100));
    expect(first(100, 1_500, 2)).not.toEqual(times.slice(0, 100));
  });
});
