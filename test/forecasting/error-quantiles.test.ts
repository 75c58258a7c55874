import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { errorQuantiles, withInterval } from '../../forecasting/error-quantiles.js';

const oneStretch = (steps: number) => new Uint8Array(steps);

describe('the interval of a forecast', () => {
  it('has no width where no forecast was ever wrong', () => {
    const { lower, upper } = withInterval(Float64Array.of(5, 6), errorQuantiles([[0, 0, 0]]), oneStretch(2), 0.9);
    expect([lower, upper]).toEqual([
      [5, 6],
      [5, 6],
    ]);
  });

  it('is as lopsided as the errors', () => {
    const errors = Array.from({ length: 200 }, (_, i) => (i % 2 === 0 ? i : 0));
    const { lower, upper } = withInterval(Float64Array.of(50), errorQuantiles([errors]), oneStretch(1), 0.8);
    expect(lower[0]).toBeCloseTo(50, 1);
    expect(upper[0]).toBeGreaterThan(200);
  });

  it('holds the mean, nothing below 0, and at least as much at a higher level', () => {
    const values = fc.array(fc.double({ min: -100, max: 100, noNaN: true }), { minLength: 1, maxLength: 50 });
    const means = fc.array(fc.double({ min: 0, max: 100, noNaN: true }), { minLength: 1, maxLength: 10 });
    fc.assert(
      fc.property(values, means, (errors, mean) => {
        const quantiles = errorQuantiles([errors]);
        const at = (level: number) => withInterval(Float64Array.from(mean), quantiles, oneStretch(mean.length), level);
        const [narrow, wide] = [at(0.5), at(0.95)];
        mean.forEach((value, step) => {
          expect(narrow.lower[step]).toBeGreaterThanOrEqual(0);
          expect(narrow.lower[step]).toBeLessThanOrEqual(value);
          expect(narrow.upper[step]).toBeGreaterThanOrEqual(value);
          expect(wide.lower[step]).toBeLessThanOrEqual(narrow.lower[step]!);
          expect(wide.upper[step]).toBeGreaterThanOrEqual(narrow.upper[step]!);
        });
      }),
    );
  });

  it('covers at least its level of the errors it was made of', () => {
    const values = fc.array(fc.integer({ min: -1000, max: 1000 }), { minLength: 40, maxLength: 200 });
    fc.assert(
      fc.property(values, fc.constantFrom(0.5, 0.8, 0.9), (errors, level) => {
        const { lower, upper } = withInterval(Float64Array.of(5000), errorQuantiles([errors]), oneStretch(1), level);
        const inside = errors.filter((error) => 5000 + error >= lower[0]! && 5000 + error <= upper[0]!);
        expect(inside.length / errors.length).toBeGreaterThanOrEqual(level - 2 / errors.length);
      }),
    );
  });
});
