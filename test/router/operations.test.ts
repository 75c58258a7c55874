import type { Document } from 'mongodb';
import { MongoError } from 'mongodb';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { DroverClient, DroverCollection } from '../../router/index.js';
import { lower, useCluster } from './cluster.js';

const cluster = useCluster();
const customerId = lower[0];
const documents = () =>
  Array.from({ length: 6 }, (_, i) => ({ _id: i as never, customerId, n: 5 - i, tags: ['a', `t${i}`] }));
let client: DroverClient;
let orders: DroverCollection;

beforeAll(async () => {
  client = await cluster.connect();
});
beforeEach(() => {
  orders = cluster.orders(client);
});

type Request = (on: DroverCollection<Document>) => Promise<unknown>;
const upsert = { upsert: true } as const;
const metadata = { includeResultMetadata: true } as const;
const requests: readonly (readonly [string, Request])[] = [
  ['updateMany', (on) => on.updateMany({ customerId, n: { $gt: 1 } }, { $inc: { n: 10 } })],
  ['updateMany by pipeline', (on) => on.updateMany({ customerId }, [{ $set: { m: '$n' } }])],
  ['updateMany of nothing', (on) => on.updateMany({ customerId, n: 99 }, { $inc: { n: 1 } })],
  ['updateMany that changes nothing', (on) => on.updateMany({ customerId }, { $set: { customer: 1 }, $unset: { x: 1 } })],
  ['updateMany in arrays', (on) => on.updateMany({ customerId }, { $set: { 'tags.$[t]': 'b' } }, { arrayFilters: [{ t: 'a' }] })],
  ['updateMany or insert', (on) => on.updateMany({ customerId, _id: 50 as never }, { $set: { n: 1 } }, upsert)],
  ['updateMany with a wrong operator', (on) => on.updateMany({ customerId }, { $wrong: { n: 1 } })],
  ['updateMany that a unique index refuses', (on) => on.updateMany({ customerId }, { $set: { _id: 1 } })],
  ['updateOne or insert', (on) => on.updateOne({ customerId, _id: 50 as never }, { $set: { n: 1 } }, upsert)],
  ['replaceOne or insert', (on) => on.replaceOne({ customerId, _id: 50 as never }, { customerId, n: 1 }, upsert)],
  ['findOneAndUpdate', (on) => on.findOneAndUpdate({ customerId, n: 3 }, { $inc: { n: 1 } })],
  ['findOneAndUpdate, after', (on) => on.findOneAndUpdate({ customerId }, { $inc: { n: 1 } }, { sort: { n: 1 }, returnDocument: 'after' })],
  ['findOneAndUpdate by pipeline', (on) => on.findOneAndUpdate({ customerId, n: 3 }, [{ $set: { m: '$n' } }], { returnDocument: 'after' })],
  ['findOneAndUpdate with fields', (on) => on.findOneAndUpdate({ customerId, n: 3 }, { $inc: { n: 1 } }, { projection: { n: 1 } })],
  ['findOneAndUpdate of nothing', (on) => on.findOneAndUpdate({ customerId, n: 99 }, { $inc: { n: 1 } })],
  ['findOneAndUpdate or insert', (on) => on.findOneAndUpdate({ customerId, _id: 50 as never }, { $inc: { n: 1 } }, upsert)],
  ['findOneAndUpdate or insert, after', (on) => on.findOneAndUpdate({ customerId, _id: 50 as never }, { $inc: { n: 1 } }, { ...upsert, returnDocument: 'after' })],
  ['findOneAndUpdate with metadata', (on) => on.findOneAndUpdate({ customerId, n: 3 }, { $inc: { n: 1 } }, metadata)],
  ['findOneAndUpdate of nothing with metadata', (on) => on.findOneAndUpdate({ customerId, n: 99 }, { $inc: { n: 1 } }, metadata)],
  ['findOneAndUpdate or insert with metadata', (on) => on.findOneAndUpdate({ customerId, _id: 50 as never }, { $inc: { n: 1 } }, { ...upsert, ...metadata })],
  ['findOneAndUpdate without operators', (on) => on.findOneAndUpdate({ customerId }, { n: 1 })],
  ['findOneAndReplace', (on) => on.findOneAndReplace({ customerId, n: 3 }, { customerId, m: 1 })],
  ['findOneAndReplace, after', (on) => on.findOneAndReplace({ customerId, n: 3 }, { customerId, m: 1 }, { returnDocument: 'after' })],
  ['findOneAndReplace of nothing', (on) => on.findOneAndReplace({ customerId, n: 99 }, { customerId })],
  ['findOneAndReplace or insert', (on) => on.findOneAndReplace({ customerId, _id: 50 as never }, { customerId, m: 1 }, { ...upsert, returnDocument: 'after' })],
  ['findOneAndReplace with metadata', (on) => on.findOneAndReplace({ customerId, n: 3 }, { customerId, m: 1 }, metadata)],
  ['findOneAndReplace with operators', (on) => on.findOneAndReplace({ customerId }, { customerId, $set: { n: 1 } })],
]; // prettier-ignore

describe('a write', () => {
  it.each(requests)('answers as the driver does: %s', async (_, request) => {
    const plain = cluster.plain();
    await orders.insertMany(documents());
    await plain.insertMany(documents());
    const [routed, direct] = await Promise.allSettled([request(orders), request(plain as never)]);
    expect(visible(routed)).toEqual(visible(direct));
    expect(await cluster.stored('a').find().sort({ _id: 1 }).toArray()).toEqual(
      await plain.find().sort({ _id: 1 }).toArray(),
    );
  });

  it('keeps the key, by whatever method', async () => {
    await expect(orders.updateMany({ customerId }, { $set: { customerId: 'b' } })).rejects.toThrow(/can't be changed/);
    await expect(orders.findOneAndUpdate({ customerId }, { $unset: { customerId: 1 } })).rejects.toThrow(/can't be/);
    await expect(orders.findOneAndReplace({ customerId }, { customerId: 'b' })).rejects.toThrow(/can't change/);
    await expect(orders.updateMany({}, { $set: { customerId: 'b' } })).rejects.toThrow(/can't be changed/);
  });
});

describe('at a router that has missed a hand-over', () => {
  const late: readonly (readonly [string, Request])[] = [
    ['findOneAndUpdate', (on) => on.findOneAndUpdate({ customerId }, { $inc: { n: 1 } })],
    ['findOneAndReplace', (on) => on.findOneAndReplace({ customerId }, { customerId })],
    ['upsert', (on) => on.findOneAndUpdate({ customerId, _id: 50 as never }, { $inc: { n: 1 } }, upsert)],
  ]; // prettier-ignore

  const missed = async () => {
    await orders.insertMany(documents());
    await cluster.announce();
    const other = await cluster.connect();
    await cluster.orders(other).findOne({ customerId });
    await cluster.feed(other).close();
    await cluster.handOver();
    return { old: cluster.orders(other), before: await cluster.stored('a').find().toArray() };
  };

  it.each(late)('a write goes to the new owner: %s', async (_, request) => {
    const { old, before } = await missed();
    await request(old);
    expect(await cluster.stored('a').find().toArray()).toEqual(before);
    expect(await cluster.stored('b').find().toArray()).not.toEqual(before);
  });

  it('updateMany is refused, told, and not repeated', async () => {
    const { old, before } = await missed();
    const error = await old.updateMany({ customerId }, { $inc: { n: 1 } }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(MongoError);
    expect(error).toMatchObject({ code: 121, message: expect.stringContaining('changed hands') });
    for (const node of ['a', 'b'] as const) expect(await cluster.stored(node).find().toArray()).toEqual(before);
    expect(await old.updateMany({ customerId }, { $inc: { n: 1 } })).toMatchObject({ modifiedCount: 6 });
  });
});

/** What a caller can see of a result, but for times and the names of collections. */
function visible(settled: PromiseSettledResult<unknown>): unknown {
  if (settled.status === 'rejected') {
    const error = settled.reason as { code?: unknown; constructor: { name: string } };
    return { type: error.constructor.name, code: error.code };
  }
  const value = settled.value;
  if (value === null || typeof value !== 'object') return value;
  const { $clusterTime: _, operationTime: __, ...rest } = value as Document;
  return rest;
}
