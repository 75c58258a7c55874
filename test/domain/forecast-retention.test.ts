import { expect, it } from 'vitest';
import { errorsSince } from '../../domain/choice-renewal.js';
import { forecastRetention } from '../../domain/forecast-retention.js';

const DAY = 24 * 3_600_000;

it.each([
  [DAY / 24, DAY],
  [3 * DAY, 7 * DAY],
])('forecasts are kept for as long as their errors count (%i ms ahead)', (horizonMs, choiceKeptForMs) => {
  const request = { horizonMs, choiceKeptForMs, historyKeptForMs: 90 * DAY, clockRate: 1 };
  const { forecastsMs, decidedMs, choicesMs } = forecastRetention(request);
  const chosenAt = -1.25 * choiceKeptForMs;
  expect(-forecastsMs).toBeLessThan(errorsSince({ end: 0, keptForMs: choiceKeptForMs, horizonMs, chosenAt }));
  expect(decidedMs).toBe(90 * DAY);
  expect(choicesMs).toBeGreaterThan(3 * choiceKeptForMs);
});

it('with a fast clock all is kept for less real time, but for a day', () => {
  const request = { horizonMs: DAY, choiceKeptForMs: DAY, historyKeptForMs: 90 * DAY, clockRate: 10 };
  expect(forecastRetention(request)).toEqual({ forecastsMs: DAY, decidedMs: 9 * DAY, choicesMs: 3 * DAY });
});
