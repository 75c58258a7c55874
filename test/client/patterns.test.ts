import { setTimeout as sleep } from 'node:timers/promises';
import type { Db, Document, MongoClient } from 'mongodb';
import { Decimal128, Long } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AccessPatternsReport } from '../../client/access-patterns.js';
import { accessPatterns } from '../../client/access-patterns.js';
import type { ControlContext } from '../../client/context.js';
import { createKeyspace } from '../../client/keyspaces.js';
import { shapeOf } from '../../domain/query-shape.js';
import { DroverClient } from '../../router/index.js';
import { connect } from '../../store/connect.js';
import { readProfile } from '../../store/profile.js';
import { useServers } from '../store/servers.js';
import type { ShellInUse } from './harness.js';
import { shellWithNodes } from './harness.js';

const { uris, clients } = useServers(1);
const KEYSPACE = 'shop.orders';
let control: ControlContext;
let the: ShellInUse;
/** Of the busy customer. */
let partition: string;

beforeAll(async () => {
  the = await shellWithNodes(`catalog: '${uris[0]}'\nnodes: [{ name: eu-1, region: eu, uri: '${uris[0]}' }]\n`, uris);
  the.secrets.push('secret');
  ({ control } = the);
  await createKeyspace(control, { name: KEYSPACE, key: 'customer', partitions: 2 });
  await clients[0]!.db('shop').command({ profile: 2 });
  await useAsAnApplicationDoes();
  // What has just ended may not be in the profile yet.
  await sleep(1_100);
  await clients[0]!.db('shop').command({ profile: 0 });
});
afterAll(async () => {
  await the.stop();
});

async function useAsAnApplicationDoes(): Promise<void> {
  const router = await DroverClient.connect(uris[0]!, { region: 'eu', nodes: { 'eu-1': uris[0]! } });
  const orders = router.db('shop').collection('orders');
  const customers = ['c1', 'c2', 'c3', 'c4', 'c5', 'c6'];
  await orders.insertMany(
    customers.flatMap((customer) =>
      Array.from({ length: 50 }, (_, i) => ({ customer, status: `secret-${i % 25}`, at: i, token: 'secret' })),
    ),
  );
  for (let i = 0; i < 100; i++) await orders.findOne({ customer: 'c1', at: i % 50 });
  for (const customer of customers.slice(1)) {
    for (let i = 0; i < 5; i++) await orders.updateOne({ customer, at: i }, { $set: { status: 'secret-new' } });
  }
  for (let i = 0; i < 10; i++) await orders.find({ status: `secret-${i}` }, { sort: { at: -1 } }).toArray();
  await orders.countDocuments({ customer: 'c2' });
  await orders.aggregate([{ $match: { customer: 'c3' } }, { $group: { _id: '$status' } }]).toArray();
  await orders.deleteOne({ customer: 'c4', at: 7 });
  await orders.bulkWrite([{ updateOne: { filter: { customer: 'c5', at: 1 }, update: { $inc: { n: 1 } } } }]);
  partition = (await control.catalog.partitions.list(KEYSPACE)).length > 0 ? await partitionOf('c1') : '';
  await router.close();
  // Somebody past the routers.
  const outside = await connect(uris[0]!, 'application', { appName: 'reports' });
  for (const { collection } of await control.catalog.partitions.list(KEYSPACE)) {
    await outside
      .db('shop')
      .collection(collection)
      .find({ token: 'secret', at: { $gt: 3 } })
      .toArray();
  }
  await outside.close();
}

async function partitionOf(customer: string): Promise<string> {
  for (const { name, collection } of await control.catalog.partitions.list(KEYSPACE)) {
    if ((await clients[0]!.db('shop').collection(collection).countDocuments({ customer })) > 0) return name;
  }
  throw new Error(`${customer} is nowhere`);
}

const statisticsOf = (collection: string, operations: number): Document => ({
  key: {
    queryShape: {
      cmdNs: { db: 'shop', coll: collection },
      command: 'find',
      filter: { $and: [{ customer: { $eq: '?string' } }, { at: { $eq: '?number' } }] },
      limit: '?number',
    },
    client: { application: { name: 'reports' } },
    collectionType: 'collection',
  },
  metrics: {
    execCount: Long.fromNumber(operations),
    totalExecMicros: { sum: Long.fromNumber(operations * 100), sumOfSquares: Decimal128.fromString('1') },
    docsReturned: { sum: Long.fromNumber(operations) },
    keysExamined: { sum: Long.fromNumber(operations) },
    docsExamined: { sum: Long.fromNumber(operations * 10) },
    firstSeenTimestamp: new Date('2026-01-02T03:04:05Z'),
    latestSeenTimestamp: new Date(control.now()),
  },
});

function havingStatistics(client: MongoClient, told: readonly Document[]): MongoClient {
  const aggregate = ([first, ...stages]: Document[]) =>
    client.db('admin').aggregate([{ $documents: { $literal: '$queryStats' in first! ? told : [] } }, ...stages]);
  return Object.create(client, {
    db: {
      value: (name: string) =>
        (name === 'admin'
          ? Object.create(client.db(name), { aggregate: { value: aggregate } })
          : client.db(name)) as Db,
    },
  }) as MongoClient;
}

const patterns = async (...args: readonly string[]) => {
  const outcome = await the.drover('access', 'patterns', '--limit', '30', ...args, '--json');
  expect(outcome.exitCode).toBe(0);
  return outcome.json<AccessPatternsReport>();
};

describe('drover access patterns', () => {
  it('tells shapes as routers and the profiler saw them, and reads each profiled operation once', async () => {
    // All of a node is read, whichever partition is asked for.
    const [read] = (await patterns('--partition', partition)).nodes;
    expect(read!.operationsRead).toBeGreaterThan(150);
    const first = await patterns();
    const shape = (text: string) => first.shapes.find((each) => each.text === text);
    expect(shape('find {at: $eq, customer: $eq}')).toMatchObject({
      requests: 100,
      partitions: 1,
      scattered: 0,
      profiled: { operations: 100, collectionScans: 0 },
    });
    expect(shape('find {at: $eq, customer: $eq}')!.latencyMsP99).toBeGreaterThan(0);
    // The whole of both partitions is read for each.
    const scanned = shape('find {status: $eq} sort {at: -1}')!;
    expect(scanned).toMatchObject({ requests: 10, scattered: 10, profiled: { operations: 20, collectionScans: 20 } });
    expect(scanned.profiled!.docsExamined).toBe(3_000);
    expect(shape('update {at: $eq, customer: $eq} change {$set status}')).toMatchObject({ requests: 25 });
    for (const text of [
      'count {customer: $eq}',
      'aggregate {customer: $eq} stages [$group]',
      'delete {at: $eq, customer: $eq}',
      'update {at: $eq, customer: $eq} change {$inc n}',
    ]) {
      expect(shape(text), text).toMatchObject({ requests: 1, profiled: { operations: 1 } });
    }
    expect(shape('insert')).toMatchObject({ profiled: null });
    expect(first.nodes).toMatchObject([{ node: 'eu-1', reason: null, profiler: { level: 0 }, operationsRead: 0 }]);
  });

  it('says that a server has no statistics of its own', async () => {
    const { nodes } = await accessPatterns(control, { keyspace: KEYSPACE });
    expect(nodes[0]!.queryStatistics).toEqual({
      state: 'absent',
      reason: 'the server has no $queryStats',
      since: null,
    });
  });

  it('adds a part of a profile once, whoever else has read it at the same time', async () => {
    const { queryShapes } = control.catalog;
    const part = { keyspace: 'shop.carts', node: 'eu-1', from: undefined, to: new Date(), counted: [] };
    const added = await Promise.all([queryShapes.addProfiled(part, []), queryShapes.addProfiled(part, [])]);
    expect(added.sort()).toEqual([false, true]);
    expect(await queryShapes.position('shop.carts', 'eu-1')).toEqual({ readTo: part.to, counted: [] });
  });

  it('tells what was counted over some time only where the report covers all of it', async () => {
    const { queryShapes } = control.catalog;
    const keyspace = 'shop.invoices';
    const HOUR_MS = 3_600_000;
    const hour = new Date(Math.floor(control.now() / HOUR_MS) * HOUR_MS);
    const ago = (hours: number) => hour.getTime() - hours * HOUR_MS;
    const shape = shapeOf({ operation: 'find', filter: { customer: 1 } });
    const figures = { keysExamined: 1, docsExamined: 1, returned: 1, collectionScans: 0, sorts: 0, millis: 0 };
    const since = (hours: number, operations: number) => ({
      ...{ hour, since: new Date(ago(hours)), partition: 'p0', shape, use: { ...figures, operations } },
    });
    const part = { keyspace, node: 'eu-1', from: undefined, to: new Date(), counted: [] };
    await queryShapes.addProfiled(part, [since(0, 1), since(3, 10), since(3, 10), since(48, 100)]);
    const told = async (from: number) => {
      const uses = await queryShapes.profiledUse({ keyspace, from, to: control.now() + 1 }, 10);
      return uses.get('find {customer: $eq}')?.use.operations;
    };
    expect(await told(ago(0))).toBe(1);
    expect(await told(ago(3))).toBe(21);
    expect(await told(ago(72))).toBe(121);
  });

  it('recommends to isolate the busy entity, and the indexes that the requests need', async () => {
    const { partitions, shapes } = await patterns('--partition', partition);
    expect(partitions).toHaveLength(1);
    const { entities, splits, indexes } = partitions[0]!;
    expect(entities[0]).toMatchObject({ key: 'c1' });
    expect(entities[0]!.share).toBeGreaterThan(0.5);
    expect(splits[0]).toMatchObject({ kind: 'isolate' });
    expect(splits[0]!.reason).toMatch(/"c1" alone has \d\d % of the load/);
    expect(indexes!.first[0]!.key).toEqual([['customer', 'hashed']]);
    expect(indexes!.first[0]!.uses).toBeGreaterThan(100);
    expect(indexes!.missing.map(({ key }) => JSON.stringify(key))).toContain('[["status",1],["at",-1]]');
    const status = indexes!.missing.find(({ key }) => key[0]![0] === 'status')!;
    expect(status.reason).toMatch(/10 of 10 profiled operations read the whole collection/);
    expect(shapes.map(({ text }) => text)).toContain('find {status: $eq} sort {at: -1}');
  });

  it('keeps no value, and prints none', async () => {
    const catalog = clients[0]!.db('drover');
    for (const name of ['queryShapes', 'profiledShapes', 'profilePositions']) {
      const documents = await catalog.collection(name).find().toArray();
      expect(documents.length).toBeGreaterThan(0);
      expect(JSON.stringify(documents)).not.toMatch(/secret|"c\d"/);
    }
    const { stdout, stderr } = await the.drover('access', 'patterns');
    expect(stdout).toMatch(/SHAPE +REQUESTS[^]*HOT ENTITY[^]*c1[^]*SPLIT +TO[^]*isolate[^]*INDEXES OF P\d[^]*missing/);
    expect(stderr).toMatch(/The profiler of eu-1 is off \(the server has no \$queryStats\)/);
  });

  it("joins a server's own statistics with what routers saw", async () => {
    const text = 'find {at: $eq, customer: $eq}';
    const { collection } = await control.catalog.partitions.get(KEYSPACE, partition);
    // The server of the tests lacks the stage; it has what comes after it.
    const patternsWith = async (operations: number) => {
      const told = [statisticsOf(collection, operations), statisticsOf('other', 1_000)];
      const nodes = { ...control.nodes, get: () => Promise.resolve(havingStatistics(clients[0]!, told)) };
      const context = { ...control, nodes } as unknown as ControlContext;
      const { shapes, nodes: found } = await accessPatterns(context, { keyspace: KEYSPACE });
      return { profiled: shapes.find((shape) => shape.text === text)!.profiled!, node: found[0]! };
    };
    const before = await patternsWith(5);
    expect(before.node).toMatchObject({
      queryStatistics: { state: 'read', reason: expect.stringContaining('from now on') as unknown },
      operationsRead: 0,
    });
    expect(before.profiled.operations).toBe(100);
    const after = await patternsWith(12);
    expect(after.node.operationsRead).toBe(7);
    expect(after.profiled).toMatchObject({ operations: 107, docsExamined: before.profiled.docsExamined + 70 });
    expect((await patternsWith(12)).profiled).toEqual(after.profiled);
  });

  it('leaves to the statistics of a server what they count', async () => {
    const partitions = await control.catalog.partitions.list(KEYSPACE);
    const part = {
      ...{ database: 'shop', from: undefined, to: new Date(), without: new Set(['find', 'update']) },
      collections: new Map(partitions.map(({ name, collection }) => [collection, name])),
    };
    const operations = (await readProfile(clients[0]!, part)).map(({ shape }) => shape.operation);
    expect(new Set(operations)).toEqual(new Set(['count', 'aggregate', 'delete']));
  });

  it.each([
    [['--keyspace', 'shop.nothing'], /no keyspace "shop.nothing"/],
    [['--partition', 'p9'], /p9/],
    [['--since', 'yesterday'], /length of time/],
  ])('takes %j for wrong use', async (args, sentence) => {
    const { exitCode, stderr } = await the.drover('access', 'patterns', ...args);
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(sentence);
  });
});
