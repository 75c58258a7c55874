import { describe, expect, it } from 'vitest';
import { equalIntervals } from '../../domain/hash-ring.js';
import type { Partition } from '../../domain/partition.js';
import { AccessBatch } from '../../store/ingest/access-batch.js';

const DAY_MS = 24 * 3_600_000;
const YEAR_MS = 365 * DAY_MS;
const NOW = Date.parse('2026-06-01T00:00:00Z');
const partitions = equalIntervals(2).map((interval, i) => ({
  name: `p${i}`,
  box: [interval],
})) as unknown as Partition[];
const batch = (oldest?: number) =>
  new AccessBatch({
    ...{ keyspace: 'shop.orders', partitions, bucketMs: 60_000, region: 'eu', latencyUnit: 'ms', now: NOW },
    keyOf: String,
    oldest,
  });
const line = (time: number, client?: unknown) => [time, 'c1', undefined, client, undefined, undefined, undefined];

describe('a batch of lines', () => {
  it('has the networks of its clients, and none for a line without one', () => {
    const counted = batch();
    for (const client of ['203.0.113.9:41234', '203.0.113.7, 10.0.0.1', 'office', '-', '', undefined]) {
      counted.count(line(NOW, client));
    }
    expect(counted.take().records[0]!.clients).toEqual([
      ['203.0.113.0/24', 2],
      ['office', 1],
    ]);
  });

  it('refuses a line whose client is neither an address nor a name, without telling it', () => {
    expect(() => batch().count(line(NOW, 'bob@example.com'))).toThrow(/^its client is neither an address nor a name$/);
  });

  it('refuses lines that are older than any log, and is told otherwise', () => {
    for (const time of ['0001-01-01T00:00:00Z', 0, '1975-03-01', NOW - 21 * YEAR_MS]) {
      expect(() => batch().count([time, 'c1']), String(time)).toThrow(/older than lines are thought to be/);
    }
    batch().count(line(NOW - 19 * YEAR_MS));
    batch(NOW - 30 * YEAR_MS).count(line(NOW - 21 * YEAR_MS));
    expect(() => batch(NOW - DAY_MS).count(line(NOW - 2 * DAY_MS))).toThrow(/--oldest/);
  });
});
