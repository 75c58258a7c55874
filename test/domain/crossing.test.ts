import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { thresholdCrossing } from '../../domain/crossing.js';
import type { Forecast } from '../../domain/forecast.js';
import { normalCdf, normalHalfWidth } from '../../domain/normal-distribution.js';

const forecast = (mean: number[], halfWidth: number): Forecast => ({
  mean,
  lower: mean.map((value) => value - halfWidth),
  upper: mean.map((value) => value + halfWidth),
});

describe('time of crossing', () => {
  it('is the first step at which the mean lies beyond the threshold', () => {
    expect(thresholdCrossing(forecast([5, 4, 3, 2, 5], 1), 0.9, 3.5, 'below').firstStep).toBe(2);
    expect(thresholdCrossing(forecast([5, 4, 3], 1), 0.9, 3, 'below').firstStep).toBeUndefined();
    expect(thresholdCrossing(forecast([1, 9], 1), 0.9, 8, 'above').firstStep).toBe(1);
  });

  it('has probability one half where the mean meets the threshold', () => {
    expect(thresholdCrossing(forecast([10], 2), 0.9, 10, 'above').probability[0]).toBeCloseTo(0.5, 6);
  });

  it('has the probability of the interval at its bounds', () => {
    const { probability } = thresholdCrossing(forecast([10, 10], 2), 0.9, 12, 'above');
    expect(probability[0]).toBeCloseTo(0.05, 5);
    expect(thresholdCrossing(forecast([10], 2), 0.9, 12, 'below').probability[0]).toBeCloseTo(0.95, 5);
  });

  it('reads the wider side of an interval that was cut off at 0', () => {
    const cutOff = { mean: [1], lower: [0], upper: [5] };
    const whole = { mean: [1], lower: [-3], upper: [5] };
    expect(thresholdCrossing(cutOff, 0.9, 0.5, 'below')).toEqual(thresholdCrossing(whole, 0.9, 0.5, 'below'));
  });

  it('reads the side of the interval that the threshold lies on', () => {
    const lopsided = { mean: [10], lower: [8], upper: [30] };
    expect(thresholdCrossing(lopsided, 0.9, 30, 'above').probability[0]).toBeCloseTo(0.05, 5);
    expect(thresholdCrossing(lopsided, 0.9, 8, 'above').probability[0]).toBeCloseTo(0.95, 5);
  });

  it('is certain where the interval has no width', () => {
    const { probability, largestProbability } = thresholdCrossing(forecast([4, 5, 6], 0), 0.9, 5, 'above');
    expect(probability).toEqual([0, 0, 1]);
    expect(largestProbability).toBe(1);
  });

  it('refuses an impossible level and bounds of another length', () => {
    expect(() => thresholdCrossing(forecast([1], 1), 1, 0, 'above')).toThrow(/between 0 and 1/);
    expect(() => thresholdCrossing({ mean: [1, 2], lower: [1], upper: [2] }, 0.9, 0, 'above')).toThrow(/bounds/);
  });

  it('gets less probable the further away the threshold is, and both sides add up to 1', () => {
    const value = fc.double({ min: -1000, max: 1000, noNaN: true });
    fc.assert(
      fc.property(
        fc.array(value, { minLength: 1, maxLength: 20 }),
        fc.double({ min: 0.001, max: 500, noNaN: true }),
        value,
        fc.double({ min: 0, max: 500, noNaN: true }),
        (mean, halfWidth, threshold, further) => {
          const near = thresholdCrossing(forecast(mean, halfWidth), 0.9, threshold, 'above');
          const far = thresholdCrossing(forecast(mean, halfWidth), 0.9, threshold + further, 'above');
          const below = thresholdCrossing(forecast(mean, halfWidth), 0.9, threshold, 'below');
          mean.forEach((_, step) => {
            const p = near.probability[step] ?? NaN;
            expect(p).toBeGreaterThanOrEqual(0);
            expect(p).toBeLessThanOrEqual(1);
            expect(far.probability[step]).toBeLessThanOrEqual(p + 1e-7);
            expect(p + (below.probability[step] ?? NaN)).toBeCloseTo(1, 6);
          });
          expect(near.largestProbability).toBe(Math.max(...near.probability));
        },
      ),
    );
  });
});

describe('normal distribution', () => {
  it('agrees with the tables', () => {
    expect(normalCdf(0)).toBeCloseTo(0.5, 6);
    expect(normalCdf(1.959964)).toBeCloseTo(0.975, 6);
    expect(normalHalfWidth(0.9)).toBeCloseTo(1.644854, 4);
    expect(normalHalfWidth(0.95)).toBeCloseTo(1.959964, 4);
  });
});
