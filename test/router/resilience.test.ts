import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { LEASE_MS } from '../../domain/lease.js';
import { TOKEN_END, TOKEN_MIN } from '../../domain/token.js';
import type { DroverCollection } from '../../router/index.js';
import { DroverClient } from '../../router/index.js';
import type { Router } from '../../router/router.js';
import { idleSessions } from '../../router/session-pool.js';
import { Catalog } from '../../store/catalog/catalog.js';
import type { NodePool } from '../../store/node-pool.js';
import type { MongodProcess } from '../../temporal-config/mongod.js';
import { startMongod } from '../../temporal-config/mongod.js';
import { createFenced } from '../store/fences.js';
import { until } from '../store/servers.js';
import { lower, upper, useCluster } from './cluster.js';

const cluster = useCluster();
const [customerId] = lower;
const soon = () => new Promise((resolve) => setTimeout(resolve, 100));

/** A write of the lower partition can't go on until {@link settle}. */
const fence = async () => {
  await cluster.announce();
  await cluster.acknowledged();
  await cluster.advance({ kind: 'begin', boundary: 0n });
  await cluster.acknowledged();
};
const settle = () => cluster.advance({ kind: 'own', since: 1n }, { kind: 'settle' });

describe('requests that wait for a hand-over', () => {
  it('are so many at most: others fail at once and say what to do', async () => {
    const client = await cluster.connect({ maxHeldRequests: 2, holdTimeoutMS: 60_000 });
    const orders = cluster.orders(client);
    await fence();
    const held = [1, 2].map((n) => orders.insertOne({ customerId, n }));
    await until('both to wait', () => Promise.resolve(client.status().heldRequests === 2));
    await expect(orders.insertOne({ customerId, n: 3 })).rejects.toMatchObject({
      code: 'Unavailable',
      message: expect.stringContaining('maxHeldRequests') as string,
    });
    await expect(orders.updateMany({}, { $set: { n: 3 } })).rejects.toMatchObject({ code: 'Unavailable' });
    await orders.insertOne({ customerId: upper[0], n: 4 });
    await settle();
    await Promise.all(held);
    expect(client.status().heldRequests).toBe(0);
    expect((await orders.find({ customerId }).toArray()).map(({ n }) => n as number).sort()).toEqual([1, 2]);
  });
});

describe('a client that is closed', () => {
  it('fails what waits, and whatever comes later', async () => {
    const client = await cluster.connect({ holdTimeoutMS: 60_000, driver: { maxPoolSize: 1 } });
    const orders = cluster.orders(client);
    await orders.insertOne({ customerId: upper[0], n: 0 });
    await fence();
    const held = orders.insertOne({ customerId, n: 1 });
    const many = orders.updateMany({ customerId: { $in: lower.slice(0, 2) } }, { $set: { n: 3 } });
    const failed = [held, many].map((each) => expect(each).rejects.toMatchObject(closed));
    await until('both to wait', () => Promise.resolve(client.status().heldRequests === 2));
    await Promise.all([client.close(), client.close()]);
    await Promise.all(failed);
    await client.close();
    const key = { customerId: upper[0] };
    for (const request of [
      () => orders.findOne(key),
      () => orders.find({}).toArray(),
      () => orders.insertOne({ ...key }),
      () => orders.insertMany([{ ...key }]),
      () => orders.updateOne(key, { $set: { n: 1 } }),
      () => orders.updateMany({}, { $set: { n: 1 } }),
      () => orders.deleteOne(key),
      () => orders.deleteMany({}),
    ]) {
      await expect(request()).rejects.toMatchObject(closed);
    }
    const reachable = { a: false, b: false };
    expect(client.status()).toMatchObject({ closed: true, lease: { valid: false }, heldRequests: 0, nodes: reachable });
  });

  it('turns away who waits for a connection', async () => {
    const client = await cluster.connect({ holdTimeoutMS: 60_000, driver: { maxPoolSize: 1 } });
    const orders = cluster.orders(client);
    const requests = Array.from({ length: 50 }, (_, n) => orders.insertOne({ customerId: upper[0], n }));
    const outcomes = Promise.allSettled(requests);
    await requests[0];
    await client.close();
    const reasons = (await outcomes).flatMap((each) => (each.status === 'rejected' ? [each.reason as Error] : []));
    expect(reasons.length).toBeGreaterThan(30);
    // One was under way: it has the driver's own error.
    expect(reasons.filter(({ message }) => message.includes('is closed')).length).toBeGreaterThan(reasons.length - 2);
  });

  const closed = { code: 'Unavailable', message: expect.stringContaining('is closed') as string };

  it('keeps no process from ending', async () => {
    const program = fileURLToPath(new URL('./closing-process.js', import.meta.url));
    const nodes = JSON.stringify({ a: cluster.uris[0], b: cluster.uris[1] });
    const process = fork(program, [cluster.uris[0]!, `shop.${cluster.name}`, nodes], { stdio: 'inherit' });
    expect(await once(process, 'exit')).toEqual([0, null]);
  });
});

describe('requests that are over', () => {
  it('leave nothing behind in a client, nor at a node', async () => {
    const client = await cluster.connect({ driver: { maxPoolSize: 8 } });
    const orders = cluster.orders(client);
    const { nodes, router } = client as unknown as { nodes: NodePool; router: Router };
    const drivers = ['a', 'b'].map((node) => nodes.peek(node)!);
    const listeners = () => drivers.map((driver) => driver.eventNames().map((name) => driver.listenerCount(name)));
    await cluster.announce();
    await orders.insertOne({ customerId, n: 0 });
    const before = listeners();
    const cursors = await openCursors();
    for (let round = 0; round < 3; round++) {
      if (round === 1) await cluster.handOver();
      await Promise.all(Array.from({ length: 40 }, (_, i) => everyKind(client, orders, round * 40 + i)));
    }
    expect(listeners()).toEqual(before);
    expect(router.held.count).toBe(0);
    for (const driver of drivers) expect(idleSessions(driver)).toBeLessThanOrEqual(40);
    const keyspace = await router.keyspaces.get(`shop.${cluster.name}`);
    for (const { route } of router.routesOf(keyspace, 'all')) {
      const { kept } = route as unknown as {
        kept: {
          usage: Record<string, { readonly size: number }> & { readonly reads: { readonly reads: Set<unknown> } };
        };
      };
      const { collections, reads, ...others } = kept.usage;
      expect(Object.values(others).map(({ size }) => size)).toEqual([0, 0, 0]);
      expect(reads.reads.size).toBe(0);
      expect(collections!.size).toBeLessThan(3);
    }
    await until('the cursors to be closed', async () => (await openCursors()) <= cursors);
  });

  const openCursors = async (): Promise<number> => {
    const { metrics } = await cluster.db('b').admin().serverStatus();
    return Number((metrics as { cursor: { open: { total: unknown } } }).cursor.open.total);
  };

  const everyKind = async (client: DroverClient, orders: DroverCollection, i: number): Promise<void> => {
    const key = { customerId: (i % 2 === 0 ? lower : upper)[i % 10] };
    const _id = `${i}` as never;
    await orders.insertOne({ _id, ...key, n: i });
    await orders.insertOne({ _id, ...key, n: i }).catch(() => undefined);
    await orders.updateOne({ ...key, _id }, { $inc: { n: 1 } });
    await orders.updateOne({ ...key, _id }, { $bad: { n: 1 } }).catch(() => undefined);
    await orders.findOne({ ...key, _id });
    const cursor = orders.find({}, { batchSize: 2 }).sort({ n: 1 });
    await cursor.next();
    await cursor.close();
    await using session = client.startSession();
    session.startTransaction();
    await orders.updateOne({ ...key, _id }, { $inc: { n: 1 } }, { session }).catch(() => undefined);
    await session.abortTransaction();
    await orders.deleteOne({ ...key, _id });
  };
});

describe('a client whose catalog is gone', () => {
  let directory: string;
  let server: MongodProcess;
  let keyspaces = 0;
  let collection: string;
  const start = () => startMongod({ name: 'catalog', dir: join(directory, 'catalog'), oplogMb: 64 });
  /** One of the nodes is gone with it. */
  const nodes = () => ({ a: cluster.uris[0]!, c: server.uri });

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'drover-resilience-'));
    server = await start();
  });
  afterAll(async () => {
    await server.stop();
    await rm(directory, { recursive: true, force: true });
  });
  beforeEach(async () => {
    collection = `alone${keyspaces++}`;
    const catalog = await Catalog.open(server.uri);
    for (const node of ['a', 'c']) await catalog.nodes.put({ _id: node, region: 'eu', address: 'x' }, new Date());
    const own = { keyspace: `shop.${collection}`, name: 'p0', collection: `${collection}.p0`, epoch: 1 };
    await createFenced(cluster.db('a'), own.collection, 'customerId', [{ low: TOKEN_MIN, high: TOKEN_END }]);
    await catalog.addKeyspace(
      {
        _id: own.keyspace,
        database: 'shop',
        collection,
        dimensions: [{ kind: 'hashed', field: 'customerId' }],
        createdAt: new Date(),
      },
      [
        {
          id: `${own.keyspace}/p0`,
          ...own,
          box: [{ low: TOKEN_MIN, high: TOKEN_END }],
          route: { source: 'a', target: null, boundary: TOKEN_MIN, fence: null },
          attempt: 0,
          gates: [],
          handover: null,
          lastMovedAt: null,
        },
      ],
    );
    await catalog.close();
  });

  it('goes on by the routes it has, says so, and takes newer ones when it is back', async () => {
    const problems: string[] = [];
    const client = await DroverClient.connect(server.uri, {
      region: 'eu',
      nodes: nodes(),
      accessFlushMS: 200,
      onProblem: (problem) => problems.push(problem),
    });
    cluster.open.push(client);
    const orders = client.db('shop').collection(collection);
    await orders.insertOne({ customerId, n: 0 });
    const well = { closed: false, lease: { valid: true }, catalog: { reachable: true }, nodes: { a: true } };
    expect(client.status()).toMatchObject({ ...well, heldRequests: 0 });
    expect(client.status().nodes).toEqual({ a: true, c: true });

    server.kill('SIGKILL');
    await until('the lease to end', () => Promise.resolve(!client.status().lease.valid), 2 * LEASE_MS);
    await until('the catalog to be missed', () => Promise.resolve(!client.status().catalog.reachable), LEASE_MS);
    await until('the node to be missed', () => Promise.resolve(!client.status().nodes['c']));
    expect(client.status()).toMatchObject({ closed: false, nodes: { a: true } });
    for (let n = 1; n <= 5; n++) {
      await orders.updateOne({ customerId }, { $inc: { n: 1 } });
      expect(await orders.findOne({ customerId })).toMatchObject({ n });
      await soon();
    }
    await until('the trouble to be told', () => Promise.resolve(problems.includes('renewing the registration')));
    await until('records to wait', () => Promise.resolve(client.status().accessRecords.waiting > 0));

    const { lastChangeAt } = client.status().routes;
    server = await start();
    const catalog = await Catalog.open(server.uri);
    const partition = await catalog.partitions.get(`shop.${collection}`, 'p0');
    const claimed = await catalog.partitions.advance(partition, { kind: 'claim', migration: 'm', target: 'b' });
    await catalog.partitions.advance(claimed, { kind: 'announce' });
    await until('the newer route', () => Promise.resolve(client.status().routes.lastChangeAt > lastChangeAt));
    await until('the lease to hold again', () => Promise.resolve(client.status().lease.valid));
    expect(client.status()).toMatchObject(well);
    // The records of that time come later; how many of the very first moment were lost nobody knows.
    await until('the records', async () => {
      const windows = await catalog.access.windows(`shop.${collection}`, 0, Date.now() + 1e6, 1e9);
      return windows.reduce((sum, { reads }) => sum + reads, 0) >= 4;
    });
    expect(client.status().accessRecords.lost).toBe(0);
    await catalog.close();
  });

  it('closes within seconds', async () => {
    const client = await DroverClient.connect(server.uri, { region: 'eu', nodes: nodes() });
    await client.db('shop').collection(collection).insertOne({ customerId });
    server.kill('SIGKILL');
    await until('the lease to end', () => Promise.resolve(!client.status().lease.valid), 2 * LEASE_MS);
    const begun = performance.now();
    await client.close();
    expect(performance.now() - begun).toBeLessThan(4_500);
    server = await start();
  });
});
