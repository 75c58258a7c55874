import { expect, test } from 'vitest';
import { addErrors, errorsOfForecast } from '../../domain/model-choice.js';

test('errors of a forecast are told apart by model and stretch, and add up over forecasts', () => {
  const byModel = { level: [1, 1, 1], profile: [2, 4, 6] };
  const errors = errorsOfForecast(byModel, [1, 3], [2, 4, 5]);
  expect(errors).toEqual({
    level: [
      { sum: 1, count: 1 },
      { sum: 7, count: 2 },
    ],
    profile: [
      { sum: 0, count: 1 },
      { sum: 1, count: 2 },
    ],
  });
  expect(addErrors([errors, errors])['level']).toEqual([
    { sum: 2, count: 2 },
    { sum: 14, count: 4 },
  ]);
  expect(addErrors([])).toEqual({});
});
