import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Interval, Token } from '../../domain/token.js';
import { contains, isEmpty, overlaps, subtract, TOKEN_END, TOKEN_MIN, union } from '../../domain/token.js';

const bound = fc.oneof(fc.bigInt({ min: -4n, max: 4n }), fc.constantFrom(TOKEN_MIN, TOKEN_END));
const anyInterval = fc.tuple(bound, bound).map(([low, high]): Interval => ({ low, high }));
/** Enough to tell intervals with such bounds apart. */
const probes: Token[] = [TOKEN_MIN, -4n, -3n, -2n, -1n, 0n, 1n, 2n, 3n, 4n, TOKEN_END - 1n];

describe('intervals of tokens', () => {
  it('are half open, so that neighbours share no token', () => {
    const left = { low: 0n, high: 5n };
    const right = { low: 5n, high: 9n };
    expect([contains(left, 4n), contains(left, 5n), contains(right, 5n), contains(right, 9n)]).toEqual([
      true,
      false,
      true,
      false,
    ]);
    expect(overlaps(left, right)).toBe(false);
  });

  it('reach from the smallest token to one past the largest', () => {
    expect(contains({ low: TOKEN_MIN, high: TOKEN_END }, TOKEN_MIN)).toBe(true);
    expect(contains({ low: TOKEN_MIN, high: TOKEN_END }, TOKEN_END - 1n)).toBe(true);
    expect(BigInt.asIntN(64, TOKEN_END - 1n)).toBe(TOKEN_END - 1n);
  });

  it('overlap when they have a token in common', () => {
    fc.assert(
      fc.property(anyInterval, anyInterval, (a, b) => {
        fc.pre(!isEmpty(a) && !isEmpty(b));
        expect(overlaps(a, b)).toBe(probes.some((token) => contains(a, token) && contains(b, token)));
      }),
    );
  });

  it('lose exactly what is cut out of them, and no empty piece is left', () => {
    fc.assert(
      fc.property(fc.array(anyInterval, { maxLength: 4 }), anyInterval, (intervals, cut) => {
        fc.pre(!isEmpty(cut));
        const rest = subtract(intervals, cut);
        expect(rest.some(isEmpty)).toBe(false);
        for (const token of probes) {
          const before = intervals.filter((interval) => contains(interval, token)).length;
          const after = rest.filter((interval) => contains(interval, token)).length;
          expect(after).toBe(contains(cut, token) ? 0 : before);
        }
      }),
    );
  });

  it('lose nothing to an empty cut', () => {
    fc.assert(
      fc.property(anyInterval, bound, (interval, at) => {
        fc.pre(!isEmpty(interval));
        const rest = subtract([interval], { low: at, high: at });
        for (const token of probes) {
          expect(rest.filter((each) => contains(each, token)).length).toBe(contains(interval, token) ? 1 : 0);
        }
      }),
    );
  });

  it('keep what else they carry', () => {
    expect(subtract([{ low: 0n, high: 9n, since: 7n }], { low: 3n, high: 5n })).toEqual([
      { low: 0n, high: 3n, since: 7n },
      { low: 5n, high: 9n, since: 7n },
    ]);
  });

  it('united, cover the same tokens once, in order and apart from each other', () => {
    fc.assert(
      fc.property(fc.array(anyInterval), (intervals) => {
        const united = union(intervals);
        for (const token of probes) {
          const covered = intervals.some((each) => contains(each, token));
          expect(united.filter((each) => contains(each, token)).length).toBe(covered ? 1 : 0);
        }
        for (const [i, { low }] of united.entries()) if (i > 0) expect(low).toBeGreaterThan(united[i - 1]!.high);
      }),
    );
  });
});
