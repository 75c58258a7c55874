import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { attributed } from '../../domain/attribution.js';
import { mobilityScore } from '../../domain/mobility-score.js';
import { distanceFrom } from '../../domain/region-distance.js';

const served = fc.array(fc.record({ reads: fc.nat(1_000), writes: fc.nat(1_000) }), { minLength: 1 });
const sum = (values: readonly (number | null)[]) => values.reduce<number>((total, value) => total + (value ?? 0), 0);

describe('what a node uses', () => {
  it('is divided among its partitions, nothing of it twice, and none of it lost', () => {
    const use = {
      cpuCores: 1.5,
      diskReadMbPerSecond: 3,
      diskWriteMbPerSecond: 7,
      latencyMs: { reads: 0.2, writes: 1 },
    };
    fc.assert(
      fc.property(served, (requests) => {
        const parts = attributed(requests, use);
        const some = (kind: 'reads' | 'writes') => requests.some((each) => each[kind] > 0);
        const busy = some('reads') || some('writes');
        expect(sum(parts.map(({ share }) => share))).toBeCloseTo(busy ? 1 : 0, 9);
        expect(sum(parts.map(({ cpuCores }) => cpuCores))).toBeCloseTo(busy ? 1.5 : 0, 9);
        expect(sum(parts.map((each) => each.diskReadMbPerSecond))).toBeCloseTo(some('reads') ? 3 : 0, 9);
        expect(sum(parts.map((each) => each.diskWriteMbPerSecond))).toBeCloseTo(some('writes') ? 7 : 0, 9);
      }),
    );
  });

  it('goes by the time that its server takes for a read and a write', () => {
    const requests = [
      { reads: 100, writes: 0 },
      { reads: 0, writes: 100 },
    ];
    const byTime = attributed(requests, { cpuCores: 1, latencyMs: { reads: 1, writes: 3 } });
    expect(byTime.map(({ cpuCores }) => cpuCores)).toEqual([0.25, 0.75]);
    const unknown = attributed(requests, { cpuCores: 1, latencyMs: { reads: 1 } });
    expect(unknown.map(({ cpuCores }) => cpuCores)).toEqual([0.5, 0.5]);
  });

  it('is unknown, not zero, where the node does not tell, or nothing was served', () => {
    expect(attributed([{ reads: 1, writes: 0 }], {})).toEqual([
      { share: 1, cpuCores: null, diskReadMbPerSecond: null, diskWriteMbPerSecond: null },
    ]);
    expect(attributed([{ reads: 0, writes: 0 }], { cpuCores: 1 })[0]!.cpuCores).toBeNull();
  });
});

describe('the distance of a region from a node', () => {
  const roundTrips = [
    { node: 'eu-1', region: 'eu', ms: 1 },
    { node: 'eu-1', region: 'us', ms: 80 },
    { node: 'eu-1', region: 'asia', ms: 160 },
    { node: 'us-1', region: 'eu', ms: 80 },
  ];

  it('is its round trip beside the longest one', () => {
    const distance = distanceFrom('eu-1', roundTrips);
    expect(['us', 'asia', 'nowhere'].map(distance)).toEqual([0.5, 1, 1]);
    const requests = new Map([
      ['us', 50],
      ['eu', 50],
    ]);
    expect(mobilityScore(requests, 'eu', distance)).toBe(0.25);
  });

  it('is the whole one as long as nothing is known, or all are in one place', () => {
    expect(distanceFrom('us-1', [])('eu')).toBe(1);
    expect(distanceFrom('eu-1', [{ node: 'eu-1', region: 'us', ms: 2 }])('us')).toBe(1);
  });

  it('stays within 0 and 1', () => {
    const trip = fc.record({ node: fc.constantFrom('a', 'b'), region: fc.constantFrom('x', 'y'), ms: fc.nat(500) });
    fc.assert(
      fc.property(fc.array(trip), (trips) => {
        for (const region of ['x', 'y']) {
          const distance = distanceFrom('a', trips)(region);
          expect(distance >= 0 && distance <= 1).toBe(true);
        }
      }),
    );
  });
});
