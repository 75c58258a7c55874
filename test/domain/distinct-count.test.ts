import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DistinctCount, distinctIn, HASHES_KEPT, smallest } from '../../domain/distinct-count.js';
import { TOKEN_END, TOKEN_MIN } from '../../domain/token.js';
import { tokenOfKey } from '../../store/key-token.js';

const hash = fc.bigInt({ min: TOKEN_MIN, max: TOKEN_END - 1n });
const sketchOf = (hashes: Iterable<bigint>): readonly bigint[] => {
  const count = new DistinctCount();
  for (const each of hashes) count.add(each);
  return count.sketch();
};
const clients = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => tokenOfKey(from + i));

describe('a count of different items', () => {
  it('is exact for few, however often each comes', () => {
    const some = clients(0, HASHES_KEPT - 1);
    expect(distinctIn(sketchOf([...some, ...some, ...some]))).toBe(HASHES_KEPT - 1);
    expect(distinctIn([])).toBe(0);
  });

  it.each([1_000, 20_000, 100_000])('is within 15 %% of %i', (number) => {
    expect(Math.abs(distinctIn(sketchOf(clients(0, number))) / number - 1)).toBeLessThan(0.15);
  });

  it('is the same whether items are counted at one place or at several whose sketches are merged', () => {
    fc.assert(
      fc.property(fc.array(fc.array(hash, { maxLength: 700 }), { maxLength: 4 }), (parts) => {
        expect(smallest(parts.flatMap(sketchOf))).toEqual(sketchOf(parts.flat()));
      }),
      { numRuns: 30 },
    );
    const [some, others] = [clients(0, 3_000), clients(2_000, 5_000)];
    expect(smallest([...sketchOf(some), ...sketchOf(others)])).toEqual(sketchOf(clients(0, 5_000)));
  });

  it('goes on after a sketch was taken', () => {
    const count = new DistinctCount();
    for (const each of clients(0, 2_000)) count.add(each);
    count.sketch();
    for (const each of clients(2_000, 4_000)) count.add(each);
    expect(count.sketch()).toEqual(sketchOf(clients(0, 4_000)));
  });
});
