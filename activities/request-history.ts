import type { Span } from '../domain/span.js';
import { uncovered } from '../domain/span.js';
import { regionalSeries } from '../domain/series.js';
import type { Catalog } from '../store/catalog/catalog.js';
import type { PartitionRange } from '../store/catalog/partition-range.js';
import type { ForecastPolicy } from './dependencies.js';

/** So much history is asked for at once: what is in memory are the series, not the rows. */
const CHUNK_MS = 24 * 3_600_000;

/** Records of a window that is over may still be on their way: routers write them every second. */
export const GRACE_MS = 2_000;

/** The grid of a forecast: history `[start, end)` in complete windows, then `horizon` steps from `end` on. */
export interface ForecastGrid {
  readonly start: number;
  readonly end: number;
  readonly windowMs: number;
  readonly horizon: number;
}

/** The window that `at` lies in is not over yet: history ends before it, and the forecast begins with it. So it is with one that has just ended. */
export function forecastGrid({ window, history, horizon }: ForecastPolicy, at: number): ForecastGrid {
  const onGrid = (time: number) => Math.floor(time / window) * window;
  const end = onGrid(at - GRACE_MS);
  return { start: onGrid(end - history), end, windowMs: window, horizon: Math.max(1, Math.ceil(horizon / window)) };
}

/** Requests per window of one partition and region, `NaN` where no log tells them; ends with the grid's history. */
export interface RequestSeries {
  readonly requests: Float64Array;
  /** So many of the first values are even shares of what is known by the hour: the windows are not kept for so long. */
  readonly spread: number;
}

/** By partition and region. */
export type SeriesOfPartitions = ReadonlyMap<string, ReadonlyMap<string, RequestSeries>>;

export interface RequestHistory {
  readonly series: SeriesOfPartitions;
  /** Whether the window that begins then lies between logs: what is not there may have been. */
  readonly isUnknown: (start: number) => boolean;
}

/**
 * Requests per window of every partition and region, since the first record of the keyspace: what is asked for of a few partitions alone is
 * the same as of all.
 */
export async function loadHistory(
  catalog: Catalog,
  keyspace: string,
  partitions: PartitionRange,
  { start, end, windowMs }: ForecastGrid,
  signal: AbortSignal,
): Promise<RequestHistory> {
  const history = new Map<string, Map<string, { requests: Float64Array; spread: number }>>();
  const gaps: Span[] = [];
  const isUnknown = (at: number) => gaps.some((gap) => gap.from <= at && at + windowMs <= gap.until);
  const chunkMs = Math.max(1, Math.floor(CHUNK_MS / windowMs)) * windowMs;
  const first = await catalog.access.firstWindow(keyspace, windowMs);
  if (first === undefined) return { series: history, isUnknown };
  const origin = Math.max(start, first); // nothing is known of the time before, which is not the same as no requests
  for (let from = start; from < end; from += chunkMs) {
    signal.throwIfAborted();
    const to = Math.min(end, from + chunkMs);
    if (to <= origin) continue;
    const windows = await catalog.access.windows(keyspace, from, to, windowMs, partitions);
    for (const part of regionalSeries(windows, { start: from, end: to, lengthMs: windowMs, firstRecordAt: origin })) {
      const regions = history.get(part.partition) ?? new Map<string, { requests: Float64Array; spread: number }>();
      history.set(part.partition, regions);
      const series = regions.get(part.region) ?? { requests: new Float64Array((end - origin) / windowMs), spread: 0 };
      regions.set(part.region, series);
      series.requests.set(part.requests, (part.start - origin) / windowMs);
    }
    for (const { partition, region, start } of windows.filter(({ spread }) => spread)) {
      const series = history.get(partition)?.get(region);
      if (series !== undefined) series.spread = Math.max(series.spread, (start - origin) / windowMs + 1);
    }
  }
  gaps.push(...(await gapsBetweenLogs(catalog, keyspace, { start: origin, end, windowMs })));
  for (const { requests } of [...history.values()].flatMap((regions) => [...regions.values()])) {
    for (const { from, until } of gaps) requests.fill(NaN, (from - origin) / windowMs, (until - origin) / windowMs);
  }
  return { series: history, isUnknown };
}

/**
 * Windows outside of the logs of a keyspace in which nothing is known of any of its partitions: its accesses are known from logs there. Where
 * routers count, too, there is something.
 */
async function gapsBetweenLogs(
  { access, ingestions }: Catalog,
  keyspace: string,
  { start, end, windowMs }: Pick<ForecastGrid, 'start' | 'end' | 'windowMs'>,
): Promise<Span[]> {
  const gaps: Span[] = [];
  for (const { from, until } of uncovered(await ingestions.spans(keyspace), start, end)) {
    const gap = { from: Math.ceil(from / windowMs) * windowMs, until: Math.floor(until / windowMs) * windowMs };
    if (gap.from < gap.until && (await access.isSilent(keyspace, gap.from, gap.until))) gaps.push(gap);
  }
  return gaps;
}
