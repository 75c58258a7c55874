import { expect, it } from 'vitest';
import type { AccessRecord } from '../../domain/access.js';
import { MAX_TOKENS_PER_RECORD } from '../../domain/access.js';
import { mergedRecords } from '../../domain/merged-records.js';

const record = (part: Partial<AccessRecord>): AccessRecord => ({
  ...{ keyspace: 'shop.orders', partition: 'p0', node: 'a', region: 'eu', time: 0, reads: 0, writes: 0, errors: 0 },
  ...{ latencyMs: { sum: 0, max: 0 }, clients: [], tokens: [] },
  ...part,
});

it('records of one place and minute add up to one, those of others stay as they are', () => {
  const first = {
    ...{ time: 1_000, reads: 2, errors: 1, latencyMs: { sum: 9, max: 7, bins: [[3, 2]] as const } },
    ...{ clients: [['10.1.0.0/16', 2]] as const, distinctClients: [5n], tokens: [[7n, 2]] as const },
  };
  const second = {
    ...{ time: 59_999, reads: 1, writes: 3, latencyMs: { sum: 5, max: 2, bins: [[2, 3] as const, [3, 1] as const] } },
    ...{
      clients: [['10.2.0.0/16', 4]] as const,
      distinctClients: [4n, 5n],
      tokens: [[8n, 3] as const, [7n, 1] as const],
    },
  };
  const others = [
    record({ time: 60_000, reads: 1 }),
    record({ region: 'us' }),
    record({ partition: 'p1' }),
    record({ keyspace: 'k' }),
  ];
  expect(mergedRecords([record(first), ...others, record(second)])).toEqual([
    record({
      ...{ time: 1_000, reads: 3, writes: 3, errors: 1 },
      latencyMs: {
        ...{ sum: 14, max: 7 },
        bins: [
          [2, 3],
          [3, 3],
        ],
      },
      clients: [
        ['10.2.0.0/16', 4],
        ['10.1.0.0/16', 2],
      ],
      distinctClients: [4n, 5n],
      tokens: [
        [7n, 3],
        [8n, 3],
      ],
    }),
    ...others,
  ]);
});

it('of bytes what is known adds up, and of how many requests; without any they stay unknown', () => {
  const known = record({ reads: 2, bytes: { read: 900, written: 0, requests: 2 } });
  const more = record({ writes: 1, bytes: { read: 0, written: 70, requests: 1 } });
  const older = record({ reads: 5 });
  const bytes = { read: 900, written: 70, requests: 3 };
  expect(mergedRecords([older, known, more])).toMatchObject([{ reads: 7, writes: 1, bytes }]);
  expect(mergedRecords([known, older])).toMatchObject([{ bytes: { read: 900, written: 0, requests: 2 } }]);
  expect(mergedRecords([older, older])[0]).not.toHaveProperty('bytes');
});

it('what is merged stays small, and says nothing that was not known', () => {
  const many = Array.from({ length: 50 }, (_, i) =>
    record({ reads: 64, tokens: Array.from({ length: 64 }, (_, k) => [BigInt(64 * i + k), 1] as const) }),
  );
  const [merged] = mergedRecords(many);
  expect(merged).toMatchObject({ reads: 3_200, latencyMs: { sum: 0, max: 0 } });
  expect(merged!.tokens.length).toBeLessThanOrEqual(MAX_TOKENS_PER_RECORD);
  expect(merged).not.toHaveProperty('distinctClients');
  expect(merged!.latencyMs).not.toHaveProperty('bins');
});
