import type { DistinctOptions, Document } from 'mongodb';
import { Decimal128, Double, Long, MongoServerError } from 'mongodb';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { DroverClient, DroverCollection } from '../../router/index.js';
import { handHalfOver, spread, written } from './aggregate-data.js';
import { keys, lower, upper, useCluster } from './cluster.js';

const cluster = useCluster();
let client: DroverClient;
let orders: DroverCollection<Document>;
let plain: DroverCollection<Document>;

beforeAll(async () => {
  client = await cluster.connect();
});
beforeEach(async () => {
  orders = cluster.orders(client);
  plain = cluster.plain() as unknown as DroverCollection<Document>;
  await orders.findOne({ customerId: lower[0] });
});

const values = [
  1, new Double(2.5), Long.fromNumber(7), Decimal128.fromString('1.10'), NaN, null, true, 'a', 'A', 'b', new Date(5),
  [1, 'x'], [[1, { z: 1 }]], { b: 1, a: [{ 2: 1, 1: 2 }] }, [], ['A', null],
]; // prettier-ignore
const documents: Document[] = keys.map((customerId, i) => ({
  _id: i,
  customerId,
  a: i % 7,
  v: values[i % values.length],
  in: [{ x: i % 3 }, { x: 'y' }, i],
}));

/** As one server, with the same documents. */
async function same(request: (on: DroverCollection<Document>) => Promise<unknown>): Promise<unknown> {
  const answers = [orders, plain].map((on) =>
    request(on).catch((error: unknown) => error instanceof MongoServerError ? `code ${error.code}` : String(error)),
  ); // prettier-ignore
  const [routed, direct] = await Promise.all(answers);
  expect(written([{ routed }])).toEqual(written([{ routed: direct }]));
  return routed;
}

describe('over documents of two nodes, one partition between them', () => {
  beforeEach(async () => {
    await handHalfOver(cluster);
    await spread(cluster, documents);
  });

  it('countDocuments counts each once, within the skip and the limit of all of them', async () => {
    expect(await same((on) => on.countDocuments())).toBe(60);
    await same((on) => on.countDocuments({ a: 3 }));
    await same((on) => on.countDocuments({ customerId: lower[0], a: { $gte: 0 } }));
    await same((on) => on.countDocuments({ customerId: { $in: [lower[0], upper[0]] } }));
    await same((on) => on.countDocuments({}, { skip: 7, limit: 40 }));
    await same((on) => on.countDocuments({}, { skip: 40, limit: 40 }));
    await same((on) => on.countDocuments({}, { skip: 99 }));
    await same((on) => on.countDocuments({ v: 'A' }, { collation: { locale: 'en', strength: 2 } }));
    await same((on) => on.countDocuments({ a: { $lt: 4 } }, { hint: '_id_', maxTimeMS: 60_000, comment: 'c' }));
    await same((on) => on.countDocuments({}, { readPreference: 'primaryPreferred', readConcern: 'majority' }));
    for (const wrong of [{ limit: 0 }, { limit: -1 }, { skip: -1 }, { hint: 'none' }]) {
      expect(await same((on) => on.countDocuments({}, wrong))).toMatch(/^code/);
    }
    expect(await same((on) => on.countDocuments({ $wrong: 1 }))).toMatch(/^code/);
  });

  const keysOfValues = ['v', 'a', 'in.x', 'in', 'customerId', 'none', '_id', 'v.a'];
  it('distinct gives the values that one server gives, in its order', async () => {
    for (const key of keysOfValues) {
      await same((on) => on.distinct(key, {}, { promoteValues: false }));
      await same((on) => on.distinct(key));
      await same((on) => on.distinct(key, { a: { $gt: 3 } }));
      await same((on) => on.distinct(key, { customerId: upper[0] }));
    }
  });

  it('distinct gives values by the options of the request', async () => {
    const options: DistinctOptions[] = [
      { promoteLongs: false },
      { useBigInt64: true },
      { maxTimeMS: 60_000, comment: 'c', readConcern: 'majority' },
    ];
    for (const each of options) await same((on) => on.distinct('v', {}, each as never));
    const collation = { locale: 'en', strength: 2 } as const;
    const anyCase = (on: DroverCollection<Document>) => on.distinct('v', { v: { $type: 'string' } }, { collation });
    await same(async (on) => (await anyCase(on)).map((value: unknown) => String(value).toLowerCase()));
    const plan = await orders.distinct('v', {}, { explain: 'queryPlanner' });
    expect(Object.keys(plan['shards'] as Document)).toHaveLength(3);
    expect(await same((on) => on.distinct('v', { $wrong: 1 }))).toMatch(/^code/);
  });

  it('both read in the session and the transaction of the request', async () => {
    const session = client.startSession();
    await session.withTransaction(async () => {
      await orders.insertOne({ _id: 1_000 as never, customerId: lower[0], a: 99 }, { session });
      expect(await orders.countDocuments({ customerId: lower[0], a: 99 }, { session })).toBe(1);
      expect(await orders.distinct('a', { customerId: lower[0], a: 99 }, { session })).toEqual([99]);
      expect(await orders.countDocuments({ a: 99 })).toBe(0);
    });
    expect(await orders.countDocuments({ a: 99 }, { session })).toBe(1);
    await session.endSession();
  });

  it('estimatedDocumentCount counts a partition that is on two nodes once, in the middle and at the end', async () => {
    expect(await orders.estimatedDocumentCount()).toBe(60);
    expect(await orders.estimatedDocumentCount({ maxTimeMS: 60_000 })).toBe(60);
    await cluster.advance({ kind: 'begin', boundary: 0n }, { kind: 'own', since: 1n }, { kind: 'settle' });
    await cluster.acknowledged();
    expect(await orders.estimatedDocumentCount()).toBe(60);
  });
});

it('a strict read is left to findOne', async () => {
  await expect(orders.countDocuments({}, { readConcern: 'linearizable' })).rejects.toThrow(/findOne/);
  await expect(orders.distinct('a', {}, { readConcern: 'linearizable' })).rejects.toThrow(/findOne/);
});
