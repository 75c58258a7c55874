import type { AccessWindow } from './access.js';
import { DroverError } from './errors.js';
import { compareNames } from './names.js';

/** Requests to one partition from one region, one value a window, without gaps. */
export interface RegionalSeries {
  readonly partition: string;
  readonly region: string;
  /** Start of the first window, milliseconds since the epoch. */
  readonly start: number;
  /** Length of a window in milliseconds. */
  readonly lengthMs: number;
  /** Reads and writes per window. */
  readonly requests: readonly number[];
}

export interface SeriesOptions {
  /** Windows `[start, end)` are wanted; both milliseconds since the epoch on the grid, `end` the end of the last complete window. */
  readonly start: number;
  readonly end: number;
  readonly lengthMs: number;
  /**
   * When routers first reported anything, milliseconds since the epoch. Before it nothing is known, so the series
   * start with its window. Without it, the earliest of the given windows stands for it.
   */
  readonly firstRecordAt?: number;
}

/**
 * Turns access windows into one gap-free, equally spaced series per partition and region.
 *
 * A window that is absent counts as 0 requests: routers were reporting, and there was nothing to report. Before the
 * first record ever there is no history, which is not the same as no requests. All series therefore start at the same
 * window, also that of a region that came later: its zeros are known. Windows outside `[start, end)` are left out;
 * several windows of one partition, region and start are added up.
 *
 * Sorted by partition, then region.
 *
 * @throws DroverError `InvalidRequest` if a time is off the grid, the end lies before the start, or a count is negative
 *   or not finite.
 */
export function regionalSeries(windows: readonly AccessWindow[], options: SeriesOptions): RegionalSeries[] {
  const { lengthMs, end } = options;
  if (!(Number.isSafeInteger(lengthMs) && lengthMs > 0)) {
    throw new DroverError(
      'InvalidRequest',
      `The length of a window is a positive number of milliseconds, not ${lengthMs}.`,
    );
  }
  requireOnGrid(options.start, lengthMs, 'start');
  requireOnGrid(end, lengthMs, 'end');
  if (end < options.start) {
    throw new DroverError('InvalidRequest', `A series cannot end (${end}) before it starts (${options.start}).`);
  }
  for (const window of windows) {
    requireOnGrid(window.start, lengthMs, `start of the window of partition ${window.partition}`);
    requireCount(window.reads, window);
    requireCount(window.writes, window);
  }

  const firstRecordAt =
    options.firstRecordAt ?? windows.reduce((earliest, window) => Math.min(earliest, window.start), Infinity);
  const start = Math.max(options.start, Math.floor(firstRecordAt / lengthMs) * lengthMs);
  const steps = start < end ? (end - start) / lengthMs : 0;
  if (steps === 0) return [];

  const byPartition = new Map<string, Map<string, number[]>>();
  for (const window of windows) {
    if (window.start < start || window.start >= end) continue;
    const regions = getOrAdd(byPartition, window.partition, () => new Map<string, number[]>());
    const requests = getOrAdd(regions, window.region, () => new Array<number>(steps).fill(0));
    const step = (window.start - start) / lengthMs;
    requests[step] = (requests[step] ?? 0) + window.reads + window.writes;
  }
  return [...byPartition]
    .sort(byName)
    .flatMap(([partition, regions]) =>
      [...regions].sort(byName).map(([region, requests]) => ({ partition, region, start, lengthMs, requests })),
    );
}

function requireOnGrid(time: number, lengthMs: number, what: string): void {
  if (!Number.isSafeInteger(time) || time % lengthMs !== 0) {
    throw new DroverError('InvalidRequest', `The ${what}, ${time}, is not on the grid of ${lengthMs} ms.`);
  }
}

function requireCount(count: number, window: AccessWindow): void {
  if (!(Number.isFinite(count) && count >= 0)) {
    throw new DroverError(
      'InvalidRequest',
      `Partition ${window.partition}, region ${window.region}, window ${window.start}: ${count} is no number of requests.`,
    );
  }
}

function getOrAdd<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const found = map.get(key);
  if (found !== undefined) return found;
  const made = make();
  map.set(key, made);
  return made;
}

const byName = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number => compareNames(a, b);
