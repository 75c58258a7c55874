import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { combine, weightsByError } from '../../forecasting/combination.js';
import { stretchEnds, stretchOfSteps } from '../../forecasting/stretches.js';

describe('weights by error', () => {
  it('are the seasonal naive alone where nobody beats it', () => {
    expect(weightsByError([1, 1, 2], 3)).toEqual([1, 0, 0]);
    expect(weightsByError([0, 0], 1)).toEqual([1, 0]);
  });

  it('add up to 1, and never fall as errors fall', () => {
    const errors = fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(errors, (all) => {
        const weights = weightsByError(all, 3);
        expect(weights.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 9);
        const byError = all.map((error, i) => ({ error, weight: weights[i]! })).slice(1);
        byError.sort((a, b) => a.error - b.error);
        byError.slice(1).forEach(({ weight }, i) => expect(weight).toBeLessThanOrEqual(byError[i]!.weight));
      }),
    );
  });
});

describe('the weighted median', () => {
  const one = (value: number, weight: number) => ({ mean: Float64Array.of(value), weights: [weight] });
  const of = (...forecasts: ReturnType<typeof one>[]) => combine(forecasts, new Uint8Array(1))[0];

  it('is not moved by how far off one is', () => {
    expect(of(one(1, 1), one(2, 1), one(1e9, 1))).toBe(2);
  });

  it('is the one with more than half of the weight', () => {
    expect(of(one(1, 1), one(2, 1), one(50, 3))).toBe(50);
  });

  it('is a forecast that some model made, with at most half of the weight on either side', () => {
    const forecast = fc.record({
      value: fc.integer({ min: 0, max: 100 }),
      weight: fc.integer({ min: 1, max: 9 }),
    });
    fc.assert(
      fc.property(fc.array(forecast, { minLength: 1, maxLength: 15 }), (all) => {
        const middle = of(...all.map(({ value, weight }) => one(value, weight)))!;
        expect(all.map(({ value }) => value)).toContain(middle);
        const weightOf = (side: typeof all) => side.reduce((sum, { weight }) => sum + weight, 0);
        expect(weightOf(all.filter(({ value }) => value < middle))).toBeLessThanOrEqual(weightOf(all) / 2);
        expect(weightOf(all.filter(({ value }) => value > middle))).toBeLessThanOrEqual(weightOf(all) / 2);
      }),
    );
  });
});

describe('the stretches of a horizon', () => {
  it('are finer at its beginning', () => {
    expect(stretchEnds(288, 12)).toEqual([3, 12, 36, 72, 144, 288]);
    expect(stretchEnds(12, 12)).toEqual([3, 12]);
    expect(stretchEnds(24, 1)).toEqual([1, 3, 6, 12, 24]);
    expect(stretchEnds(1, 1)).toEqual([1]);
  });

  it('cover every step once', () => {
    const size = fc.integer({ min: 1, max: 2000 });
    fc.assert(
      fc.property(size, fc.integer({ min: 1, max: 60 }), (horizon, unit) => {
        const ends = stretchEnds(horizon, unit);
        const stretches = [...stretchOfSteps(ends)];
        expect(stretches).toHaveLength(horizon);
        expect(stretches).toEqual([...stretches].sort((a, b) => a - b));
        expect(new Set(stretches).size).toBe(ends.length);
      }),
    );
  });
});
