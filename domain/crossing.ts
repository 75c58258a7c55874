import { DroverError } from './errors.js';
import type { Forecast } from './forecast.js';
import { normalCdf, normalHalfWidth } from './normal-distribution.js';

/** On which side of the threshold trouble lies: a load is too high above it, an ownership score too low below it. */
export type CrossingDirection = 'above' | 'below';

/** When, and with what probability, a forecast lies beyond a threshold. */
export interface Crossing {
  /** First step (0 is the first forecast one) at which the mean lies beyond the threshold; undefined: none does. */
  readonly firstStep: number | undefined;
  /** Probability in [0, 1] of lying beyond the threshold, step by step. */
  readonly probability: readonly number[];
  /**
   * Largest of these within the horizon; 0 for an empty horizon. That of lying beyond the threshold at any step is as large where
   * errors go together from step to step, and larger otherwise.
   */
  readonly largestProbability: number;
}

/**
 * Predicts "when a partition's Ownership Score will fall below a Migration Trigger Threshold" (source document 1,
 * Prediction Algorithm), or when a load rises above its limit (source document 4, Migration Threshold).
 *
 * Each step is taken as normally distributed, with a deviation of its own on either side of the mean: the interval is
 * wider where errors are larger. A lower bound of 0 is one that was cut off and says too little: there the wider side
 * stands for both. An interval without width is certainty.
 *
 * @param level Coverage of the forecast's interval, in (0, 1).
 * @throws DroverError `InvalidRequest` if the level is out of range or mean, lower and upper differ in length.
 */
export function thresholdCrossing(
  forecast: Forecast,
  level: number,
  threshold: number,
  direction: CrossingDirection,
): Crossing {
  if (!(level > 0 && level < 1)) {
    throw new DroverError('InvalidRequest', `The level of an interval is between 0 and 1, not ${level}.`);
  }
  const { mean, lower, upper } = forecast;
  if (lower.length !== mean.length || upper.length !== mean.length) {
    throw new DroverError(
      'InvalidRequest',
      `A forecast has as many lower (${lower.length}) and upper (${upper.length}) bounds as means (${mean.length}).`,
    );
  }
  const z = normalHalfWidth(level);
  const distances = mean.map((value) => (direction === 'above' ? value - threshold : threshold - value));
  const probability = distances.map((distance, step) => {
    const middle = mean[step] ?? 0;
    const above = (upper[step] ?? middle) - middle;
    const below = middle - (lower[step] ?? middle);
    const deviation = (lower[step] === 0 ? Math.max(above, below) : threshold > middle ? above : below) / z;
    return deviation > 0 ? normalCdf(distance / deviation) : distance > 0 ? 1 : 0;
  });
  const first = distances.findIndex((distance) => distance > 0);
  return {
    firstStep: first < 0 ? undefined : first,
    probability,
    largestProbability: probability.reduce((largest, p) => Math.max(largest, p), 0),
  };
}
