import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DroverError } from '../../domain/errors.js';
import type { Interval } from '../../domain/token.js';
import { TOKEN_END, TOKEN_MIN } from '../../domain/token.js';
import type { TokenLoad } from '../../domain/weights.js';
import { boundaryFor, checkWeights, DEFAULT_WEIGHTS, weightAt } from '../../domain/weights.js';

const tokens: Interval = { low: -1_000n, high: 1_000n };
const load = fc.record({
  token: fc.bigInt({ min: tokens.low, max: tokens.high - 1n }),
  load: fc.oneof(fc.integer({ min: 0, max: 1_000 }), fc.double({ min: 0, max: 1e6, noNaN: true })),
});
const loads = fc.array(load, { maxLength: 50 });
const weight = fc.double({ min: 0, max: 100, noNaN: true });
const total = (each: readonly TokenLoad[]) => each.reduce((sum, { load: one }) => sum + one, 0);

describe('boundaryFor', () => {
  it('never goes down when the weight goes up', () => {
    fc.assert(
      fc.property(loads, weight, weight, (known, a, b) => {
        const [low, high] = a <= b ? [a, b] : [b, a];
        expect(boundaryFor(low, tokens, known) <= boundaryFor(high, tokens, known)).toBe(true);
      }),
    );
  });

  it('gives nothing at 0 and everything at 100, whatever the load', () => {
    fc.assert(
      fc.property(loads, (known) => {
        expect(boundaryFor(0, tokens, known)).toBe(tokens.low);
        expect(boundaryFor(100, tokens, known)).toBe(tokens.high);
      }),
    );
  });

  it('stays inside of the partition', () => {
    fc.assert(
      fc.property(loads, weight, (known, share) => {
        const boundary = boundaryFor(share, tokens, known);
        expect(boundary >= tokens.low && boundary <= tokens.high).toBe(true);
      }),
    );
  });

  it('gives at least the share that was asked for, and without its last entity less than that', () => {
    fc.assert(
      fc.property(loads, fc.double({ min: 0.01, max: 99.99, noNaN: true }), (known, share) => {
        fc.pre(total(known) > 0);
        const boundary = boundaryFor(share, tokens, known);
        expect(weightAt(boundary, tokens, known)).toBeGreaterThanOrEqual(share - 1e-6);
        const withoutLast = known.filter(({ token }) => token < boundary - 1n);
        expect((100 * total(withoutLast)) / total(known)).toBeLessThan(share + 1e-6);
      }),
    );
  });

  it('moves an entity as a whole, and what has no load does not attract it', () => {
    const entities = [
      { token: 5n, load: 10 },
      { token: 5n, load: 10 },
      { token: 6n, load: 0 },
      { token: 7n, load: 80 },
    ];
    expect(boundaryFor(1, tokens, entities)).toBe(6n);
    expect(boundaryFor(20, tokens, entities)).toBe(6n);
    // The big entity is all or nothing: every weight beyond brings it over.
    expect(boundaryFor(21, tokens, entities)).toBe(8n);
    expect(boundaryFor(99, tokens, entities)).toBe(8n);
  });

  it('leaves out what is known of other partitions', () => {
    const known = [
      { token: tokens.low - 1n, load: 1e9 },
      { token: 0n, load: 1 },
      { token: 1n, load: 1 },
      { token: tokens.high, load: 1e9 },
    ];
    expect(boundaryFor(50, tokens, known)).toBe(1n);
    expect(weightAt(1n, tokens, known)).toBe(50);
  });

  it('divides the range itself where no load is known', () => {
    expect(boundaryFor(25, tokens, [])).toBe(-500n);
    expect(boundaryFor(25, tokens, [{ token: 7n, load: 0 }])).toBe(-500n);
    const all = { low: TOKEN_MIN, high: TOKEN_END };
    expect(boundaryFor(50, all, [])).toBe(0n);
    expect(weightAt(0n, all, [])).toBe(50);
    expect(weightAt(boundaryFor(12.5, all, []), all, [])).toBe(12.5);
  });
});

describe('weightAt', () => {
  it('is 0 and 100 at the ends, and between them in between', () => {
    fc.assert(
      fc.property(loads, fc.bigInt({ min: tokens.low - 5n, max: tokens.high + 5n }), (known, boundary) => {
        const share = weightAt(boundary, tokens, known);
        expect(share).toBeGreaterThanOrEqual(0);
        expect(share).toBeLessThanOrEqual(100 + 1e-9);
        if (boundary <= tokens.low) expect(share).toBe(0);
        if (boundary >= tokens.high) expect(share).toBe(100);
      }),
    );
  });
});

describe('checkWeights', () => {
  it('takes what rises strictly to 100', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 1, max: 99 })), (some) => {
        const weights = [...some.sort((a, b) => a - b), 100];
        expect(checkWeights(weights)).toBe(weights);
      }),
    );
    expect(checkWeights(DEFAULT_WEIGHTS)).toEqual([1, 5, 25, 50, 100]);
  });

  it.each([
    ['nothing', []],
    ['an end below 100', [50]],
    ['more than 100', [50, 101]],
    ['a step down', [50, 40, 100]],
    ['a step that is none', [50, 50, 100]],
    ['nothing to begin with', [0, 100]],
    ['less than nothing', [-1, 100]],
    ['no number', [Number.NaN, 100]],
    ['an infinite one', [1, Number.POSITIVE_INFINITY]],
  ])('refuses %s', (_what, weights) => {
    expect(() => checkWeights(weights)).toThrow(DroverError);
    expect(() => checkWeights(weights)).toThrow(/rise strictly to 100, such as 1,5,25,50,100; got \[/);
  });

  it('refuses weights that the migration has passed, and says from where they must rise', () => {
    expect(() => checkWeights([25, 100], 25)).toThrow(
      'from above 25, where the migration stands, to 100, such as 50,100',
    );
    expect(() => checkWeights([90], 99)).toThrow('such as 100;');
    expect(checkWeights([26, 100], 25)).toEqual([26, 100]);
  });
});
