import { describe, expect, it } from 'vitest';
import type { AccessWindow } from '../../domain/access.js';
import { scoreCrossing } from '../../domain/predicted-score.js';

const MINUTE = 60_000;
const STEPS = 12;
const START = 1_000 * STEPS * MINUTE;

const region = (name: string, mean: readonly number[]) => ({
  region: name,
  mean,
  lower: mean.map((value) => 0.8 * value),
  upper: mean.map((value) => 1.2 * value),
});

const observed = (requests: Readonly<Record<string, number>>): AccessWindow[] =>
  Object.entries(requests).flatMap(([name, reads]) =>
    Array.from({ length: STEPS }, (_, i) => ({
      ...{ partition: 'p', region: name, start: START - (i + 1) * MINUTE, reads },
      ...{ writes: 0, errors: 0, latencyMsSum: 0, latencyMsMax: 0, clients: [] },
    })),
  );

const crossingOf = (before: Readonly<Record<string, number>>, own: readonly number[], rival: readonly number[]) =>
  scoreCrossing({
    forecast: {
      ...{ start: START, stepMs: MINUTE, level: 0.9 },
      regions: [region('east', own), region('west', rival)],
    },
    primaryRegion: 'east',
    metrics: { accessFrequency: 1, clientAffinity: 0, modificationRate: 0 },
    weights: { accessFrequency: 1, clientAffinity: 0, modificationRate: 0 },
    ...{ trigger: 0.4, scoreWindowSteps: STEPS, observed: observed(before) },
  });

const steps = (value: number) => new Array<number>(STEPS).fill(value);

describe('the score at a step', () => {
  it('is that of a whole window: one quiet step at the beginning is no lost ownership', () => {
    const { firstStep, largestProbability } = crossingOf(
      { east: 37, west: 65 },
      [15, ...steps(37).slice(1)],
      steps(65),
    );
    expect(firstStep).toBeUndefined();
    expect(largestProbability).toBeLessThan(0.1);
  });

  it('crosses when what is forecast outweighs what was observed', () => {
    // 100 * (11 - s) + 10 * (s + 1) < 0.4 * 100 * 12 for s > 7.
    expect(crossingOf({ east: 100, west: 100 }, steps(10), steps(100)).firstStep).toBe(8);
  });

  it('counts a region that was observed and has no forecast', () => {
    const { firstStep, probability } = crossingOf({ east: 100, north: 1000 }, steps(100), steps(100));
    expect(firstStep).toBe(0);
    // When all that was observed is over, the score is of what was forecast.
    expect(probability.at(-1)).toBeLessThan(0.1);
  });
});
