import { describe, expect, it } from 'vitest';
import { choiceKeptForMs, errorsSince } from '../../domain/choice-renewal.js';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

describe('A choice of models', () => {
  it('is kept for a day, or the shortest season if that is longer', () => {
    expect(choiceKeptForMs([HOUR, 7 * DAY])).toBe(DAY);
    expect(choiceKeptForMs([7 * DAY, 14 * DAY])).toBe(7 * DAY);
    expect(choiceKeptForMs([])).toBe(DAY);
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
