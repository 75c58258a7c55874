import fc from 'fast-check';
import { expect, test } from 'vitest';
import { countsOfTotals } from '../../domain/counter.js';

test('counts of a counter are never negative, and add up to what it has counted, over resets', () => {
  const counts = fc.array(fc.integer({ min: 0, max: 1000 }), { maxLength: 50 });
  fc.assert(
    fc.property(counts, (steps) => {
      let total = 0;
      const totals = [0, ...steps.map((step) => (total += step))];
      expect(countsOfTotals(totals)).toEqual(steps);
    }),
  );
  expect(countsOfTotals([10, 15, 3, 4])).toEqual([5, 3, 1]);
  expect(countsOfTotals([10, NaN, 12, 14])).toEqual([NaN, NaN, 2]);
  expect(countsOfTotals([])).toEqual([]);
});
