import type { Partition } from '../../domain/partition.js';
import { tokensOf } from '../../domain/partition.js';
import { contains } from '../../domain/token.js';
import type { MigrationDocument } from '../../store/catalog/migrations.js';
import { tokenOfKey } from '../../store/key-token.js';
import type { WriteSample } from './replay.js';

/** The closing figures; each was measured in this run. Times of pauses in milliseconds, shares and errors as numbers. */
export interface Summary {
  readonly accesses: number;
  readonly migrations: number;
  readonly forecastMigrations: number;
  readonly documentsMoved: number;
  readonly bytesMoved: number;
  readonly writesAcknowledged: number;
  readonly writesLost: number;
  readonly duplicates: number;
  readonly requestsFailed: number;
  readonly pauseMsMax: number;
  readonly pauseMsP99: number;
  readonly localShareBefore: number;
  readonly localShareAfter: number;
  readonly forecastError: number | null;
  readonly seconds: number;
}

/**
 * The longest wait of any write to the partition during each boundary step. A step in which no write came counts as
 * zero: nobody waited.
 */
export function waitsPerStep(
  migrations: readonly MigrationDocument[],
  partitions: readonly Partition[],
  samples: readonly WriteSample[],
): number[] {
  const byPartition = new Map<string, WriteSample[]>();
  const partitionOf = new Map<string, string>();
  for (const sample of samples) {
    let name = partitionOf.get(sample.carrier);
    if (name === undefined) {
      const token = tokenOfKey(sample.carrier);
      name = partitions.find((partition) => contains(tokensOf(partition), token))!.name;
      partitionOf.set(sample.carrier, name);
    }
    const list = byPartition.get(name) ?? [];
    list.push(sample);
    byPartition.set(name, list);
  }
  return migrations.flatMap(({ partition, steps }) =>
    steps.map(({ at, pauseMs }) => {
      // `at` is written after the step: the pause ended before it, by a few milliseconds.
      const end = at.getTime();
      const start = end - pauseMs - 100;
      const during = (byPartition.get(partition) ?? []).filter(
        ({ intendedAt, waitedMs }) => intendedAt <= end && intendedAt + waitedMs >= start,
      );
      return during.reduce((longest, { waitedMs }) => Math.max(longest, waitedMs), 0);
    }),
  );
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length === 0 ? 0 : sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)]!;
}

export const share = (values: readonly boolean[]): number =>
  values.length === 0 ? 0 : values.filter(Boolean).length / values.length;

/** For people. */
export function describe(summary: Summary): string {
  const percent = (value: number) => `${(100 * value).toFixed(1)} %`;
  const rows: [string, string][] = [
    ['accesses replayed', `${summary.accesses}`],
    ['migrations finished', `${summary.migrations}, of which decided by forecasts ${summary.forecastMigrations}`],
    ['moved', `${summary.documentsMoved} documents, ${(summary.bytesMoved / 1e6).toFixed(1)} MB`],
    ['writes acknowledged', `${summary.writesAcknowledged}`],
    ['writes lost', `${summary.writesLost}`],
    ['duplicates', `${summary.duplicates}`],
    ['requests failed', `${summary.requestsFailed}`],
    ['longest write pause', `${summary.pauseMsMax} ms (p99 of the boundary steps ${summary.pauseMsP99} ms)`],
    [
      'served in their own region',
      `${percent(summary.localShareBefore)} in the first tenth, ${percent(summary.localShareAfter)} in the last`,
    ],
    [
      'forecast error',
      summary.forecastError === null
        ? 'no decided horizon has passed yet'
        : `${summary.forecastError.toFixed(2)} of seasonal naive's`,
    ],
    ['seconds in all', `${summary.seconds}`],
  ];
  return rows.map(([name, value]) => `  ${name.padEnd(28)}${value}`).join('\n');
}
