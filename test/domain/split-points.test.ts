import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { KnownLoad } from '../../domain/hot-subsets.js';
import { hotEntities, hottestRange } from '../../domain/hot-subsets.js';
import { splitPoints } from '../../domain/split-points.js';
import { boundaryFor } from '../../domain/weights.js';

const tokens = { low: -1_000n, high: 1_000n };
const known = fc
  .record({
    loads: fc.array(
      fc.record({ token: fc.bigInt({ min: -1_000n, max: 999n }), load: fc.integer({ min: 1, max: 500 }) }),
      { minLength: 1, maxLength: 40 },
    ),
    others: fc.integer({ min: 0, max: 2_000 }),
  })
  .map(({ loads, others }): KnownLoad => ({
    tokens,
    loads,
    requests: others + loads.reduce((sum, { load }) => sum + load, 0),
  }));
const POLICY = { leastRequests: 1, isolateFrom: 0.25 };

/** Share of the load below a token, counted plainly. */
function below({ loads, requests }: KnownLoad, token: bigint): number {
  const single = loads.reduce((sum, each) => sum + each.load, 0);
  const under = loads.reduce((sum, each) => (each.token < token ? sum + each.load : sum), 0);
  return (under + ((requests - single) * Number(token - tokens.low)) / 2_000) / requests;
}

describe('split points', () => {
  it('halve the load as well as any boundary can', () => {
    fc.assert(
      fc.property(known, (load) => {
        const halve = splitPoints(load, POLICY).find(({ kind }) => kind === 'halve')!;
        const [at] = halve.at as [bigint];
        expect(at > tokens.low && at < tokens.high).toBe(true);
        expect(halve.shares[0]).toBeCloseTo(below(load, at), 9);
        expect(halve.shares[0] + halve.shares[1]).toBeCloseTo(1, 9);
        let best = Infinity;
        for (let token = tokens.low + 1n; token < tokens.high; token++) {
          best = Math.min(best, Math.abs(below(load, token) - 0.5));
        }
        expect(Math.abs(below(load, at) - 0.5)).toBeCloseTo(best, 9);
      }),
    );
  });

  it('isolate every entity that is a quarter of the load, and no other', () => {
    fc.assert(
      fc.property(known, (load) => {
        const isolated = splitPoints(load, POLICY).filter((split) => split.kind === 'isolate');
        const byToken = new Map<bigint, number>();
        for (const { token, load: own } of load.loads) byToken.set(token, (byToken.get(token) ?? 0) + own);
        const hot = [...byToken].filter(([, own]) => own >= 0.25 * load.requests).map(([token]) => token);
        expect(new Set(isolated.map(({ entity }) => entity))).toEqual(new Set(hot));
        for (const { entity, at, shares } of isolated) {
          for (const end of at) expect([entity, entity + 1n]).toContain(end);
          for (const end of at) expect(end > tokens.low && end < tokens.high).toBe(true);
          expect(shares[1]).toBeCloseTo(byToken.get(entity)! / load.requests, 9);
          expect(shares[0] + shares[1] + shares[2]).toBeCloseTo(1, 9);
        }
      }),
    );
  });

  it('lie as the boundary of the same weight where all loads are known and alike', () => {
    const loads = Array.from({ length: 100 }, (_, i) => ({ token: BigInt(i * 10 - 500), load: 10 }));
    const [halve] = splitPoints({ tokens, loads, requests: 1_000 });
    const at = boundaryFor(50, tokens, loads);
    expect(halve!.shares).toEqual([0.5, 0.5]);
    expect(at).toBeLessThanOrEqual(halve!.at[0]);
  });

  it('are not guessed from next to nothing', () => {
    expect(splitPoints({ tokens, loads: [{ token: 1n, load: 9 }], requests: 9 })).toEqual([]);
    expect(splitPoints({ tokens: { low: 1n, high: 2n }, loads: [{ token: 1n, load: 900 }], requests: 900 })).toEqual(
      [],
    );
  });
});

describe('hot subsets', () => {
  it('are the entities above a share, busiest first', () => {
    const loads = [
      { token: 5n, load: 30 },
      { token: 1n, load: 60 },
      { token: 5n, load: 20 },
      { token: 2_000n, load: 900 },
    ];
    expect(hotEntities({ tokens, loads, requests: 1_000 }, 0.055, 9)).toEqual([
      { token: 1n, requests: 60, share: 0.06 },
    ]);
    expect(hotEntities({ tokens, loads, requests: 1_000 }, 0, 9).map(({ token }) => token)).toEqual([1n, 5n]);
  });

  it('are the narrowest range with half of the known load', () => {
    fc.assert(
      fc.property(known, (load) => {
        const range = hottestRange(load, 0.5)!;
        const single = load.loads.reduce((sum, each) => sum + each.load, 0);
        const inside = (low: bigint, high: bigint) =>
          load.loads.reduce((sum, each) => (each.token >= low && each.token < high ? sum + each.load : sum), 0);
        expect(inside(range.tokens.low, range.tokens.high)).toBe(range.requests);
        expect(range.requests).toBeGreaterThanOrEqual(single / 2);
        const narrowest = load.loads.flatMap(({ token: low }) =>
          load.loads
            .filter(({ token }) => token >= low && inside(low, token + 1n) >= single / 2)
            .map(({ token }) => token + 1n - low),
        );
        const least = narrowest.reduce((a, b) => (a < b ? a : b));
        expect(range.tokens.high - range.tokens.low).toBe(least);
        expect(range.width).toBeCloseTo(Number(least) / 2_000, 9);
      }),
    );
    expect(hottestRange({ tokens, loads: [], requests: 9 }, 0.5)).toBeUndefined();
  });
});
