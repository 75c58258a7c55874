import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AccessRecord, AccessWindow } from '../../domain/access.js';
import { totalBytes } from '../../domain/access-bytes.js';
import type { AccessDetails, RolledUpCounts, StoredCounts } from '../../domain/access-roll-up.js';
import { mergedDetails, rollUp, windowsFrom, WINDOWS_PER_HOUR } from '../../domain/access-roll-up.js';

const WINDOW = 300_000;
const HOUR = WINDOWS_PER_HOUR * WINDOW;

const record = (region: string, time: number, reads: number, writes: number): AccessRecord => ({
  keyspace: 'shop.orders',
  partition: 'p0',
  region,
  time,
  reads,
  writes,
  errors: reads % 2,
  latencyMs: { sum: 2 * reads, max: reads, bins: [[reads, reads]] },
  clients: [[`10.0.${reads}.0/24`, reads]],
  distinctClients: [BigInt(reads)],
  tokens: [[BigInt(writes), writes]],
  // Some are of before bytes were counted.
  ...(reads % 3 === 0 ? {} : { bytes: { read: 100 * reads, written: 10 * writes, requests: reads + writes } }),
});

const records = fc.array(
  fc
    .tuple(fc.constantFrom('eu', 'us'), fc.nat(4 * HOUR), fc.integer({ min: 1, max: 50 }), fc.nat(50))
    .map((values) => record(...values)),
  { maxLength: 60 },
);

/** As the catalog does: what is of the same stretch is added up. */
function stored(counts: readonly RolledUpCounts[]): StoredCounts[] {
  const byId = new Map<string, StoredCounts>();
  for (const { tier, region, time, lengthMs, latencyMs, ...more } of counts) {
    const id = JSON.stringify([tier, region, time]);
    const before = byId.get(id);
    byId.set(id, {
      ...{ tier, region, lengthMs, partition: 'p0', start: time },
      reads: more.reads + (before?.reads ?? 0),
      writes: more.writes + (before?.writes ?? 0),
      errors: more.errors + (before?.errors ?? 0),
      latencyMsSum: latencyMs.sum + (before?.latencyMsSum ?? 0),
      latencyMsMax: Math.max(latencyMs.max, before?.latencyMsMax ?? 0),
      ...totalBytes([more, before ?? {}]),
    });
  }
  return [...byId.values()];
}

const asStored = ({ region, time, reads, writes, errors, latencyMs, bytes }: AccessRecord): StoredCounts => ({
  ...{ tier: 'record', partition: 'p0', region, start: time, lengthMs: 0, reads, writes, errors },
  ...{ latencyMsSum: latencyMs.sum, latencyMsMax: latencyMs.max, ...(bytes && { bytes }) },
});

const total = (windows: readonly AccessWindow[]) =>
  windows.reduce((sum, { reads, writes, errors, latencyMsSum, bytes = { read: 0, written: 0, requests: 0 } }) => {
    const { read, written, requests } = bytes;
    return sum + reads + writes + errors + latencyMsSum + read + written + requests;
  }, 0);

describe('access records that were rolled up', () => {
  it('say the same of each window, whichever of them were, and in whatever pieces', () => {
    fc.assert(
      fc.property(records, fc.integer({ min: 1, max: 10 }), fc.nat(60), (all, size, live) => {
        const old = all.slice(live);
        const pieces = Array.from({ length: Math.ceil(old.length / size) }, (_, i) =>
          rollUp(old.slice(i * size, (i + 1) * size), WINDOW),
        );
        const kept = [...stored(pieces.flatMap(({ counts }) => counts)), ...all.slice(0, live).map(asStored)];
        expect(windowsFrom(kept, WINDOW)).toEqual(windowsFrom(all.map(asStored), WINDOW));
        // An hour is enough where longer windows are asked for.
        const hours = kept.filter(({ tier }) => tier !== 'window');
        expect(windowsFrom(hours, HOUR)).toEqual(windowsFrom(all.map(asStored), HOUR));
      }),
    );
  });

  it('are spread over the windows of an hour where one of these is gone, and add up as before', () => {
    fc.assert(
      fc.property(records, fc.nat(), (all, chosen) => {
        const kept = stored(rollUp(all, WINDOW).counts);
        const fine = kept.filter(({ tier }) => tier === 'window');
        if (fine.length === 0) return;
        const gone = fine[chosen % fine.length]!;
        const windows = windowsFrom(
          kept.filter((each) => each !== gone),
          WINDOW,
        );
        expect(total(windows)).toBeCloseTo(total(windowsFrom(all.map(asStored), WINDOW)), 6);
        const spread = windows.filter((each) => each.spread);
        expect(spread).toHaveLength(WINDOWS_PER_HOUR);
        expect(new Set(spread.map(({ reads }) => reads)).size).toBe(1);
      }),
    );
  });

  it('keep the busiest keys and networks of an hour, in bounded size', () => {
    const of = (token: number, count: number): AccessDetails => ({
      bins: [[token % 7, count]],
      clients: [[`10.0.${token}.0/24`, count]],
      distinctClients: [BigInt(token)],
      tokens: [[BigInt(token), count]],
    });
    let merged: AccessDetails = { bins: [], clients: [], distinctClients: [], tokens: [] };
    for (let round = 0; round < 20; round++) {
      const rare = Array.from({ length: 50 }, (_, i) => of(1_000 + 50 * round + i, 1));
      merged = mergedDetails([merged, of(1, 40), ...rare]);
    }
    expect(merged.tokens.length).toBeLessThanOrEqual(128);
    expect(merged.clients.length).toBeLessThanOrEqual(128);
    expect(merged.distinctClients).toHaveLength(256);
    expect(merged.bins.reduce((sum, [, requests]) => sum + requests, 0)).toBe(20 * 90);
    const [[token, count]] = merged.tokens as [[bigint, number]];
    expect(token).toBe(1n);
    // Never too large, and too small by no more than 1/65 of all.
    expect(count).toBeLessThanOrEqual(800);
    expect(count).toBeGreaterThanOrEqual(800 - 1_800 / 65);
  });
});
