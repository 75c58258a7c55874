import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { quantile } from './statistics.js';

/** A metric over time, and when people say that something was wrong. */
export interface LabelledSeries {
  readonly name: string;
  /** Length of a window, milliseconds. */
  readonly windowMs: number;
  readonly values: readonly number[];
  /** Start of each window, milliseconds since 1970. */
  readonly times: readonly number[];
  /** First and last moment of each anomaly. */
  readonly anomalies: readonly (readonly [from: number, to: number])[];
}

const NAB = fileURLToPath(new URL('../../bench/data/nab/', import.meta.url));

/** The series of the Numenta Anomaly Benchmark, or those of another folder of the same form (`NAB_DATA`); compressed or not. */
export async function labelledSeries(folder = process.env['NAB_DATA'] ?? NAB): Promise<LabelledSeries[]> {
  const windows = JSON.parse(await readFile(join(folder, 'anomaly_windows.json'), 'utf8')) as Record<
    string,
    [string, string][]
  >;
  const files = (await readdir(folder)).filter((file) => /\.csv(\.gz)?$/.test(file)).sort();
  return Promise.all(
    files.map(async (file): Promise<LabelledSeries> => {
      const bytes = await readFile(join(folder, file));
      const text = (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
      const rows = text.trim().split('\n').slice(1);
      const times = rows.map((row) => moment(row.slice(0, row.indexOf(','))));
      const values = rows.map((row) => Number(row.slice(row.indexOf(',') + 1)));
      const name = file.replace(/\.gz$/, '');
      const steps = times.slice(1).map((time, i) => time - times[i]!);
      const anomalies = (windows[name] ?? []).map(([from, to]) => [moment(from), moment(to)] as const);
      return { name, windowMs: quantile(steps, 0.5), values, times, anomalies };
    }),
  );
}

/** `2014-02-18 16:02:00.000000`. */
const moment = (text: string): number => Date.parse(`${text.slice(0, 19).replace(' ', 'T')}Z`);
