import { MongoNetworkError } from 'mongodb';
import { describe, expect, it } from 'vitest';
import type { AccessRecord, Origin } from '../../domain/access.js';
import { MAX_CLIENTS_PER_RECORD, MAX_TOKENS_PER_RECORD } from '../../domain/access.js';
import { distinctIn } from '../../domain/distinct-count.js';
import type { AccessRecorderOptions } from '../../router/access-recorder.js';
import { AccessRecorder } from '../../router/access-recorder.js';
import { tokenOfKey } from '../../store/key-token.js';
import { random } from '../../examples/random.js';
import { latencyBin } from '../../store/latency-sketch.js';

const EU: Origin = { region: 'eu', network: '10.1.2.0/24' };

function recorder(part: Partial<AccessRecorderOptions> = {}) {
  const written: AccessRecord[][] = [];
  const problems: string[] = [];
  const each = new AccessRecorder({
    flushMs: 3_600_000,
    now: () => 5_000,
    random: random(7),
    write: (records) => {
      written.push(records);
      return Promise.resolve();
    },
    onProblem: (problem, error) => problems.push(`${problem}: ${(error as Error).message}`),
    ...part,
  });
  return { each, written, problems };
}

describe('access records', () => {
  it('add up the requests of each partition', async () => {
    const { each, written } = recorder();
    each.count(EU, 'shop.orders', 'p0', 'a', 7n, 'reads', 2, false);
    each.count(EU, 'shop.orders', 'p0', 'a', 7n, 'writes', 10, false);
    each.count(EU, 'shop.orders', 'p0', 'a', 8n, 'writes', 4, true);
    each.count(EU, 'shop.orders', 'p1', 'a', 9n, 'reads', 1, false);
    each.count(EU, 'shop.carts', 'p0', 'a', 1n, 'reads', 1, false);
    await each.flush();
    expect(written).toHaveLength(1);
    expect(written[0]).toHaveLength(3);
    expect(written[0]![0]).toEqual({
      keyspace: 'shop.orders',
      partition: 'p0',
      node: 'a',
      region: 'eu',
      time: 5_000,
      reads: 1,
      writes: 2,
      errors: 1,
      latencyMs: {
        sum: 16,
        max: 10,
        bins: [
          [latencyBin(2), 1],
          [latencyBin(4), 1],
          [latencyBin(10), 1],
        ],
      },
      bytes: { read: 0, written: 0, requests: 3 },
      clients: [['10.1.2.0/24', 3]],
      distinctClients: [tokenOfKey('10.1.2.0/24')],
      tokens: [
        [7n, 2],
        [8n, 1],
      ],
    });
    await each.close();
  });

  it('start from zero after a flush, and write nothing when nothing happened', async () => {
    const { each, written } = recorder();
    await each.flush();
    expect(written).toEqual([]);
    each.count(EU, 'k', 'p', 'a', 1n, 'reads', 1, false);
    await each.flush();
    each.count(EU, 'k', 'p', 'a', 1n, 'reads', 1, false);
    await each.flush();
    expect(written.map(([record]) => record!.reads)).toEqual([1, 1]);
    await each.close();
    expect(written).toHaveLength(2);
  });

  it('stay small however many tokens and networks are used: the busiest are named, the totals are complete', async () => {
    const { each, written } = recorder();
    const network = (i: number) => `10.${(i >> 8) & 255}.${i & 255}.0/24`;
    for (let i = 0; i < 50_000; i++) {
      const token = i % 50 === 7 ? 7n : BigInt(i);
      each.count({ ...EU, network: network(i % 10_000) }, 'k', 'p', 'a', token, 'reads', 1 + (i % 100), false);
    }
    await each.flush();
    const [record] = written[0]!;
    expect(record).toMatchObject({ reads: 50_000, writes: 0 });
    expect(record!.tokens).toHaveLength(MAX_TOKENS_PER_RECORD);
    expect(record!.clients).toHaveLength(MAX_CLIENTS_PER_RECORD);
    const [[token, requests]] = record!.tokens as [[bigint, number]];
    expect(token).toBe(7n);
    expect(requests).toBeGreaterThan(1_000 - 50_000 / 512);
    expect(requests).toBeLessThanOrEqual(1_000);
    expect(distinctIn(record!.distinctClients!) / 10_000).toBeCloseTo(1, 0);
    const text = JSON.stringify(record, (_, value: unknown) => (typeof value === 'bigint' ? '' : value));
    expect(text.length).toBeLessThan(8_000);
    await each.close();
  });

  it('are kept apart by the region that requests come from, with its networks', async () => {
    const { each, written } = recorder();
    each.count(EU, 'k', 'p', 'a', 1n, 'reads', 1, false);
    for (const network of ['192.0.2.0/24', '198.51.100.0/24', '192.0.2.0/24']) {
      each.count({ region: 'us', network }, 'k', 'p', 'a', 2n, 'writes', 1, false);
    }
    await each.close();
    const us = [
      ['192.0.2.0/24', 2],
      ['198.51.100.0/24', 1],
    ];
    expect(written[0]).toMatchObject([
      { region: 'eu', reads: 1, writes: 0, clients: [['10.1.2.0/24', 1]] },
      { region: 'us', reads: 0, writes: 3, clients: us },
    ]);
  });

  it('stay few and small however many origins there are', async () => {
    const { each, written, problems } = recorder();
    for (let i = 0; i < 5_000; i++) {
      each.count({ region: 'eu', network: `network-${i}` }, 'k', 'p', 'a', 1n, 'reads', 1, false);
      each.count({ region: `region-${i}`, network: `network-${i}` }, 'k', 'p', 'a', 1n, 'reads', 1, false);
    }
    await each.close();
    const [records] = written;
    expect(records).toHaveLength(4_096);
    expect(records![0]).toMatchObject({ region: 'eu', reads: 5_000 });
    expect(records![0]!.clients).toHaveLength(MAX_CLIENTS_PER_RECORD);
    expect(problems).toMatchObject([expect.stringContaining('905 requests were not counted')]);
  });

  it('leave out what goes to more partitions than can be kept apart, and tell how much that is', async () => {
    const { each, written, problems } = recorder();
    for (let i = 0; i < 5_000; i++) each.count(EU, 'k', `p${i}`, 'a', 1n, 'reads', 1, false);
    await each.flush();
    expect(problems).toEqual([
      'counting requests: 904 requests were not counted: they were of more than 4096 partitions, nodes and regions in one interval',
    ]);
    expect(written[0]).toHaveLength(4_096);
    await each.close();
    expect(problems).toHaveLength(1);
  });

  it('have the bytes of documents, also where a cursor goes on in an interval without other requests', async () => {
    const { each, written } = recorder();
    const place = { origin: EU, keyspace: 'k', partition: 'p', node: 'a' };
    each.count(EU, 'k', 'p', 'a', 1n, 'reads', 1, false);
    each.addBytes(place, 'read', each.bytesOf([{ a: 'x' }, { a: 'y' }]));
    each.addBytes(place, 'written', each.bytesOf({ $set: { a: 1 } }));
    await each.flush();
    each.addBytes(place, 'read', each.bytesOf(Buffer.alloc(100)));
    await each.close();
    expect(written).toMatchObject([
      [{ reads: 1, bytes: { read: 28, written: 23, requests: 1 } }],
      [{ reads: 0, writes: 0, bytes: { read: 100, written: 0, requests: 0 } }],
    ]);
  });

  it('end an interval early that has many requests', async () => {
    const { each, written } = recorder();
    for (let i = 0; i < 100_001; i++) each.count(EU, 'k', 'p', 'a', BigInt(i), 'reads', 1, false);
    await new Promise((resolve) => setImmediate(resolve));
    expect(written).toMatchObject([[{ reads: 100_001 }]]);
    await each.close();
  });

  it('wait for a catalog that is away, interval by interval', async () => {
    let away = true;
    const written: AccessRecord[][] = [];
    let now = 0;
    const { each, problems } = recorder({
      now: () => now++,
      write: (records) => {
        if (away) return Promise.reject(new MongoNetworkError('no catalog'));
        written.push(records);
        return Promise.resolve();
      },
    });
    for (let i = 0; i < 3; i++) {
      each.count(EU, 'k', 'p', 'a', 1n, 'reads', 1, false);
      await each.flush();
    }
    expect(problems).toEqual(Array(3).fill('writing access records: no catalog'));
    expect(each.backlog).toEqual({ waiting: 3, lost: 0 });
    away = false;
    await each.close();
    expect(written).toMatchObject([[{ time: 0 }], [{ time: 1 }, { time: 2 }]]);
    expect(each.backlog).toEqual({ waiting: 0, lost: 0 });
  });

  /** Its catalog hangs until `answer`; 3,000 places are used in each interval. */
  function hanging(intervalMs: number) {
    let answer!: () => void;
    const written: AccessRecord[][] = [];
    let now = -intervalMs;
    const recording = recorder({
      now: () => (now += intervalMs),
      write: (records) => {
        written.push(records);
        return written.length === 1 ? new Promise<void>((resolve) => (answer = resolve)) : Promise.resolve();
      },
    });
    const interval = () => {
      for (let i = 0; i < 3_000; i++) recording.each.count(EU, 'k', `p${i}`, 'a', 7n, 'reads', 1, false);
      return recording.each.flush();
    };
    return { ...recording, written, interval, answer: () => answer() };
  }

  it('are merged by the minute before any is lost, as long as many places are in use', async () => {
    const { each, problems, written, interval, answer } = hanging(10_000);
    const first = interval();
    for (let i = 0; i < 11; i++) await interval();
    expect(problems).toEqual([]);
    expect(each.backlog.lost).toBe(0);
    expect(each.backlog.waiting).toBeLessThanOrEqual(8_192);
    answer();
    await first;
    await each.close();
    const ofOne = written.flat().filter(({ partition }) => partition === 'p2999');
    expect(ofOne.reduce((sum, { reads }) => sum + reads, 0)).toBe(12);
    const minutes = ofOne.map(({ time }) => Math.floor(time / 60_000));
    expect(new Set(minutes)).toEqual(new Set([0, 1]));
  });

  it('wait up to a bound: then the oldest are dropped, and told', async () => {
    const { each, problems, written, interval, answer } = hanging(60_000);
    const first = interval();
    for (let i = 0; i < 3; i++) await interval();
    expect(each.backlog).toEqual({ waiting: 8_192, lost: 808 });
    expect(problems).toEqual([
      'keeping access records: 808 access records are lost: more than 8192 were waiting for the catalog',
    ]);
    answer();
    await first;
    await each.close();
    expect(written[1]!.at(-1)).toMatchObject({ time: 180_000 });
    expect(written[1]).toHaveLength(8_192);
  });

  it('are written again as they were, however many came since: the catalog knows those that it has', async () => {
    const tries: AccessRecord[][] = [];
    const { each } = recorder({
      write: (records) => {
        tries.push([...records]);
        return tries.length < 9 ? Promise.reject(new MongoNetworkError('no catalog')) : Promise.resolve();
      },
    });
    for (let interval = 0; interval < 8; interval++) {
      for (let i = 0; i < 3_000; i++) each.count(EU, 'k', `p${i}`, 'a', 1n, 'reads', 1, false);
      await each.flush();
    }
    await each.close();
    const [first] = tries as [AccessRecord[]];
    for (const again of tries.slice(1, 9)) expect(again.every((record, i) => record === first[i])).toBe(true);
    expect(tries[9]!.concat(first).reduce((sum, { reads }) => sum + reads, 0)).toBe(8 * 3_000);
  });

  it('are lost, and nothing else, when they are refused', async () => {
    let broken = true;
    const written: AccessRecord[] = [];
    const { each, problems } = recorder({
      write: (records) => {
        if (broken) return Promise.reject(new Error('no catalog'));
        written.push(...records);
        return Promise.resolve();
      },
    });
    each.count(EU, 'k', 'p', 'a', 1n, 'reads', 1, false);
    await each.flush();
    expect(problems).toEqual(['writing access records: no catalog']);
    expect(each.backlog).toEqual({ waiting: 0, lost: 1 });
    broken = false;
    each.count(EU, 'k', 'p', 'a', 1n, 'reads', 1, false);
    await each.close();
    expect(written).toMatchObject([{ reads: 1 }]);
  });

  it('wait, interval by interval, while a catalog that hangs holds up their writing', async () => {
    let answer!: () => void;
    const written: AccessRecord[][] = [];
    const { each } = recorder({
      write: (records) => {
        written.push(records);
        return written.length === 1 ? new Promise<void>((resolve) => (answer = resolve)) : Promise.resolve();
      },
    });
    each.count(EU, 'k', 'p', 'a', 1n, 'reads', 1, false);
    const hanging = each.flush();
    for (let i = 0; i < 5; i++) {
      each.count(EU, 'k', 'p', 'a', 1n, 'reads', 1, false);
      await each.flush();
    }
    expect(written).toHaveLength(1);
    answer();
    await hanging;
    await each.close();
    expect(written[1]).toMatchObject(Array(5).fill({ reads: 1 }));
  });

  it('are written now and then by themselves, and for the last time at the end', async () => {
    const { each, written } = recorder({ flushMs: 5 });
    each.count(EU, 'k', 'p', 'a', 1n, 'reads', 1, false);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(written).toHaveLength(1);
    each.count(EU, 'k', 'p', 'a', 1n, 'reads', 1, false);
    await each.close();
    expect(written).toHaveLength(2);
  });

  it('cost nothing where none are wanted', async () => {
    const { each } = recorder({ write: undefined });
    each.count(EU, 'k', 'p', 'a', 1n, 'reads', 1, false);
    expect(each.bytesOf({ a: 1 })).toBe(0);
    expect((each as unknown as { counters: Map<string, unknown> }).counters.size).toBe(0);
    await each.close();
  });

  it('name no client network where none is known', async () => {
    const { each, written } = recorder();
    each.count({ region: 'eu' }, 'k', 'p', 'a', 1n, 'reads', 1, false);
    await each.close();
    const [[record]] = written as [[AccessRecord]];
    expect(record.clients).toEqual([]);
    expect(record).not.toHaveProperty('distinctClients');
  });
});
