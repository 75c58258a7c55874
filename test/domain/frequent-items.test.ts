import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FrequentItems } from '../../domain/frequent-items.js';

const MOST = 8;
const counted = (items: Iterable<number>): FrequentItems<number> => {
  const frequent = new FrequentItems<number>(MOST);
  for (const item of items) frequent.add(item);
  return frequent;
};
const exact = (items: readonly number[]): Map<number, number> => {
  const counts = new Map<number, number>();
  for (const item of items) counts.set(item, (counts.get(item) ?? 0) + 1);
  return counts;
};
const stream = fc.array(fc.oneof(fc.nat(3), fc.nat(1_000)), { maxLength: 600 });

describe('frequent items', () => {
  it('are counted exactly while there are few different ones', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(2 * MOST - 1)), (items) => {
        expect(new Map(counted(items).top(Infinity))).toEqual(exact(items));
      }),
    );
  });

  it('have counts that are never too large, and too small by no more than is said', () => {
    fc.assert(
      fc.property(stream, (items) => {
        const found = new Map(counted(items).top(Infinity));
        expect(found.size).toBeLessThanOrEqual(2 * MOST);
        for (const [item, count] of exact(items)) {
          expect(found.get(item) ?? 0).toBeLessThanOrEqual(count);
          expect(found.get(item) ?? 0).toBeGreaterThanOrEqual(count - items.length / (MOST + 1));
        }
      }),
    );
  });

  it('come in the order of their counts', () => {
    expect(counted([5, 3, 5, 4, 4, 5]).top(2)).toEqual([
      [5, 3],
      [4, 2],
    ]);
  });

  it('tell whether an item was among them', () => {
    const frequent = new FrequentItems<string>(MOST);
    expect([frequent.add('a'), frequent.add('a'), frequent.add('b')]).toEqual([true, false, true]);
  });
});
