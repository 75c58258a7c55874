import type { Document } from 'mongodb';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { DroverClient, DroverCollection } from '../../router/index.js';
import type { Router } from '../../router/router.js';
import { NEVER } from '../../store/collection-definition.js';
import { makeGates, newGates } from '../../store/gates.js';
import type { Node } from './cluster.js';
import { lower, upper, useCluster } from './cluster.js';

const cluster = useCluster();
const customerId = lower[0];
let client: DroverClient;
let orders: DroverCollection;

beforeAll(async () => {
  client = await cluster.connect();
});
beforeEach(async () => {
  orders = cluster.orders(client);
  // As `keyspace create` makes them.
  for (const [node, part] of [['a', 'p0'], ['b', 'p1']] as const) {
    await cluster.stored(node, part).createIndex({ customerId: 'hashed' });
  } // prettier-ignore
  await cluster.plain().createIndex({ customerId: 'hashed' });
});

const namesAt = async (node: Node, part = 'p0') =>
  (await cluster.stored(node, part).indexes())
    .map(({ name }) => name!)
    .filter((name) => !name.startsWith('droverGate'));
const basic = ['_id_', 'customerId_hashed'];

type Request = (on: DroverCollection<Document>) => Promise<unknown>;
const requests: readonly (readonly [string, Request])[] = [
  ['createIndex by name', (on) => on.createIndex('a')],
  ['createIndex by document', (on) => on.createIndex({ a: 1, b: -1 })],
  ['createIndex by list', (on) => on.createIndex(['a', ['b', -1], { c: '2d' }])],
  ['createIndex by pair', (on) => on.createIndex(['a', -1])],
  ['createIndex by map', (on) => on.createIndex(new Map([['b', 1], ['a', -1]]))],
  ['createIndex with options', (on) => on.createIndex({ a: 1 }, { name: 'x', sparse: true, comment: 'c' })],
  ['createIndex with two kinds of options', (on) => on.createIndex({ a: 1 }, { name: 'x', hidden: true }, { comment: 'c' })],
  ['createIndex with unknown options', (on) => on.createIndex({ a: 1 }, { wrong: 1 } as never)],
  ['createIndex with unknown options that are passed on', (on) => on.createIndex({ a: 1 }, { wrong: 1 }, {})],
  ['createIndex twice', async (on) => [await on.createIndex({ a: 1 }), await on.createIndex({ a: 1 })]],
  ['createIndex of what is there by another name', async (on) => [await on.createIndex({ a: 1 }), await on.createIndex({ a: 1 }, { name: 'x' })]],
  ['createIndex of something else by that name', async (on) => [await on.createIndex({ a: 1 }, { name: 'x' }), await on.createIndex({ b: 1 }, { name: 'x' })]],
  ['createIndex with other options', async (on) => [await on.createIndex({ a: 1 }), await on.createIndex({ a: 1 }, { sparse: true })]],
  ['createIndex of a wrong kind', (on) => on.createIndex({ a: 'wrong' } as never)],
  ['a text index', (on) => on.createIndex({ a: 'text' }, { weights: { a: 3 }, default_language: 'german' })],
  ['a wildcard index', (on) => on.createIndex({ '$**': 1 }, { wildcardProjection: { a: 1 } })],
  ['an index by which documents expire', (on) => on.createIndex({ at: 1 }, { expireAfterSeconds: 3_600 })],
  ['a partial index with a collation', (on) => on.createIndex({ a: 1 }, { partialFilterExpression: { a: { $gt: 1 } }, collation: { locale: 'de' } })],
  ['a unique index with the key', (on) => on.createIndex({ customerId: 1, email: 1 }, { unique: true })],
  ['the hashed index of the key', (on) => on.createIndex({ customerId: 'hashed' })],
  ['createIndexes', (on) => on.createIndexes([{ key: { a: 1 } }, { key: { b: 1, c: 1 }, name: 'x', sparse: true }])],
  ['createIndexes, none', (on) => on.createIndexes([])],
  ['createIndexes that contradict each other', (on) => on.createIndexes([{ key: { a: 1 }, name: 'x' }, { key: { b: 1 }, name: 'x' }])],
  ['dropIndex', async (on) => [await on.createIndex({ a: 1 }), await on.dropIndex('a_1')]],
  ['dropIndex of what is not there', (on) => on.dropIndex('a_1')],
  ['dropIndex of _id', (on) => on.dropIndex('_id_')],
  ['indexes in short', (on) => on.indexes({ full: false })],
  ['indexExists', async (on) => [await on.indexExists('_id_'), await on.indexExists(['_id_', 'a_1'])]],
  ['indexInformation', async (on) => [await on.indexInformation(), await on.indexInformation({ full: true })]],
  ['listIndexes', async (on) => { const names = []; for await (const { name } of on.listIndexes()) names.push(name); return names; }],
  ['listIndexes, mapped and cloned', (on) => on.listIndexes({ batchSize: 1 }).clone().map(({ name }) => name as string).toArray()],
  ['options', async (on) => [await on.options(), await on.isCapped()]],
  ['names', (on) => Promise.resolve([on.collectionName, on.writeConcern?.w ?? 'majority', on.readConcern, on.readPreference])],
]; // prettier-ignore

describe('a collection', () => {
  it.each(requests)('answers as the driver does: %s', async (_, request) => {
    for (const on of [orders, cluster.plain() as never as DroverCollection]) {
      await on.insertMany([lower[0], upper[0]].map((customerId) => ({ customerId })));
    }
    const [routed, direct] = await Promise.allSettled([request(orders), request(cluster.plain() as never)]);
    expect(visible(routed)).toEqual(visible(direct));
    expect(await orders.indexes()).toEqual(await cluster.plain().indexes());
    const everywhere = await Promise.all([namesAt('a'), namesAt('b', 'p1')]);
    expect(everywhere[0]).toEqual(everywhere[1]);
  });

  const refused: readonly (readonly [string, Request, number])[] = [
    ['a unique index without the key', (on) => on.createIndex({ email: 1 }, { unique: true }), 67],
    ['one of several', (on) => on.createIndexes([{ key: { a: 1 } }, { key: { email: 1 }, unique: true }]), 67],
    ['a unique index with a collation', (on) => on.createIndex({ customerId: 1 }, { unique: true, collation: { locale: 'de' } }), 67],
    ['another hashed index of the key', (on) => on.createIndex({ customerId: 'hashed' }, { name: 'x', hidden: true }), 67],
    ['a gate', (on) => on.createIndex({ a: 1 }, { name: newGates('p0', 1)[0]! }), 67],
    ['dropping the hashed index of the key', (on) => on.dropIndex('customerId_hashed'), 373],
  ]; // prettier-ignore

  it.each(refused)('refuses %s', async (_, request, code) => {
    await expect(request(orders)).rejects.toMatchObject({ name: 'MongoServerError', code });
    expect(await namesAt('a')).toEqual(basic);
    expect(await namesAt('b', 'p1')).toEqual(basic);
  });

  it('has no index anywhere that can’t be had everywhere', async () => {
    await orders.insertMany([1, 1].map((email) => ({ customerId: upper[0], email })));
    const indexes = [{ key: { n: 1 } }, { key: { customerId: 1, email: 1 }, unique: true }] as const;
    await expect(orders.createIndexes([...indexes])).rejects.toMatchObject({ code: 11000 });
    expect(await namesAt('a')).toEqual(basic);
    expect(await namesAt('b', 'p1')).toEqual(basic);
  });

  it('does not show, or drop, what Drover makes to move partitions', async () => {
    const gates = newGates('p0', 1);
    await makeGates(cluster.db('a'), `${cluster.name}.p0`, gates);
    await orders.createIndex({ a: 1 });
    expect((await orders.indexes()).map(({ name }) => name)).toEqual([...basic, 'a_1']);
    await expect(orders.dropIndex(gates[0]!)).rejects.toMatchObject({ code: 27 });
    expect(await orders.dropIndexes()).toBe(true);
    expect((await orders.indexes()).map(({ name }) => name)).toEqual(basic);
    expect((await cluster.stored('a').indexes()).map(({ name }) => name)).toEqual([...basic, ...gates]);
    await orders.createIndex({ a: 1 });
    expect(await orders.dropIndex('*')).toMatchObject({ nIndexesWas: 3, ok: 1 });
    expect((await orders.indexes()).map(({ name }) => name)).toEqual(basic);
  });

  it('is changed outside of transactions, and is never renamed', async () => {
    await using session = client.startSession();
    session.startTransaction();
    await expect(orders.createIndex('a', { session })).rejects.toMatchObject({ name: 'MongoTransactionError' });
    await expect(orders.drop({ session })).rejects.toMatchObject({ name: 'MongoTransactionError' });
    await expect(orders.rename('other')).rejects.toThrow(/can't be renamed/);
  });

  it('that is dropped is empty, and goes on taking documents where they belong', async () => {
    await orders.insertMany([lower[0], upper[0], lower[1]].map((customerId) => ({ customerId })));
    await orders.createIndex({ a: 1 });
    expect(await orders.drop()).toBe(true);
    expect(await orders.find().toArray()).toEqual([]);
    expect((await orders.indexes()).map(({ name }) => name)).toEqual(basic);
    await orders.insertMany([lower[0], upper[0]].map((customerId) => ({ customerId })));
    expect(await cluster.stored('a').countDocuments()).toBe(1);
    await expect(cluster.stored('a').insertOne({ customerId: upper[0] })).rejects.toMatchObject({ code: 121 });
  });
});

describe('while a partition moves', () => {
  const serving = async () => {
    await cluster.announce();
    await cluster.stored('b').createIndex({ customerId: 'hashed' });
    await cluster.acknowledged();
  };

  it('indexes are made and dropped on both sides', async () => {
    await serving();
    await orders.createIndex({ a: 1 });
    for (const node of ['a', 'b'] as const) expect(await namesAt(node)).toEqual([...basic, 'a_1']);
    await orders.dropIndex('a_1');
    await orders.createIndex({ b: 1 });
    await orders.dropIndexes();
    for (const node of ['a', 'b'] as const) expect(await namesAt(node)).toEqual(basic);
  });

  it('an index is made, too, where the partition has come to be meanwhile', async () => {
    const { router } = client as unknown as { router: Router };
    const areConfirmed = router.areConfirmed.bind(router);
    let looks = 0;
    router.areConfirmed = async (known, deadline) => {
      looks += 1;
      if (looks === 1) await serving();
      return areConfirmed(known, deadline);
    };
    try {
      await orders.createIndex({ a: 1 });
    } finally {
      router.areConfirmed = areConfirmed;
    }
    expect(looks).toBe(2);
    expect(await namesAt('b')).toEqual([...basic, 'a_1']);
  });

  it('documents expire by no index on the side that does not own them all, and an index that a move has suspended is there', async () => {
    await serving();
    await orders.createIndex({ at: 1 }, { expireAfterSeconds: 60 });
    expect(await namesAt('a')).toContain('at_1');
    // The move brings it, suspended, and suspends that of the owner.
    expect(await namesAt('b')).not.toContain('at_1');
    await cluster.stored('b').createIndex({ at: 1 }, { expireAfterSeconds: NEVER });
    const collMod = { collMod: `${cluster.name}.p0`, index: { name: 'at_1', expireAfterSeconds: NEVER } };
    await cluster.db('a').command(collMod);
    expect(await orders.createIndex({ at: 1 }, { expireAfterSeconds: 60 })).toBe('at_1');
    const told = (await orders.indexes()).find(({ name }) => name === 'at_1');
    expect(told).toMatchObject({ expireAfterSeconds: 60 });
    await orders.dropIndex('at_1');
    for (const node of ['a', 'b'] as const) expect(await namesAt(node)).toEqual(basic);
  });

  it('all documents are dropped, those that change hands, too', async () => {
    await orders.insertMany(lower.map((customerId) => ({ customerId })));
    await serving();
    await cluster.handOver();
    await cluster.acknowledged();
    await orders.drop();
    expect(await orders.find({ customerId: { $exists: true } }).toArray()).toEqual([]);
    expect(await cluster.stored('b').countDocuments()).toBe(0);
    await orders.insertOne({ customerId });
    expect(await cluster.stored('b').countDocuments()).toBe(1);
  });
});

describe('an adopted keyspace', () => {
  it('has no indexes by which documents expire', async () => {
    const shared = { node: 'a', collection: cluster.name };
    await cluster.catalog.keyspaces.insert({
      _id: `shop.shared-${cluster.name}`,
      database: 'shop',
      collection: cluster.name,
      dimensions: [{ kind: 'hashed', field: 'customerId' }],
      createdAt: new Date(),
    });
    const partition = await cluster.partition();
    const id = `shop.shared-${cluster.name}/p0`;
    const whole = { low: -(2n ** 63n), high: 2n ** 63n };
    await cluster.catalog.partitions.insert([
      { ...partition, id, keyspace: `shop.shared-${cluster.name}`, box: [whole], shared },
    ]);
    await cluster.db('a').createCollection(cluster.name);
    const adopted = client.db('shop').collection(`shared-${cluster.name}`);
    await expect(adopted.createIndex({ at: 1 }, { expireAfterSeconds: 60 })).rejects.toMatchObject({ code: 67 });
    expect(await adopted.createIndex({ a: 1 })).toBe('a_1');
    expect(await cluster.db('a').collection(cluster.name).indexExists('a_1')).toBe(true);
  });
});

/** What a caller can see of a result, but for times and the names of collections. */
function visible(settled: PromiseSettledResult<unknown>): unknown {
  if (settled.status === 'fulfilled') return withoutTimes(settled.value);
  const { code, codeName, constructor, message } = settled.reason as Error & { code?: unknown; codeName?: unknown };
  // Before the cause of a failed build stand names of collections and builds.
  return { type: constructor.name, code, codeName, message: message.split(' :: caused by :: ').at(-1) };
}

function withoutTimes(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutTimes);
  if (typeof value !== 'object' || value === null) return value;
  const { $clusterTime: _, operationTime: __, ...rest } = value as Document;
  return rest;
}
