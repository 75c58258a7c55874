import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { meanAbsoluteError, relativeError } from '../../domain/forecast-error.js';

describe('forecast error', () => {
  it('is the mean of the absolute errors', () => {
    expect(meanAbsoluteError([1, 2, 3], [2, 2, 1])).toBe(1);
    expect(meanAbsoluteError([], [])).toBeUndefined();
  });

  it('refuses to compare what has not the same length', () => {
    expect(() => meanAbsoluteError([1], [1, 2])).toThrow(/1 actual values/);
  });

  it('pools the errors of all series before it divides', () => {
    const large = { actual: [100, 100], model: [90, 100], naive: [80, 100] };
    const small = { actual: [1], model: [3], naive: [1] };
    expect(relativeError([large, small])).toBeCloseTo(12 / 20, 12);
  });

  it('is not known when the naive made no error', () => {
    expect(relativeError([{ actual: [1], model: [5], naive: [1] }])).toBeUndefined();
    expect(relativeError([])).toBeUndefined();
  });

  const row = fc.tuple(fc.nat(100), fc.nat(100), fc.nat(100));
  const scored = fc.array(row, { minLength: 1 }).map((rows) => ({
    actual: rows.map(([actual]) => actual),
    model: rows.map(([, model]) => model),
    naive: rows.map(([, , naive]) => naive),
  }));

  it('is 1 for the naive itself, 0 for the truth, and does not depend on the unit', () => {
    fc.assert(
      fc.property(scored, fc.integer({ min: 1, max: 50 }), (f, factor) => {
        const ratio = relativeError([f]);
        if (ratio === undefined) return;
        expect(relativeError([{ ...f, model: f.naive }])).toBe(1);
        expect(relativeError([{ ...f, model: f.actual }])).toBe(0);
        const times = (values: number[]): number[] => values.map((value) => value * factor);
        const scaled = { actual: times(f.actual), model: times(f.model), naive: times(f.naive) };
        expect(relativeError([scaled])).toBeCloseTo(ratio, 9);
      }),
    );
  });
});
