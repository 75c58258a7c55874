import { describe, expect, it } from 'vitest';
import { choiceKeptForMs, choiceOfSeriesKeptForMs, errorsSince } from '../../domain/choice-renewal.js';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

describe('A choice of models', () => {
  it('is kept for a day, or the shortest season if that is longer', () => {
    expect(choiceKeptForMs([HOUR, 7 * DAY])).toBe(DAY);
    expect(choiceKeptForMs([7 * DAY, 14 * DAY])).toBe(7 * DAY);
    expect(choiceKeptForMs([])).toBe(DAY);
  });

  it('is made anew at another time for each series, so that a run of many has few to make', () => {
    const ages = Array.from({ length: 1_000 }, (_, i) => choiceOfSeriesKeptForMs(DAY, `shop.orders/p${i}/eu-west`));
    expect(Math.min(...ages)).toBeGreaterThanOrEqual(0.75 * DAY);
    expect(Math.max(...ages)).toBeLessThan(1.25 * DAY);
    const perHour = Array.from({ length: 12 }, (_, hour) => ages.filter((age) => Math.floor(age / HOUR) === 18 + hour));
    for (const together of perHour) expect(together.length).toBeLessThan(1_000 / 8);
  });

  it.each([HOUR, DAY, 3 * DAY])(
    'counts the errors of forecasts scored since the last one, %i ms ahead',
    (horizonMs) => {
      const end = 100 * DAY;
      const chosenAt = end - 2 * DAY;
      const since = errorsSince({ end, keptForMs: DAY, horizonMs, chosenAt });
      const scoredAt = (madeAt: number) => madeAt + horizonMs;
      expect(scoredAt(since)).toBe(chosenAt);
      expect(scoredAt(errorsSince({ end, keptForMs: DAY, horizonMs, chosenAt: end - HOUR }))).toBe(end - DAY);
      expect(scoredAt(errorsSince({ end, keptForMs: DAY, horizonMs, chosenAt: undefined }))).toBe(end - DAY);
    },
  );
});
