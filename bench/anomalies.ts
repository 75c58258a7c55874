import { anomaliesOf } from '../domain/anomaly.js';
import type { Bench } from './bench.js';
import { comparison } from './bench.js';
import type { LabelledSeries } from './labelled-series.js';
import { labelledSeries } from './labelled-series.js';

const WEEK_MS = 7 * 24 * 3_600_000;
/** On these the detector was tuned; the others were left for judging it. */
export const TUNED_ON: readonly string[] = [
  ...['Twitter_volume_AAPL.csv', 'ec2_cpu_utilization_5f5533.csv', 'ec2_network_in_5abac7.csv', 'nyc_taxi.csv'],
];

export interface DetectionResult {
  readonly series: string;
  readonly weeks: number;
  /** Windows that people labelled, and those of them with a finding inside. */
  readonly labelled: number;
  readonly found: number;
  /** Findings outside of all of them. */
  readonly falseAlarms: number;
}

/** @param detect indexes of the windows in which something is found */
export function detected(
  { name, times, values, windowMs, anomalies }: LabelledSeries,
  detect: (values: readonly number[], windowMs: number) => readonly number[],
): DetectionResult {
  const findings = detect(values, windowMs).map((index) => times[index]!);
  const isIn = (time: number, [from, to]: readonly [number, number]) => time >= from && time <= to;
  return {
    series: name,
    weeks: (values.length * windowMs) / WEEK_MS,
    labelled: anomalies.length,
    found: anomalies.filter((window) => findings.some((time) => isIn(time, window))).length,
    falseAlarms: findings.filter((time) => !anomalies.some((window) => isIn(time, window))).length,
  };
}

export const byDrover = (values: readonly number[], windowMs: number): number[] =>
  anomaliesOf(values, { windowMs }).map(({ index }) => index);

/** What is often done: more than three standard deviations from the mean of the last day; at most two findings a day. */
export function byThreeSigma(values: readonly number[], windowMs: number): number[] {
  const day = Math.round(WEEK_MS / 7 / windowMs);
  const found: number[] = [];
  let sum = 0;
  let squares = 0;
  for (const [i, value] of values.entries()) {
    if (i >= day) {
      const mean = sum / day;
      const deviation = Math.sqrt(Math.max(0, squares / day - mean * mean));
      const isFar = Math.abs(value - mean) > 3 * deviation;
      if (isFar && i - (found.at(-1) ?? -Infinity) > day / 2) found.push(i);
      sum -= values[i - day]!;
      squares -= values[i - day]! ** 2;
    }
    sum += value;
    squares += value ** 2;
  }
  return found;
}

export interface DetectionTotal {
  readonly share: number;
  readonly falseAlarmsPerWeek: number;
}

export function total(results: readonly DetectionResult[]): DetectionTotal {
  const sum = (of: (result: DetectionResult) => number) => results.reduce((all, result) => all + of(result), 0);
  return {
    share: sum(({ found }) => found) / sum(({ labelled }) => labelled),
    falseAlarmsPerWeek: sum(({ falseAlarms }) => falseAlarms) / sum(({ weeks }) => weeks),
  };
}

/** What is found of anomalies that people have labelled in real metrics, and how often it is a false alarm. */
export const anomalies: Bench = {
  about: 'labelled anomalies found in real metrics and false alarms, against three sigma over a day',
  defaults: { documents: 1 },
  run: async ({ say }) => {
    const series = await labelledSeries();
    const drover = series.map((each) => detected(each, byDrover));
    const sigma = series.map((each) => detected(each, byThreeSigma));
    for (const { series: name, found, labelled, falseAlarms, weeks } of drover) {
      say(`${name}: ${found} of ${labelled} found, ${falseAlarms} false alarms in ${weeks.toFixed(1)} weeks`);
    }
    const parts = [
      { name: 'all series', has: () => true },
      { name: 'series it was tuned on', has: (name: string) => TUNED_ON.includes(name) },
      { name: 'series left out of tuning', has: (name: string) => !TUNED_ON.includes(name) },
    ];
    return parts.flatMap(({ name, has }) => {
      const [ours, theirs] = [drover, sigma].map((results) => results.filter(({ series }) => has(series)));
      if (ours!.length === 0) return [];
      const [a, b] = [total(ours!), total(theirs!)];
      const labelled = ours!.reduce((sum, result) => sum + result.labelled, 0);
      const against = 'three sigma over a day';
      return [
        comparison({ case: `${name}: ${labelled} labelled windows found`, against, unit: '%' }, 'higher', [
          { drover: 100 * a.share, baseline: 100 * b.share },
        ]),
        comparison({ case: `${name}: false alarms`, against, unit: 'per series and week' }, 'lower', [
          { drover: a.falseAlarmsPerWeek, baseline: b.falseAlarmsPerWeek },
        ]),
      ];
    });
  },
};
