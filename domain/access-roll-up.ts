import type { AccessRecord, AccessWindow } from './access.js';
import type { WithBytes } from './access-bytes.js';
import { partOfBytes, totalBytes } from './access-bytes.js';
import { smallest } from './distinct-count.js';
import { FrequentItems } from './frequent-items.js';
import { grouped } from './grouped.js';
import { compareNames } from './names.js';
import type { Token } from './token.js';

/** An hour, where a window has five minutes: roll-ups of long ago are so many times longer than a window. */
export const WINDOWS_PER_HOUR = 12;

/** Of one partition, from one region, in an hour: those with a larger share than one in so many are always told. */
const TOKENS_KEPT = 64;
const NETWORKS_KEPT = 64;

/** Counts of the access records of one partition and region, added up over a stretch of time. */
export interface RolledUpCounts extends WithBytes {
  readonly tier: 'window' | 'hour';
  readonly region: string;
  /** Beginning, milliseconds since the epoch; a multiple of the length. */
  readonly time: number;
  readonly lengthMs: number;
  readonly reads: number;
  readonly writes: number;
  readonly errors: number;
  readonly latencyMs: { readonly sum: number; readonly max: number };
}

/** What records tell beyond counts, merged: who asked for what, and how long that took. */
export interface AccessDetails {
  readonly bins: readonly (readonly [bin: number, requests: number])[];
  readonly clients: readonly (readonly [network: string, requests: number])[];
  readonly distinctClients: readonly bigint[];
  readonly tokens: readonly (readonly [token: Token, requests: number])[];
}

/** Details of an hour, of one partition and region. */
export interface RolledUpDetails extends AccessDetails {
  readonly region: string;
  readonly time: number;
  readonly lengthMs: number;
}

export interface RolledUp {
  readonly counts: readonly RolledUpCounts[];
  readonly details: readonly RolledUpDetails[];
}

/** What records of one partition add to its windows and hours. */
export function rollUp(records: readonly AccessRecord[], windowMs: number): RolledUp {
  const hourMs = WINDOWS_PER_HOUR * windowMs;
  const by = (lengthMs: number) => [
    ...grouped(records, ({ region, time }) => JSON.stringify([region, startOf(time, lengthMs)])).values(),
  ];
  const hours = by(hourMs);
  return {
    counts: [
      ...by(windowMs).map((inWindow) => countsOf(inWindow, 'window', windowMs)),
      ...hours.map((inHour) => countsOf(inHour, 'hour', hourMs)),
    ],
    details: hours.map((inHour) => ({
      region: inHour[0]!.region,
      time: startOf(inHour[0]!.time, hourMs),
      lengthMs: hourMs,
      ...mergedDetails(inHour.map(detailsOf)),
    })),
  };
}

export const startOf = (time: number, lengthMs: number): number => Math.floor(time / lengthMs) * lengthMs;

function countsOf(records: readonly AccessRecord[], tier: RolledUpCounts['tier'], lengthMs: number): RolledUpCounts {
  const sum = (of: (record: AccessRecord) => number) => records.reduce((total, record) => total + of(record), 0);
  return {
    tier,
    region: records[0]!.region,
    time: startOf(records[0]!.time, lengthMs),
    lengthMs,
    reads: sum(({ reads }) => reads),
    writes: sum(({ writes }) => writes),
    errors: sum(({ errors }) => errors),
    latencyMs: {
      sum: sum(({ latencyMs }) => latencyMs.sum),
      max: records.reduce((most, { latencyMs }) => Math.max(most, latencyMs.max), 0),
    },
    ...totalBytes(records),
  };
}

const detailsOf = ({ latencyMs, clients, distinctClients = [], tokens }: AccessRecord): AccessDetails => ({
  bins: latencyMs.bins ?? [],
  clients,
  distinctClients,
  tokens,
});

/**
 * Details of several stretches as those of one, of bounded size: bins are added up, of networks and tokens the frequent ones are
 * kept (their counts are never too large), of hashes the smallest.
 */
export function mergedDetails(all: readonly AccessDetails[]): AccessDetails {
  const bins = new Map<number, number>();
  for (const [bin, requests] of all.flatMap((each) => each.bins)) bins.set(bin, (bins.get(bin) ?? 0) + requests);
  return {
    bins: [...bins].sort(([a], [b]) => a - b),
    clients: frequent(
      all.flatMap(({ clients }) => clients),
      NETWORKS_KEPT,
    ),
    distinctClients: smallest(all.flatMap(({ distinctClients }) => distinctClients)),
    tokens: frequent(
      all.flatMap(({ tokens }) => tokens),
      TOKENS_KEPT,
    ),
  };
}

function frequent<T>(counts: readonly (readonly [T, number])[], most: number): (readonly [T, number])[] {
  const items = new FrequentItems<T>(most);
  for (const [item, count] of counts) items.add(item, count);
  return items.top(2 * most);
}

/** Counts of one partition and region in a stretch of time, as they are stored: records on the grid of windows, roll-ups on their own. */
export interface StoredCounts extends Omit<AccessWindow, 'clients' | 'spread'> {
  readonly tier: 'record' | RolledUpCounts['tier'];
  readonly lengthMs: number;
}

/**
 * Windows from what there is: records, windows that were rolled up, and hours, which hold the same as these. Windows are kept
 * for a shorter time. Where those of an hour are not complete any more, the hour is spread evenly over its windows.
 *
 * @returns oldest first, then by partition and region
 */
export function windowsFrom(stored: readonly StoredCounts[], windowMs: number): AccessWindow[] {
  const windows = new Map<string, AccessWindow>();
  const addTo = (start: number, counts: StoredCounts, spread: boolean) => {
    const { partition, region } = counts;
    const key = JSON.stringify([partition, region, start]);
    windows.set(key, sumOf(windows.get(key) ?? { ...NOTHING, partition, region, start }, counts, spread));
  };
  const add = (counts: StoredCounts) => {
    const parts = Math.max(1, Math.round(counts.lengthMs / windowMs));
    const part = parts === 1 ? counts : partOf(counts, parts);
    const first = startOf(counts.start, windowMs);
    for (let i = 0; i < parts; i++) addTo(first + i * windowMs, part, parts > 1);
  };
  for (const own of grouped(stored, ({ partition, region }) => JSON.stringify([partition, region])).values()) {
    const fine = own.filter(({ tier }) => tier === 'window');
    const gone = new Set<StoredCounts>();
    for (const [lengthMs, hours] of grouped(own.filter(isHour), (hour) => hour.lengthMs)) {
      const byHour = grouped(fine, ({ start }) => startOf(start, lengthMs));
      for (const hour of hours) {
        const inHour = byHour.get(hour.start) ?? [];
        if (inHour.reduce((sum, each) => sum + requestsOf(each), 0) === requestsOf(hour)) continue;
        for (const each of inHour) gone.add(each);
        add(hour);
      }
    }
    for (const each of own) if (!isHour(each) && !gone.has(each)) add(each);
  }
  return [...windows.values()].sort(
    (a, b) => a.start - b.start || compareNames(a.partition, b.partition) || compareNames(a.region, b.region),
  );
}

const NOTHING = { reads: 0, writes: 0, errors: 0, latencyMsSum: 0, latencyMsMax: 0, clients: [] } as const;

const isHour = ({ tier }: StoredCounts): boolean => tier === 'hour';

const requestsOf = ({ reads, writes }: StoredCounts): number => reads + writes;

const partOf = (whole: StoredCounts, parts: number): StoredCounts => ({
  ...whole,
  reads: whole.reads / parts,
  writes: whole.writes / parts,
  errors: whole.errors / parts,
  latencyMsSum: whole.latencyMsSum / parts,
  ...partOfBytes(whole, parts),
});

const sumOf = (window: AccessWindow, more: StoredCounts, spread: boolean): AccessWindow => ({
  ...window,
  reads: window.reads + more.reads,
  writes: window.writes + more.writes,
  errors: window.errors + more.errors,
  latencyMsSum: window.latencyMsSum + more.latencyMsSum,
  latencyMsMax: Math.max(window.latencyMsMax, more.latencyMsMax),
  ...totalBytes([window, more]),
  ...(spread ? { spread } : {}),
});
