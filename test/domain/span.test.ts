import fc from 'fast-check';
import { expect, it } from 'vitest';
import { uncovered } from '../../domain/span.js';

it('names what lies between and after spans, in parts', () => {
  const spans = [
    { from: 40, until: 50 },
    { from: 10, until: 20 },
    { from: 15, until: 30 },
  ];
  expect(uncovered(spans, 0, 60)).toEqual([
    { from: 30, until: 40 },
    { from: 50, until: 60 },
  ]);
  expect(uncovered(spans, 35, 38)).toEqual([{ from: 35, until: 38 }]);
  expect(uncovered(spans, 45, 48)).toEqual([]);
  expect(uncovered([], 0, 60)).toEqual([]);
});

it('a time is in a gap where no span covers it, though one begins before', () => {
  const span = fc.tuple(fc.nat(40), fc.nat(12)).map(([from, length]) => ({ from, until: from + length }));
  fc.assert(
    fc.property(fc.array(span, { maxLength: 6 }), fc.nat(20), fc.nat(40), (spans, from, length) => {
      const gaps = uncovered(spans, from, from + length);
      for (let at = from; at < from + length; at++) {
        const isCovered = spans.some((each) => each.from <= at && at < each.until);
        const hasBegun = spans.some((each) => each.from <= at);
        const isGap = gaps.some((gap) => gap.from <= at && at < gap.until);
        expect(isGap).toBe(hasBegun && !isCovered);
      }
      expect(gaps.every((gap) => gap.from >= from && gap.until <= from + length && gap.from < gap.until)).toBe(true);
    }),
  );
});
