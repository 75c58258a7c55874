import type { AddressInfo, Socket } from 'node:net';
import { createServer } from 'node:net';
import type { Document } from 'mongodb';
import { BSON } from 'mongodb';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Dependencies } from '../../activities/dependencies.js';
import { recordSizes } from '../../activities/partition-sizes.js';
import { entitySize, sizeGrowth } from '../../domain/size-growth.js';
import { tokenOfKey } from '../../store/key-token.js';
import { NodePool } from '../../store/node-pool.js';
import { half, KEYSPACE, keyspaceDocument, useNodes } from './nodes.js';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const PAD = 'x'.repeat(1_000);
/** Two hours before midnight. */
const BEGIN = Date.UTC(2026, 0, 1, 22, 5);

describe('sizes of partitions', () => {
  const the = useNodes();
  let time = BEGIN;
  let warnings: { message: string; meta: Record<string, unknown> }[] = [];

  const dependencies = (more: Partial<Dependencies> = {}): Dependencies => ({
    ...the.dependencies(),
    now: () => time,
    access: { window: 5 * MINUTE, keep: { records: HOUR, windows: DAY, hours: 90 * DAY } },
    clockRate: 1,
    log: {
      info: () => undefined,
      error: () => undefined,
      warn: (message, meta = {}) => void warnings.push({ message, meta }),
    },
    ...more,
  });
  const record = (more: Partial<Dependencies> = {}) =>
    recordSizes(dependencies(more), { keyspace: KEYSPACE }, new AbortController().signal);
  const readings = async (name: string) => {
    const all = await the.catalog.partitionSizes.readings(KEYSPACE, {}, { from: BEGIN - DAY, to: time + 1 });
    return all.get(name) ?? [];
  };
  const own = async (node: 'n0' | 'n1', name = 'p0') => (await the.db(node)).collection(`parcels.${name}`);
  const catalogDb = () => the.catalog['client'].db('drover');
  const setOwner = (name: string, node: string) =>
    catalogDb()
      .collection('partitions')
      .updateOne({ name }, { $set: { 'route.source': node } });

  /** All of one size. */
  const document = (number: number): Document => ({ number: String(number).padStart(6, '0'), customerId: 'c1', PAD });
  const bytesOf = BSON.calculateObjectSize({ _id: new BSON.ObjectId(), ...document(0) });
  let written = 0;
  const grow = async (node: 'n0' | 'n1', by: number) =>
    (await own(node)).insertMany(Array.from({ length: by }, () => document(written++)));

  beforeEach(async () => {
    [time, warnings, written] = [BEGIN, [], 0];
    await the.catalog.addKeyspace(keyspaceDocument(), [half('p0'), half('p1')]);
    await (await the.db('n0')).createCollection('parcels.p1');
  });
  afterEach(async () => {
    await catalogDb().dropDatabase();
    for (const node of ['n0', 'n1'] as const) await (await the.db(node)).dropDatabase();
  });

  it('are read once an hour, however often a run is, and say by how much a partition grows', async () => {
    for (let hour = 0; hour < 6; hour++) {
      await grow('n0', 10);
      await record();
      time += 40 * MINUTE;
      await grow('n0', 5);
      // Of the same hour.
      await record();
      time += 20 * MINUTE;
    }
    const found = await readings('p0');
    expect(found.map((reading) => reading.documents)).toEqual([10, 25, 40, 55, 70, 85]);
    expect(found.map((reading) => reading.time)).toEqual([0, 1, 2, 3, 4, 5].map((hour) => BEGIN + hour * HOUR));
    for (const reading of found) {
      expect(reading).toMatchObject({ node: 'n0', bytes: reading.documents * bytesOf });
      expect(reading.bytesOnDisk).toBeGreaterThan(0);
    }
    const growth = sizeGrowth(found, time)!;
    expect(growth.documentsPerDay).toBeCloseTo(360);
    expect(growth.bytesPerDay).toBeCloseTo(360 * bytesOf);
    expect(sizeGrowth(await readings('p1'), time)).toMatchObject({ bytesPerDay: 0, documentsPerDay: 0 });

    // One for each partition and day, as long as hours of the history.
    const stored = await catalogDb().collection('partitionSizes').find().toArray();
    expect(stored).toHaveLength(4);
    for (const { expireAt } of stored) expect(((expireAt as Date).getTime() - Date.now()) / DAY).toBeCloseTo(90, 1);
    await the.catalog.partitionSizes.remove(KEYSPACE);
    expect(await readings('p0')).toEqual([]);
    expect(warnings).toEqual([]);
  });

  it('do not jump when a partition moves to a node that stores it in another way', async () => {
    for (let hour = 0; hour < 4; hour++, time += HOUR) {
      await grow('n0', 50);
      await (await the.db('n0')).admin().command({ fsync: 1 });
      await record();
    }
    const uncompressed = { storageEngine: { wiredTiger: { configString: 'block_compressor=none' } } };
    await (await the.db('n1')).createCollection('parcels.p0', uncompressed);
    await (await own('n1')).insertMany(await (await own('n0')).find().toArray());
    await setOwner('p0', 'n1');
    for (let hour = 0; hour < 4; hour++, time += HOUR) {
      await grow('n1', 50);
      await (await the.db('n1')).admin().command({ fsync: 1 });
      await record();
    }
    const found = await readings('p0');
    expect(found.map(({ node }) => node)).toEqual([...Array<string>(4).fill('n0'), ...Array<string>(4).fill('n1')]);
    expect(found[4]!.bytesOnDisk! / found[3]!.bytesOnDisk!).toBeGreaterThan(3);
    expect(sizeGrowth(found, time)!.bytesPerDay).toBeCloseTo(24 * 50 * bytesOf);
    // It moves while it is looked at: what is left at the old owner is not its size.
    await setOwner('p0', 'n0');
    const get = async (node: string) => {
      await setOwner('p0', 'n1');
      return the.nodes.get(node);
    };
    await record({ nodes: { get, peek: (node) => the.nodes.peek(node) } as NodePool });
    expect(await readings('p0')).toHaveLength(8);
  });

  it('are not known of partitions that share a collection', async () => {
    const shared = { node: 'n0', collection: 'parcels' };
    await catalogDb().collection('partitions').updateOne({ name: 'p0' }, { $set: { shared } });
    await (await the.db('n0')).collection('parcels').insertOne({ customerId: 'c1' });
    await record();
    expect(await readings('p0')).toEqual([]);
    expect(await readings('p1')).toHaveLength(1);
    expect(warnings).toEqual([]);
  });

  it('are not known of a node that is away, of a collection that is gone, and of none else for that', async () => {
    await setOwner('p1', 'n1');
    await grow('n0', 1);
    const silent = await silentServer();
    const uris = new Map([['n1', `mongodb://127.0.0.1:${silent.port}/`]]);
    const away = new NodePool(uris, { serverSelectionTimeoutMS: 3_500 });
    const nodes = {
      get: (node: string) => (node === 'n1' ? away : the.nodes).get(node),
      peek: (node: string) => the.nodes.peek(node),
    } as NodePool;
    try {
      const startedAt = performance.now();
      await record({ nodes });
      expect(performance.now() - startedAt).toBeLessThan(8_000);
      expect(await readings('p0')).toHaveLength(1);
      expect(await readings('p1')).toEqual([]);
      expect(warnings).toMatchObject([
        {
          message: 'sizes of partitions are unknown',
          meta: { keyspace: KEYSPACE, unknown: 1, nodes: { n1: expect.stringMatching(/did not answer/) as string } },
        },
      ]);

      // When its probe has not found it, either, it is not waited for.
      await the.catalog.nodes.put({ _id: 'n1', region: 'us', address: '-' }, new Date());
      await the.catalog.nodes.recordProbe('n1', { at: new Date(), reachable: false, reason: 'it is away' });
      const asked: string[] = [];
      const watched = { ...nodes, get: (node: string) => (asked.push(node), nodes.get(node)) } as NodePool;
      time += HOUR;
      await record({ nodes: watched });
      expect(asked).toEqual(['n0']);
      expect(await readings('p0')).toHaveLength(2);
      expect(warnings[1]!.meta).toMatchObject({ nodes: { n1: 'it is away' } });
    } finally {
      await silent.close();
      await away.close();
    }
    // It is back: what is missing is read in the same hour.
    await catalogDb().collection('nodes').deleteMany({});
    await (await the.db('n1')).createCollection('parcels.p1');
    await (await own('n0')).drop();
    time += 10 * MINUTE;
    await record();
    expect(await readings('p1')).toHaveLength(1);
    time += HOUR;
    await record();
    expect([(await readings('p0')).length, (await readings('p1')).length]).toEqual([2, 2]);
    expect(warnings.at(-1)!.meta).toMatchObject({
      unknown: 1,
      nodes: { n0: expect.stringMatching(/not found/) as string },
    });
  });

  it('tell of the busiest entities how much of the partition they are, and how they grow', async () => {
    await (await own('n0')).createIndex({ customerId: 'hashed' });
    const busy = Array.from({ length: 12 }, (_, i) => [tokenOfKey(`busy${i}`), 100 - i] as const);
    await (await own('n0')).insertMany(busy.map((_, i) => ({ customerId: `busy${i}` })));
    const requests = { reads: 1_000, writes: 0, errors: 0, latencyMs: { sum: 1, max: 1 }, clients: [] };
    for (let hour = 0; hour < 5; hour++, time += HOUR) {
      await grow('n0', 10);
      await (await own('n0')).insertMany(Array.from({ length: 30 }, (_, i) => ({ customerId: `other${hour}-${i}` })));
      const tokens = [[tokenOfKey('c1'), 500] as const, ...busy];
      const of = { keyspace: KEYSPACE, partition: 'p0', region: 'eu', time: time - MINUTE, tokens };
      await the.catalog.access.append([{ ...of, ...requests }]);
      await record();
    }
    const found = await readings('p0');
    expect(found.map(({ entities }) => entities!.length)).toEqual(Array<number>(5).fill(10));
    const size = entitySize(found, tokenOfKey('c1'), time)!;
    expect(size).toMatchObject({ documents: 50, share: 50 / 212 });
    expect(size.documentsPerDay).toBeCloseTo(240);
    expect(entitySize(found, tokenOfKey('busy0'), time)).toMatchObject({ documents: 1, documentsPerDay: 0 });
    expect(entitySize(found, tokenOfKey('busy11'), time)).toBeUndefined();
  });
});

/** Takes connections, and says nothing. */
async function silentServer(): Promise<{ readonly port: number; close(): Promise<void> }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => void sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
