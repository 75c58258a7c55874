import type { AddressInfo, Socket } from 'node:net';
import { createServer } from 'node:net';
import type { Document } from 'mongodb';
import { BSON } from 'mongodb';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { recordCounts } from '../../activities/counted-sizes.js';
import type { Dependencies } from '../../activities/dependencies.js';
import { recordSizes } from '../../activities/partition-sizes.js';
import type { Partition } from '../../domain/partition.js';
import { tokensOf } from '../../domain/partition.js';
import { entitySize, sizeGrowth } from '../../domain/size-growth.js';
import type { Token } from '../../domain/token.js';
import { contains } from '../../domain/token.js';
import { tokenToBson } from '../../store/codec.js';
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
  const count = (more: Partial<Dependencies> = {}, signal = new AbortController().signal) =>
    recordCounts(dependencies(more), signal);
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

  /** The busiest entities of the last hour, with their requests. */
  const use = (partition: string, tokens: readonly (readonly [Token, number])[]) => {
    const requests = { reads: 1_000, writes: 0, errors: 0, latencyMs: { sum: 1, max: 1 }, clients: [] };
    const of = { keyspace: KEYSPACE, partition, region: 'eu', time: time - MINUTE, tokens };
    return the.catalog.access.append([{ ...of, ...requests }]);
  };

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
    for (const node of ['n0', 'n1']) await the.catalog.nodes.put({ _id: node, region: 'us', address: '-' }, new Date());
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
      await Promise.all([record({ nodes }), count({ nodes })]);
      expect(performance.now() - startedAt).toBeLessThan(8_000);
      expect(await readings('p0')).toHaveLength(1);
      expect(await readings('p1')).toEqual([]);
      const reason = { n1: expect.stringMatching(/did not answer/) as string };
      expect(warnings.sort((a, b) => (a.message < b.message ? 1 : -1))).toMatchObject([
        {
          message: 'sizes of partitions are unknown',
          meta: { keyspace: KEYSPACE, unknown: 1, nodes: reason },
        },
        { message: 'documents could not be counted', meta: { nodes: reason } },
      ]);
      warnings.length = 1;

      // When its probe has not found it, either, it is not waited for.
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
    for (let hour = 0; hour < 5; hour++, time += HOUR) {
      await grow('n0', 30);
      await (await own('n0')).insertMany(Array.from({ length: 30 }, (_, i) => ({ customerId: `other${hour}-${i}` })));
      await use('p0', [[tokenOfKey('c1'), 500], ...busy]);
      await record();
      await count();
    }
    const found = await readings('p0');
    expect(found.map(({ entities }) => entities!.length)).toEqual(Array<number>(5).fill(10));
    const size = entitySize(found, tokenOfKey('c1'), time)!;
    // More than are measured.
    expect(size).toMatchObject({ documents: 150, bytes: 150 * bytesOf, share: 150 / 312 });
    expect(size.documentsPerDay).toBeCloseTo(720);
    expect(entitySize(found, tokenOfKey('busy0'), time)).toMatchObject({ documents: 1, documentsPerDay: 0 });
    expect(entitySize(found, tokenOfKey('busy11'), time)).toBeUndefined();
    expect(warnings).toEqual([]);
  });

  describe('of partitions that share a collection', () => {
    const all = async () => (await the.db('n0')).collection('parcels');
    const insert = async (customers: readonly string[]) =>
      (await all()).insertMany(customers.map((customerId) => ({ ...document(written++), customerId })));
    /** As long as those of `document`, and two characters. */
    const customers = (from: number) => Array.from({ length: 40 }, (_, i) => `k${String(from + i).padStart(3, '0')}`);
    const ofHalf = (half: Partition, of: readonly string[]) =>
      of.filter((key) => contains(tokensOf(half), tokenOfKey(key))).length;
    const change = (name: string, set: Document) =>
      catalogDb().collection('partitions').updateOne({ name }, { $set: set });

    beforeEach(async () => {
      for (const name of ['p0', 'p1']) await change(name, { shared: { node: 'n0', collection: 'parcels' } });
      await (await all()).createIndex({ customerId: 'hashed' });
    });

    it('are counted once an hour, exactly, with the busiest entities; bytes are said to be an estimate', async () => {
      const inserted: string[] = [];
      const expected: number[] = [];
      for (let hour = 0; hour < 5; hour++, time += HOUR) {
        inserted.push(...customers(40 * hour));
        await insert(inserted.slice(-40));
        expected.push(ofHalf(half('p0'), inserted));
        await use('p0', [[tokenOfKey(inserted.find((key) => ofHalf(half('p0'), [key]) === 1)!), 9]]);
        await record();
        await count();
        await insert(['of the same hour']);
        await count();
        await (await all()).deleteOne({ customerId: 'of the same hour' });
      }
      const found = await readings('p0');
      expect(found.map(({ documents }) => documents)).toEqual(expected);
      for (const { documents, bytes, bytesOnDisk, estimated, entities } of found) {
        expect(entities).toMatchObject([[expect.anything(), 1, bytesOf + 2]]);
        expect([bytes, estimated]).toEqual([documents * (bytesOf + 2), true]);
        expect(bytesOnDisk).toBeGreaterThan(0);
      }
      expect((await readings('p1')).at(-1)!.documents).toBe(200 - expected.at(-1)!);
      expect(sizeGrowth(found, time)).toMatchObject({ estimated: true });
      expect(sizeGrowth(found, time)!.documentsPerDay).toBeGreaterThan(24 * 10);
      // From there the next hour would go on.
      const last = { _id: 'n0', hour: new Date(time - HOUR - 5 * MINUTE), last: `${KEYSPACE}/p1` };
      expect(
        await catalogDb()
          .collection('sizeTurns')
          .findOne({ _id: 'n0' as never }),
      ).toEqual(last);
      expect(warnings).toEqual([]);
    });

    it('are left out while a part of them is elsewhere, and where they leave meanwhile', async () => {
      const keys = customers(0);
      await insert(keys);
      const route = { source: 'n0', target: 'n1', fence: null } as const;
      const low = tokenToBson(tokensOf(half('p0')).low);
      // Nothing of it has gone yet.
      await change('p0', { route: { ...route, boundary: low } });
      await count();
      expect((await readings('p0')).map(({ documents }) => documents)).toEqual([ofHalf(half('p0'), keys)]);
      time += HOUR;
      await change('p0', { route: { ...route, boundary: tokenToBson(-1n) } });
      await count();
      expect([(await readings('p0')).length, (await readings('p1')).length]).toEqual([1, 2]);
      // It begins to go while the documents are counted.
      time += HOUR;
      await change('p0', { route: { ...route, boundary: low } });
      const get = async (node: string) => {
        await change('p0', { epoch: 2 });
        return the.nodes.get(node);
      };
      await count({ nodes: { get } as NodePool });
      expect([(await readings('p0')).length, (await readings('p1')).length]).toEqual([1, 3]);
      expect(warnings).toEqual([]);
    });

    it('are asked of no node that is away, and read by no other index; they are not waited for when a run is cancelled', async () => {
      await insert(customers(0));
      await setOwner('p1', 'n1');
      await change('p1', { shared: { node: 'n1', collection: 'parcels' } });
      await the.catalog.nodes.recordProbe('n1', { at: new Date(), reachable: false, reason: 'it is away' });
      const abort = new AbortController();
      const get = (node: string) => {
        abort.abort();
        return the.nodes.get(node);
      };
      await count({ nodes: { get } as NodePool }, abort.signal);
      expect((await readings('p0')).length).toBe(0);
      time += HOUR;
      await count();
      expect((await readings('p0')).length).toBe(1);
      expect(warnings.at(-1)).toEqual({ message: 'documents could not be counted', meta: { nodes: { n1: 'it is away' } } }); // prettier-ignore
      time += HOUR;
      await (await all()).createIndex({ customerId: 'hashed' }, { name: 'en', collation: { locale: 'en' } });
      await count();
      expect((await readings('p0')).length).toBe(1);
      expect(warnings.at(-1)!.meta).toMatchObject({ nodes: { n0: expect.stringMatching(/has no index/) as string } });
    });
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
