import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AccessWindow } from '../../domain/access.js';
import {
  accessFrequency,
  clientAffinity,
  modificationRate,
  ownershipBand,
  ownershipMetrics,
  ownershipScore,
} from '../../domain/ownership-score.js';

const window = (part: Partial<AccessWindow>): AccessWindow => ({
  partition: 'p0',
  region: 'east',
  start: 0,
  reads: 0,
  writes: 0,
  errors: 0,
  latencyMsSum: 0,
  latencyMsMax: 0,
  clients: [],
  ...part,
});

const count = fc.integer({ min: 0, max: 1_000_000 });
const anyWindow = fc
  .record({
    region: fc.constantFrom('east', 'west', 'north'),
    reads: count,
    writes: count,
    clients: fc.array(fc.tuple(fc.constantFrom('10.0.0.0/16', '10.1.0.0/16', '10.2.0.0/16'), count), { maxLength: 3 }),
  })
  .map(window);

describe('access frequency', () => {
  it('is 1 where the partition is used most, and else relative to the busiest region', () => {
    const requests = new Map([
      ['east', 50],
      ['west', 200],
    ]);
    expect(accessFrequency(requests, 'west')).toBe(1);
    expect(accessFrequency(requests, 'east')).toBe(0.25);
    expect(accessFrequency(requests, 'south')).toBe(0);
  });

  it('is not known without requests', () => {
    expect(accessFrequency(new Map(), 'east')).toBeUndefined();
    expect(accessFrequency(new Map([['east', 0]]), 'east')).toBeUndefined();
  });
});

describe('client affinity', () => {
  it('is 1 for a single network and 0 for an even spread', () => {
    expect(clientAffinity([window({ reads: 8, clients: [['a', 8]] })])).toBe(1);
    const even = window({
      reads: 8,
      clients: [
        ['a', 4],
        ['b', 4],
      ],
    });
    expect(clientAffinity([even])).toBe(0);
  });

  it('adds up a network over windows and regions', () => {
    const windows = ['east', 'west'].map((region) => window({ region, reads: 5, clients: [['a', 5]] }));
    expect(clientAffinity(windows)).toBe(1);
  });

  it('does not take a cut-off list of networks for concentration', () => {
    const listed = window({ reads: 10, clients: [['a', 10]] });
    const cutOff = window({ reads: 1000, clients: [['a', 10]] });
    expect(clientAffinity([listed])).toBe(1);
    expect(clientAffinity([cutOff])).toBeLessThan(0.001);
  });

  it('lies in [0, 1] and rises when the busiest network gets busier', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 2, maxLength: 10 }),
        fc.integer({ min: 1, max: 1000 }),
        (counts, more) => {
          const affinity = (of: readonly number[]): number =>
            clientAffinity([
              window({ reads: of.reduce((a, b) => a + b, 0), clients: of.map((n, i) => [`network ${i}`, n]) }),
            ]);
          const sorted = [...counts].sort((a, b) => b - a);
          const before = affinity(sorted);
          const after = affinity([(sorted[0] ?? 0) + more, ...sorted.slice(1)]);
          expect(before).toBeGreaterThanOrEqual(0);
          expect(after).toBeLessThanOrEqual(1);
          expect(after).toBeGreaterThanOrEqual(before - 1e-12);
        },
      ),
    );
  });
});

describe('ownership score', () => {
  it('is the weighted sum of the source document', () => {
    const metrics = { accessFrequency: 0.5, clientAffinity: 0.4, modificationRate: 0.25 };
    const weights = { accessFrequency: 0.8, clientAffinity: 0.5, modificationRate: 0.4 };
    expect(ownershipScore(metrics, weights)).toBeCloseTo(0.8 * 0.5 + 0.5 * 0.4 - 0.4 * 0.25, 12);
  });

  it('is not known without requests', () => {
    expect(ownershipMetrics([], 'east')).toBeUndefined();
    expect(ownershipMetrics([window({})], 'east')).toBeUndefined();
    expect(modificationRate([window({})])).toBeUndefined();
  });

  it('keeps every metric in [0, 1] and the score in [-wM, wF + wA]', () => {
    const weight = fc.double({ min: 0, max: 10, noNaN: true });
    fc.assert(
      fc.property(fc.array(anyWindow, { maxLength: 8 }), weight, weight, weight, (windows, f, a, m) => {
        const metrics = ownershipMetrics(windows, 'east');
        if (metrics === undefined) return;
        for (const metric of Object.values(metrics)) {
          expect(metric).toBeGreaterThanOrEqual(0);
          expect(metric).toBeLessThanOrEqual(1);
        }
        const score = ownershipScore(metrics, { accessFrequency: f, clientAffinity: a, modificationRate: m });
        expect(score).toBeGreaterThanOrEqual(-m - 1e-9);
        expect(score).toBeLessThanOrEqual(f + a + 1e-9);
      }),
    );
  });

  it('never falls when the primary region asks more', () => {
    fc.assert(
      fc.property(fc.array(anyWindow, { minLength: 1, maxLength: 8 }), count, (windows, more) => {
        const frequency = (of: AccessWindow[]): number => ownershipMetrics(of, 'east')?.accessFrequency ?? 0;
        const busier = [...windows, window({ region: 'east', reads: more })];
        expect(frequency(busier)).toBeGreaterThanOrEqual(frequency(windows));
      }),
    );
  });

  it('has bands that start at their thresholds', () => {
    const thresholds = { high: 0.7, medium: 0.4 };
    expect([0.7, 0.69, 0.4, 0.39].map((score) => ownershipBand(score, thresholds))).toEqual([
      'High',
      'Medium',
      'Medium',
      'Low',
    ]);
  });
});
