import { describe, expect, it } from 'vitest';
import { equalIntervals } from '../../domain/hash-ring.js';
import type { Partition } from '../../domain/partition.js';
import type { AccessMeaning } from '../../store/ingest/access-batch.js';
import { AccessBatch } from '../../store/ingest/access-batch.js';

const DAY_MS = 24 * 3_600_000;
const YEAR_MS = 365 * DAY_MS;
const NOW = Date.parse('2026-06-01T00:00:00Z');
const partitions = equalIntervals(2).map((interval, i) => ({
  name: `p${i}`,
  box: [interval],
})) as unknown as Partition[];
const batch = (meaning: Partial<AccessMeaning> = {}) =>
  new AccessBatch({
    ...{ keyspace: 'shop.orders', partitions, bucketMs: 60_000, region: 'eu', latencyUnit: 'ms', now: NOW },
    keyOf: String,
    ...meaning,
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

  it('knows bytes where lines tell them, and only of reads where they are those of the answer', () => {
    const bytes = (size: unknown, operation?: string) => [
      ...line(NOW).slice(0, 4),
      operation,
      undefined,
      undefined,
      size,
    ];
    const bytesOf = (counted: AccessBatch) => counted.take().records[0]!.bytes;
    const both = batch();
    for (const each of [bytes('500'), bytes(30, 'POST'), bytes(undefined), bytes('-')]) both.count(each);
    expect(bytesOf(both)).toEqual({ read: 500, written: 30, requests: 2 });
    for (const each of ['', '1.2k', { in: 1 }, -1, 1e308]) both.count(bytes(each));
    const [counted] = both.take().records;
    expect(counted).toMatchObject({ reads: 5 });
    expect(counted).not.toHaveProperty('bytes');
    const answers = batch({ bytesAreOfAnswers: true });
    for (const each of [bytes(0), bytes(500), bytes(30, 'POST')]) answers.count(each);
    expect(bytesOf(answers)).toEqual({ read: 500, written: 0, requests: 2 });
  });

  it('refuses lines that are older than any log, and is told otherwise', () => {
    for (const time of ['0001-01-01T00:00:00Z', 0, '1975-03-01', NOW - 21 * YEAR_MS]) {
      expect(() => batch().count([time, 'c1']), String(time)).toThrow(/older than lines are thought to be/);
    }
    batch().count(line(NOW - 19 * YEAR_MS));
    batch({ oldest: NOW - 30 * YEAR_MS }).count(line(NOW - 21 * YEAR_MS));
    expect(() => batch({ oldest: NOW - DAY_MS }).count(line(NOW - 2 * DAY_MS))).toThrow(/--oldest/);
  });
});
