import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { coverage, missingWidth, widen } from '../../forecasting/interval-calibration.js';

const backtest = (mean: number, halfWidth: number, actual: number[]) => ({
  forecast: {
    mean: actual.map(() => mean),
    lower: actual.map(() => mean - halfWidth),
    upper: actual.map(() => mean + halfWidth),
  },
  actual,
});

describe('the width that an interval misses', () => {
  it('is none when enough lay inside, and none is known without a backtest', () => {
    expect(missingWidth([backtest(10, 5, [6, 8, 10, 12, 14])], 0.8)).toBe(0);
    expect(missingWidth([], 0.9)).toBe(0);
    expect(coverage([])).toBeUndefined();
  });

  it('is found also for an interval without width', () => {
    expect(missingWidth([backtest(10, 0, [9, 11, 13, 10])], 0.9)).toBe(3);
  });

  it('is enough to cover the level in the backtest', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 1000 }), { minLength: 1, maxLength: 60 }),
        fc.integer({ min: 0, max: 1000 }),
        fc.integer({ min: 0, max: 100 }),
        fc.constantFrom(0.5, 0.8, 0.9, 0.95),
        (actual, mean, halfWidth, level) => {
          const made = backtest(mean, halfWidth, actual);
          const wider = { forecast: widen(made.forecast, missingWidth([made], level)), actual };
          expect(coverage([wider])).toBeGreaterThanOrEqual(level - 1e-9);
          wider.forecast.lower.forEach((lower) => expect(lower).toBeGreaterThanOrEqual(0));
        },
      ),
    );
  });
});
