import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AccessCorrelation } from '../../domain/access-correlation.js';
import { heat, recentRate, requestsPerSecond } from '../../domain/heat.js';
import { mobilityScore } from '../../domain/mobility-score.js';
import { ownershipWeights } from '../../domain/ownership-score.js';

const count = fc.integer({ min: 0, max: 1_000_000 });
const scale = fc.integer({ min: 1, max: 1_000 });
const regions = fc.dictionary(fc.constantFrom('eu', 'us', 'ap'), count).map((each) => new Map(Object.entries(each)));
const times = (requests: ReadonlyMap<string, number>, factor: number) =>
  new Map([...requests].map(([region, each]) => [region, each * factor]));

describe('the mobility score', () => {
  it('is the share of predicted requests that come from elsewhere, by distance', () => {
    const requests = new Map([
      ['eu', 60],
      ['us', 30],
      ['ap', 10],
    ]);
    expect(mobilityScore(requests, 'eu')).toBeCloseTo(0.4);
    expect(mobilityScore(requests, 'ap')).toBeCloseTo(0.9);
    expect(mobilityScore(requests, 'eu', (region) => (region === 'us' ? 0.5 : 1))).toBeCloseTo(0.25);
    expect(mobilityScore(new Map(), 'eu')).toBeUndefined();
    expect(mobilityScore(new Map([['eu', 0]]), 'eu')).toBeUndefined();
  });

  it('lies between 0 and 1, rises with requests from elsewhere, and does not depend on their number', () => {
    fc.assert(
      fc.property(regions, scale, count, (requests, factor, more) => {
        const score = mobilityScore(requests, 'eu');
        if (score === undefined) return;
        expect(score).toBeGreaterThanOrEqual(0);
        expect(score).toBeLessThanOrEqual(1);
        expect(mobilityScore(times(requests, factor), 'eu')).toBeCloseTo(score, 9);
        const farther = new Map(requests).set('us', (requests.get('us') ?? 0) + more);
        expect(mobilityScore(farther, 'eu')).toBeGreaterThanOrEqual(score - 1e-9);
      }),
    );
  });
});

describe('frequency and heat', () => {
  it('are 0 where nothing is asked for, and not known where nobody asks for anything', () => {
    expect(requestsPerSecond(600, 60_000)).toBe(10);
    expect(requestsPerSecond(0, 0)).toBe(0);
    expect(recentRate([], 3)).toBe(0);
    expect(heat(0, 5)).toBe(0);
    expect(heat(5, 5)).toBe(0.5);
    expect(heat(45, 5)).toBeCloseTo(0.9);
    expect(heat(0, 0)).toBeUndefined();
  });

  it('are bounded, monotonic and independent of scale', () => {
    fc.assert(
      fc.property(
        fc.array(count, { minLength: 1 }),
        count,
        scale,
        fc.integer({ min: 1, max: 50 }),
        (all, more, k, half) => {
          const rate = recentRate(all, half);
          expect(rate).toBeGreaterThanOrEqual(Math.min(...all) - 1e-6);
          expect(rate).toBeLessThanOrEqual(Math.max(...all) + 1e-6);
          expect(recentRate([...all.slice(0, -1), all.at(-1)! + more], half)).toBeGreaterThanOrEqual(rate);
          const warmth = heat(rate, 1 + more);
          expect(warmth).toBeGreaterThanOrEqual(0);
          expect(warmth).toBeLessThan(1);
          expect(heat(rate * k, (1 + more) * k)).toBeCloseTo(warmth!, 9);
          expect(heat(rate + 1, 1 + more)).toBeGreaterThan(warmth!);
        },
      ),
    );
  });

  it('forget old windows by half in a half-life', () => {
    const rate = recentRate([...Array<number>(1_000).fill(0), ...Array<number>(10).fill(8)], 10);
    expect(rate).toBeCloseTo(4, 1);
  });
});

describe('access correlation', () => {
  it('finds what is used together, and tells it from chance', () => {
    const correlation = new AccessCorrelation();
    for (let i = 0; i < 1_000; i++) {
      const busy = i % 2 === 0 ? ['busy'] : [];
      const pair = i % 10 === 0 ? ['cart', 'order'] : [];
      correlation.add([...busy, ...pair, `own-${i}`]);
    }
    const [first] = correlation.top(10);
    expect(first).toEqual({ a: 'cart', b: 'order', sessions: 100, jaccard: 1, lift: 10 });
    const chance = correlation.top(10).find(({ a, b }) => a === 'busy' && b === 'order')!;
    expect(chance.jaccard).toBeLessThan(0.3);
    expect(chance.lift).toBeCloseTo(2, 0);
    expect(new AccessCorrelation().top(3)).toEqual([]);
  });

  it('is the same when parts are counted apart and added up', () => {
    const session = fc.array(fc.nat(9).map(String), { maxLength: 5 });
    fc.assert(
      fc.property(fc.array(session), fc.nat(), (all, cut) => {
        const [whole, sum] = [new AccessCorrelation(), new AccessCorrelation()];
        for (const each of all) whole.add(each);
        const at = all.length === 0 ? 0 : cut % all.length;
        for (const part of [all.slice(0, at), all.slice(at)]) {
          const counted = new AccessCorrelation(50);
          for (const each of part) counted.add(each);
          sum.addCounts(counted.counts(45));
        }
        const sorted = (of: AccessCorrelation) =>
          of.top(Infinity, 1).sort((x, y) => `${x.a} ${x.b}`.localeCompare(`${y.a} ${y.b}`));
        expect(sorted(sum)).toEqual(sorted(whole));
      }),
    );
  });

  it('tells the frequent pairs, and how often each of their items was used', () => {
    const correlation = new AccessCorrelation();
    for (let i = 0; i < 20; i++) correlation.add(i < 5 ? ['rare', 'other'] : ['busy', i < 15 ? 'often' : 'alone']);
    expect(correlation.counts(1)).toEqual({
      sessions: 20,
      items: [
        ['busy', 15],
        ['often', 10],
      ],
      pairs: [['busy', 'often', 10]],
    });
  });

  it('is bounded: shares lie between 0 and 1, and memory does not grow with what is seen', () => {
    const correlation = new AccessCorrelation();
    const session = fc.array(fc.integer({ min: 0, max: 300 }).map(String), { maxLength: 60 });
    fc.assert(
      fc.property(session, (items) => {
        correlation.add(items);
        for (const { jaccard, lift } of correlation.top(20, 1)) {
          expect(jaccard).toBeGreaterThan(0);
          expect(jaccard).toBeLessThanOrEqual(1);
          expect(lift).toBeGreaterThan(0);
        }
      }),
    );
    for (let i = 0; i < 3_000; i++) correlation.add(Array.from({ length: 10 }, (_, j) => `x${i}-${j}`));
    expect(correlation.top(Infinity, 1).length).toBeLessThanOrEqual(2 * 4_096);
  });
});

describe('weights of the ownership score', () => {
  const weights = { frequency: 1, affinity: 0.5, modification: 0.25 };
  const perType = { archive: { frequency: 2, affinity: 0, modification: 0 }, hot: { ...weights, frequency: 3 } };
  const policy = { weights, perType, types: { 'shop.orders': 'archive', 'shop.orders/p3': 'hot' } };

  it('are those of the type of the partition, of its keyspace, or of all', () => {
    const frequency = (keyspace: string, partition: string) =>
      ownershipWeights(policy, keyspace, partition).accessFrequency;
    expect(frequency('shop.orders', 'p1')).toBe(2);
    expect(frequency('shop.orders', 'p3')).toBe(3);
    expect(frequency('shop.carts', 'p3')).toBe(1);
  });
});
