import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AccessPatternsReport } from '../../client/access-patterns.js';
import type { ControlContext } from '../../client/context.js';
import { createKeyspace } from '../../client/keyspaces.js';
import { DroverClient } from '../../router/index.js';
import { connect } from '../../store/connect.js';
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

const patterns = async (...args: readonly string[]) => {
  const outcome = await the.drover('access', 'patterns', '--limit', '30', ...args, '--json');
  expect(outcome.exitCode).toBe(0);
  return outcome.json<AccessPatternsReport>();
};

describe('drover access patterns', () => {
  it('tells shapes as routers and the profiler saw them, and reads each profiled operation once', async () => {
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
    expect(first.nodes).toMatchObject([
      { node: 'eu-1', reason: null, queryStatistics: 'absent', profiler: { level: 0 } },
    ]);
    expect(first.nodes[0]!.operationsRead).toBeGreaterThan(150);

    const again = await patterns();
    expect(again.nodes[0]!.operationsRead).toBe(0);
    expect(again.shapes).toEqual(first.shapes);
  });

  it('adds a part of a profile once, whoever else has read it at the same time', async () => {
    const { queryShapes } = control.catalog;
    const part = { keyspace: 'shop.carts', node: 'eu-1', from: undefined, to: new Date() };
    const added = await Promise.all([queryShapes.addProfiled(part, []), queryShapes.addProfiled(part, [])]);
    expect(added.sort()).toEqual([false, true]);
    expect(await queryShapes.readTo('shop.carts', 'eu-1')).toEqual(part.to);
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
