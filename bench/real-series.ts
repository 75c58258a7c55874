import { compareNames } from '../domain/names.js';
import { readFlights } from '../examples/demo/flights.js';
import type { LabelledSeries } from './labelled-series.js';
import { labelledSeries } from './labelled-series.js';

/** A series of real measurements or accesses, evenly spaced; `NaN` where nothing is known. */
export interface RealSeries {
  readonly name: string;
  readonly kind: 'metric' | 'accesses';
  readonly values: Float64Array;
  readonly stepMs: number;
  /** How much history a forecast is given, in steps. */
  readonly history: number;
  /** In steps, shortest first. */
  readonly seasons: readonly number[];
  /** What the models were tuned on, or what they are judged by. */
  readonly half: 'tuning' | 'held-out';
}

const HOUR_MS = 3_600_000;
const METRIC_STEP_MS = 300_000;
const DAY_MS = 24 * HOUR_MS;

/** Carriers and airports with so many accesses an hour; none alone has 20. */
const LEAST_PER_HOUR = 5;

/** Tuned on every other series, in the order of their names, of each kind. */
export async function realSeries(): Promise<RealSeries[]> {
  const alternating = (series: Omit<RealSeries, 'half'>[]) =>
    series.map((each, i): RealSeries => ({ ...each, half: i % 2 === 0 ? 'tuning' : 'held-out' }));
  return [...alternating(await metricSeries()), ...alternating(await accessSeries())];
}

/** Metrics in five-minute buckets, with a week of history. Those in longer buckets are left out. */
async function metricSeries(): Promise<Omit<RealSeries, 'half'>[]> {
  const all = await labelledSeries();
  return all
    .filter(({ windowMs }) => windowMs <= METRIC_STEP_MS)
    .map((series) => ({
      name: series.name.replace('.csv', ''),
      kind: 'metric',
      values: bucketed(series, METRIC_STEP_MS),
      stepMs: METRIC_STEP_MS,
      history: (7 * DAY_MS) / METRIC_STEP_MS,
      seasons: [DAY_MS / METRIC_STEP_MS],
    }));
}

/** Means of the values in each bucket. */
function bucketed({ times, values }: LabelledSeries, stepMs: number): Float64Array {
  const bucketOf = (time: number) => Math.floor(time / stepMs);
  const first = bucketOf(times[0]!);
  const sums = new Float64Array(bucketOf(times.at(-1)!) - first + 1);
  const counts = new Float64Array(sums.length);
  for (const [i, time] of times.entries()) {
    sums[bucketOf(time) - first]! += values[i]!;
    counts[bucketOf(time) - first]! += 1;
  }
  return sums.map((sum, i) => (counts[i]! > 0 ? sum / counts[i]! : NaN));
}

/** Accesses an hour by carrier and by airport, with four weeks of history. */
async function accessSeries(): Promise<Omit<RealSeries, 'half'>[]> {
  const from = Date.UTC(2013, 0, 1);
  const to = Date.UTC(2013, 6, 1);
  const hours = (to - from) / HOUR_MS;
  const byName = new Map<string, Float64Array>();
  for (const { time, carrier, origin } of await readFlights(from, to)) {
    for (const name of [`carrier ${carrier}`, `origin ${origin}`]) {
      const counts = byName.get(name) ?? new Float64Array(hours);
      byName.set(name, counts);
      counts[Math.floor((time - from) / HOUR_MS)]! += 1;
    }
  }
  return [...byName]
    .filter(([, counts]) => counts.reduce((sum, count) => sum + count, 0) / hours >= LEAST_PER_HOUR)
    .sort(([a], [b]) => compareNames(a, b))
    .map(([name, values]) => ({
      name,
      kind: 'accesses',
      values,
      stepMs: HOUR_MS,
      history: 28 * 24,
      seasons: [24, 168],
    }));
}
