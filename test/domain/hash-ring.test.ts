import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { equalIntervals, place } from '../../domain/hash-ring.js';
import { TOKEN_END, TOKEN_MIN } from '../../domain/token.js';

const partitions = (count: number) => Array.from({ length: count }, (_, i) => `p${i}`);
const nodes = (count: number) => Array.from({ length: count }, (_, i) => `node-${i}`);
const counts = (placed: ReadonlyMap<string, string>) => {
  const perNode = new Map<string, number>();
  for (const node of placed.values()) perNode.set(node, (perNode.get(node) ?? 0) + 1);
  return perNode;
};
const moved = (before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>) =>
  [...before].filter(([partition, node]) => after.get(partition) !== node).length;

describe('equalIntervals', () => {
  it('cover the token space without gap or overlap, in widths that differ by one token at most', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 500 }), (count) => {
        const intervals = equalIntervals(count);
        expect(intervals).toHaveLength(count);
        expect(intervals[0]!.low).toBe(TOKEN_MIN);
        expect(intervals.at(-1)!.high).toBe(TOKEN_END);
        for (let i = 1; i < count; i++) expect(intervals[i]!.low).toBe(intervals[i - 1]!.high);
        const widths = intervals.map(({ low, high }) => high - low);
        const [least, most] = [widths.reduce((a, b) => (a < b ? a : b)), widths.reduce((a, b) => (a > b ? a : b))];
        expect(most - least <= 1n).toBe(true);
      }),
    );
  });
});

describe('placement on nodes by consistent hashing', () => {
  it('places every partition, and gives no node more than its share, rounded up', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 12 }), (count, size) => {
        const placed = place(partitions(count), nodes(size));
        expect([...placed.keys()]).toEqual(partitions(count));
        for (const taken of counts(placed).values()) expect(taken).toBeLessThanOrEqual(Math.ceil(count / size));
      }),
    );
  });

  it('is the same whatever order the nodes are named in', () => {
    const names = nodes(5);
    fc.assert(
      fc.property(fc.shuffledSubarray(names, { minLength: 5 }), (shuffled) => {
        expect(place(partitions(50), shuffled)).toEqual(place(partitions(50), names));
      }),
    );
  });

  it('moves few partitions when a node joins, and few when one leaves', () => {
    for (const size of [3, 4, 5, 8, 11]) {
      const [before, after] = [place(partitions(240), nodes(size)), place(partitions(240), nodes(size + 1))];
      // The new node's share has to move; the bound on the load moves some more. Hashing modulo would move nearly all.
      const share = 240 / (size + 1);
      expect(moved(before, after)).toBeLessThanOrEqual(2 * share);
      expect(moved(before, after)).toBeGreaterThanOrEqual(Math.floor(share * 0.8));
    }
  });

  it('moves no partition between two nodes that stay, but for what the bound on the load needs', () => {
    const before = place(partitions(300), nodes(6));
    const after = place(partitions(300), nodes(5));
    const orphans = [...before.values()].filter((node) => node === 'node-5').length;
    expect(moved(before, after)).toBeLessThanOrEqual(2 * orphans);
  });

  it('places nothing where there is no node', () => {
    expect(place(partitions(3), [])).toEqual(new Map());
  });
});
