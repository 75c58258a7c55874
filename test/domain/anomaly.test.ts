import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { byDrover, detected, total, TUNED_ON } from '../../bench/anomalies.js';
import { labelledSeries } from '../../bench/labelled-series.js';
import type { Anomaly } from '../../domain/anomaly.js';
import { anomaliesOf, AnomalyDetector } from '../../domain/anomaly.js';
import { random } from '../../examples/random.js';

const HOUR_MS = 3_600_000;
const DAY = 24;

/** Requests per hour with a daily season and noise. */
function load(days: number, seed = 1, mean = 1_000): number[] {
  const next = random(seed);
  return Array.from({ length: days * DAY }, (_, hour) =>
    Math.round(mean * (1 + 0.4 * Math.sin((2 * Math.PI * hour) / DAY)) * (0.9 + 0.2 * next())),
  );
}
const find = (values: readonly number[]): Anomaly[] => anomaliesOf(values, { windowMs: HOUR_MS, counts: true });
/** What is found in the first hours from there on. */
const foundFrom = (values: readonly number[], index: number, hours = 12): Anomaly[] =>
  find(values).filter((anomaly) => anomaly.index >= index && anomaly.index < index + hours);
const at = 20 * DAY + 9;

describe('an anomaly', () => {
  it('is a spike, in the window where it is', () => {
    const values = load(22);
    values[at]! *= 4;
    expect(foundFrom(values, at, 1)).toMatchObject([{ index: at, direction: 'up' }]);
  });

  it('is lost traffic, within two windows', () => {
    const values = load(22).map((value, i) => (i >= at && i < at + 10 ? 0 : value));
    const [first] = foundFrom(values, at, 2);
    expect(first).toMatchObject({ direction: 'down' });
    expect(foundFrom(values, at).map(({ kind }) => kind)).toContain('lost-traffic');
  });

  it.each([
    ['up', 1.8],
    ['down', 0.45],
  ] as const)('is another level, %s, within hours', (direction, factor) => {
    const values = load(24).map((value, i) => Math.round(i >= at ? value * factor : value));
    expect(foundFrom(values, at)[0]).toMatchObject({ direction });
  });

  it('is no daily season, no growth, no noise of small counts, and nothing in the first day', () => {
    for (let seed = 1; seed <= 5; seed++) {
      const weeks = 6;
      expect(find(load(7 * weeks, seed)).length, `seed ${seed}`).toBeLessThanOrEqual(weeks);
      const growing = load(7 * weeks, seed).map((value, i) => Math.round(value * (1 + i / 2_000)));
      expect(find(growing).length).toBeLessThanOrEqual(weeks);
      expect(find(load(7 * weeks, seed, 3)).length).toBeLessThanOrEqual(weeks);
    }
    expect(find([1, 1_000_000, 0, 5])).toEqual([]);
    expect(find([])).toEqual([]);
    expect(find(Array<number>(500).fill(0))).toEqual([]);
  });

  it('is found in a series of any unit', () => {
    const values = load(25, 3).map((value, i) => (i === at ? 5 * value : i > at + 60 ? 0.4 * value : value));
    const found = (scale: number) =>
      anomaliesOf(
        values.map((value) => value * scale),
        { windowMs: HOUR_MS },
      ).map(({ index, kind }) => [index, kind]);
    expect(found(1).length).toBeGreaterThanOrEqual(2);
    for (const scale of [1 / 1024, 32]) expect(found(scale)).toEqual(found(1));
  });

  it('does not come again at once: findings of a series are half a day apart, but for lost traffic', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(10_000), { minLength: 100, maxLength: 400 }), (values) => {
        const found = find(values).filter(({ kind }) => kind !== 'lost-traffic');
        for (const [i, { index }] of found.slice(1).entries()) expect(index - found[i]!.index).toBeGreaterThan(DAY / 2);
      }),
    );
  });
});

describe('anomalies that people have labelled in real metrics', () => {
  it('are found, 70 % of them, with at most one false alarm per series and week', async () => {
    const results = (await labelledSeries()).map((series) => detected(series, byDrover));
    expect(results).toHaveLength(8);
    expect(total(results).share).toBeGreaterThanOrEqual(0.7);
    for (const { series, falseAlarms, weeks } of results) {
      expect(falseAlarms, series).toBeLessThanOrEqual(Math.ceil(weeks));
    }
    const others = results.filter(({ series }) => !TUNED_ON.includes(series));
    expect(total(others).falseAlarmsPerWeek).toBeLessThanOrEqual(1);
  });
});

it('a copy of a detector goes on as the original would, and changes nothing of it', () => {
  const values = load(24).map((value, i) => (i > at && i < at + 4 ? 0 : i === at - 3 * DAY ? 5 * value : value));
  for (const split of [0, 1, 5 * DAY, at, at + 2]) {
    const detector = new AnomalyDetector({ windowMs: HOUR_MS, counts: true });
    for (const value of values.slice(0, split)) detector.next(value);
    const copy = detector.copy();
    const rest = values.slice(split);
    const found = rest.map((value) => copy.next(value));
    expect(rest.map((value) => detector.next(value))).toEqual(found);
    expect(found.some((anomaly) => anomaly !== undefined)).toBe(true);
  }
});
