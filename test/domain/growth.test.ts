import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { growth, trend } from '../../domain/growth.js';
import type { SizeReading } from '../../domain/size-growth.js';
import { entitySize, nodeGrowth, partOfSize, sizeGrowth } from '../../domain/size-growth.js';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const NOW = Date.UTC(2026, 0, 8);
const scale = fc.integer({ min: 1, max: 1_000 });

/** One an hour until now, the newest last. */
const readings = (hours: number, of: (hour: number) => Partial<SizeReading>): SizeReading[] =>
  Array.from({ length: hours }, (_, i) => ({
    ...{ time: NOW - (hours - i) * HOUR + 60_000, node: 'eu-1', documents: 0, bytes: 0 },
    ...of(i),
  }));

describe('growth', () => {
  it('is the share that comes on in a unit of time, whatever some wild values say', () => {
    const steady = Array.from({ length: 240 }, (_, hour) => 1_000 + 10 * hour);
    // 240 a day, of a median of about 2,200.
    expect(growth(steady, 24)).toBeCloseTo(240 / 2_195, 2);
    const wild = steady.map((value, i) => (i % 8 === 0 ? 50 * value : value));
    expect(growth(wild.slice(0, 60), 24)! / growth(steady.slice(0, 60), 24)!).toBeGreaterThan(0.7);
    expect(growth(wild.slice(0, 60), 24)! / growth(steady.slice(0, 60), 24)!).toBeLessThan(1.3);
    expect(growth([...steady].reverse(), 24)).toBeCloseTo(-240 / 2_195, 2);
    for (const none of [[], [1, 2, 3], Array<number>(50).fill(0)]) expect(growth(none, 24)).toBeUndefined();
  });

  it('does not depend on scale, and is 0 where nothing changes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 10_000 }), { minLength: 4, maxLength: 200 }),
        scale,
        (values, k) => {
          const once = growth(values, 10)!;
          expect(
            growth(
              values.map((value) => value * k),
              10,
            ),
          ).toBeCloseTo(once, 6);
          expect(
            growth(
              values.map(() => 7),
              10,
            ),
          ).toBeCloseTo(0);
        },
      ),
    );
  });
});

describe('a trend', () => {
  it('of what goes up evenly is that, whichever points are missing', () => {
    const points = fc.uniqueArray(fc.integer({ min: 0, max: 500 }), { minLength: 4, maxLength: 200 });
    fc.assert(
      fc.property(points, fc.integer({ min: -100, max: 100 }), (times, slope) => {
        const sorted = times.sort((a, b) => a - b).map((time) => ({ time, value: 1_000 + slope * time }));
        expect(trend(sorted, 24)!.perUnit).toBeCloseTo(24 * slope, 6);
      }),
    );
  });

  it('is not known of too few points, or of one moment', () => {
    expect(trend([], 1)).toBeUndefined();
    expect(
      trend(
        [1, 2, 3].map((time) => ({ time, value: time })),
        1,
      ),
    ).toBeUndefined();
    expect(
      trend(
        [1, 2, 3, 4].map((value) => ({ time: 7, value })),
        1,
      ),
    ).toBeUndefined();
  });
});

describe('growth of a size', () => {
  it('is what comes on in a day, in bytes and documents, also where a node was away for some hours', () => {
    const all = readings(100, (hour) => ({ documents: 10 * hour, bytes: 1_000 + 500 * hour }));
    const found = sizeGrowth(all, NOW)!;
    expect(found.documentsPerDay).toBeCloseTo(240);
    expect(found.bytesPerDay).toBeCloseTo(12_000);
    expect(found.sharePerDay).toBeCloseTo(12_000 / (1_000 + 500 * 49.5), 2);
    const some = sizeGrowth(
      all.filter((_, i) => i % 3 !== 0 && (i < 40 || i > 70)),
      NOW,
    )!;
    expect(some.bytesPerDay).toBeCloseTo(12_000);
  });

  it('is no move to a node that stores it in another way', () => {
    const found = sizeGrowth(
      readings(20, (hour) => ({
        ...{ documents: 100, bytes: 5_000 + 100 * hour },
        ...(hour < 10 ? { node: 'eu-1', bytesOnDisk: 2_000 } : { node: 'us-1', bytesOnDisk: 90_000 }),
      })),
      NOW,
    )!;
    expect(found.bytesPerDay).toBeCloseTo(2_400);
    expect(found.documentsPerDay).toBe(0);
  });

  it('is no move out of a collection with others, where bytes were an estimate', () => {
    const moved = readings(20, (hour) => ({
      documents: 100 + hour,
      ...(hour < 10 ? { bytes: 9_000 + 90 * hour, estimated: true as const } : { bytes: 5_000 + 50 * hour }),
    }));
    const found = sizeGrowth(moved, NOW)!;
    expect(found.estimated).toBe(false);
    expect(found.bytesPerDay).toBeCloseTo(1_200);
    expect(found.documentsPerDay).toBeCloseTo(24);
    expect(sizeGrowth(moved.slice(0, 13), NOW)).toBeUndefined();
    const before = sizeGrowth(moved.slice(0, 10), NOW)!;
    expect(before.estimated).toBe(true);
    expect(before.bytesPerDay).toBeCloseTo(2_160);
  });

  it('is not known of three hours, nor of what was looked at for the last time days ago', () => {
    const all = readings(100, (hour) => ({ bytes: hour }));
    expect(sizeGrowth([], NOW)).toBeUndefined();
    expect(sizeGrowth(all.slice(-3), NOW)).toBeUndefined();
    expect(sizeGrowth(all, NOW + 2 * DAY + HOUR)).toBeUndefined();
    expect(sizeGrowth(all, NOW + DAY)!.bytesPerDay).toBeCloseTo(24);
    const empty = readings(10, () => ({}));
    expect(sizeGrowth(empty, NOW)).toEqual({ bytesPerDay: 0, documentsPerDay: 0, sharePerDay: null, estimated: false }); // prettier-ignore
  });
});

describe('a part of the size of a collection', () => {
  it('adds up to the collection, whichever documents are whose', () => {
    const all = { documents: 40, bytes: 4_000, bytesOnDisk: 2_000 };
    expect(partOfSize(all, 10)).toEqual({ documents: 10, bytes: 1_000, bytesOnDisk: 500, estimated: true });
    expect(partOfSize({ documents: 0, bytes: 0 }, 0)).toEqual({ documents: 0, bytes: 0, estimated: true });
  });
});

describe('the size of an entity', () => {
  const token = 7n;

  it('is its share of the partition, and its growth over the hours in which it was counted', () => {
    const all = readings(24, (hour) => ({
      documents: 1_000,
      ...(hour % 2 === 0 ? {} : { entities: [[3n, 1, 9] as const, [token, 100 + 5 * hour, 7 * hour] as const] }),
    }));
    const found = entitySize(all, token, NOW)!;
    expect(found).toMatchObject({ documents: 215, bytes: 7 * 23, share: 0.215 });
    expect(found.documentsPerDay).toBeCloseTo(120);
    expect(entitySize(all, 8n, NOW)).toBeUndefined();
    expect(entitySize(all, token, NOW + 3 * DAY)).toBeUndefined();
    expect(entitySize(all.slice(-4), token, NOW)).toMatchObject({ documents: 215, documentsPerDay: null });
  });

  it('is all of the partition where documents have come since that was counted', () => {
    const [reading] = readings(1, () => ({ documents: 9, entities: [[token, 10, 100]] }));
    expect(entitySize([reading!], token, NOW)!.share).toBe(1);
  });
});

describe('growth of a node', () => {
  const owned = (partition: string, bytesPerDay: number | undefined, newest: Partial<SizeReading> = {}) => ({
    ...{ keyspace: 'shop.orders', partition },
    growth:
      bytesPerDay === undefined ? undefined : { bytesPerDay, documentsPerDay: 1, sharePerDay: null, estimated: false },
    newest: { time: NOW, node: 'eu-1', documents: 1, bytes: 1_000, bytesOnDisk: 500, ...newest },
  });

  it('is that of its partitions, and fills its disk as these are stored there', () => {
    const found = nodeGrowth('eu-1', [owned('p0', 300), owned('p1', -100), owned('p2', 800, { bytes: 4_000 })], 1e6);
    expect(found).toMatchObject({ bytesPerDay: 1_000, documentsPerDay: 3, known: 3, unknown: 0 });
    expect(found.diskBytesPerDay).toBeCloseTo(250);
    expect(found.daysUntilDiskFull).toBeCloseTo(4_000);
    expect(found.partitions.map(({ partition }) => partition)).toEqual(['p2', 'p0', 'p1']);
  });

  it('does not say when the disk is full where something is unknown, or nothing grows', () => {
    const all = [owned('p0', 300), owned('p1', 100)];
    expect(nodeGrowth('eu-1', all, undefined).daysUntilDiskFull).toBeNull();
    expect(nodeGrowth('eu-1', [...all, owned('p2', undefined)], 1e6)).toMatchObject({
      ...{ bytesPerDay: 400, known: 2, unknown: 1, daysUntilDiskFull: null },
    });
    expect(nodeGrowth('eu-1', [owned('p0', -300)], 1e6).daysUntilDiskFull).toBeNull();
    // Of another node's disk.
    const elsewhere = [owned('p0', 300, { node: 'us-1' })];
    expect(nodeGrowth('eu-1', elsewhere, 1e6)).toMatchObject({ bytesPerDay: 300, diskBytesPerDay: null });
    expect(nodeGrowth('eu-1', [], 1e6)).toMatchObject({ bytesPerDay: null, known: 0, unknown: 0 });
  });

  it('grows with each partition, in proportion', () => {
    const partitions = fc.array(fc.integer({ min: -1_000, max: 1_000 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(partitions, scale, (each, k) => {
        const of = (factor: number) =>
          nodeGrowth('eu-1', each.map((bytes, i) => owned(`p${i}`, factor * bytes)), 1e6); // prettier-ignore
        expect(of(k).bytesPerDay).toBeCloseTo(k * of(1).bytesPerDay!, 6);
        const days = of(1).daysUntilDiskFull;
        if (days !== null) expect(of(k).daysUntilDiskFull).toBeCloseTo(days / k, 6);
      }),
    );
  });
});
