import type { Document } from 'mongodb';
import { Long } from 'mongodb';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { DroverClient, DroverCollection } from '../../router/index.js';
import { lower, useCluster } from './cluster.js';

const cluster = useCluster();
let client: DroverClient;
let orders: DroverCollection;

beforeAll(async () => {
  client = await cluster.connect();
});
beforeEach(() => {
  orders = cluster.orders(client);
});

const customerId = lower[0];
const documents = () =>
  Array.from({ length: 6 }, (_, i) => ({
    _id: i as never,
    customerId,
    n: 5 - i,
    tags: ['a', `t${i}`],
    name: 'Äa'[i % 2],
  }));

describe('a delete', () => {
  type Request = (on: DroverCollection<Document>) => Promise<unknown>;
  const requests: readonly (readonly [string, Request])[] = [
    ['deleteOne', (on) => on.deleteOne({ customerId, n: 3 })],
    ['deleteOne of nothing', (on) => on.deleteOne({ customerId, n: 99 })],
    ['deleteOne with a hint', (on) => on.deleteOne({ customerId, n: 3 }, { hint: { _id: 1 } })],
    ['deleteOne with a hint by name', (on) => on.deleteOne({ customerId, n: 3 }, { hint: '_id_' })],
    ['deleteOne with a wrong hint', (on) => on.deleteOne({ customerId, n: 3 }, { hint: 'missing' })],
    ['deleteOne with variables', (on) => on.deleteOne({ customerId, $expr: { $eq: ['$n', '$$n'] } }, { let: { n: 2 }, comment: 'c' })],
    ['deleteOne with a collation', (on) => on.deleteOne({ customerId, name: 'ä' }, { collation: { locale: 'de', strength: 1 } })],
    ['deleteOne of a malformed filter', (on) => on.deleteOne({ customerId, n: { $wrong: 1 } })],
    ['findOneAndDelete', (on) => on.findOneAndDelete({ customerId, n: 3 })],
    ['findOneAndDelete of nothing', (on) => on.findOneAndDelete({ customerId, n: 99 })],
    ['findOneAndDelete sorted', (on) => on.findOneAndDelete({ customerId }, { sort: { n: 1 } })],
    ['findOneAndDelete with fields left out', (on) => on.findOneAndDelete({ customerId }, { sort: { n: -1 }, projection: { _id: 0, tags: 0 } })],
    ['findOneAndDelete with one field', (on) => on.findOneAndDelete({ customerId, n: 2 }, { projection: { _id: 0, n: 1 } })],
    ['findOneAndDelete by place', (on) => on.findOneAndDelete({ customerId, tags: 't2' }, { projection: { 'tags.$': 1 } })],
    ['findOneAndDelete of the whole', (on) => on.findOneAndDelete({ customerId, n: 2 }, { projection: { all: '$$ROOT' } })],
    ['findOneAndDelete with metadata', (on) => on.findOneAndDelete({ customerId, n: 3 }, { includeResultMetadata: true })],
    ['findOneAndDelete of nothing with metadata', (on) => on.findOneAndDelete({ customerId, n: 99 }, { includeResultMetadata: true })],
    ['deleteMany', (on) => on.deleteMany({ customerId, n: { $gt: 2 } })],
    ['deleteMany of nothing', (on) => on.deleteMany({ customerId, n: 99 })],
    ['deleteMany by _id', (on) => on.deleteMany({ customerId, _id: { $lt: 2 } as never })],
    ['deleteMany with a hint', (on) => on.deleteMany({ customerId }, { hint: '_id_' })],
    ['deleteMany with a collation', (on) => on.deleteMany({ customerId, name: 'ä' }, { collation: { locale: 'de', strength: 1 } })],
  ]; // prettier-ignore

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

  it('finds a document whose _id is no exact number in JavaScript', async () => {
    const _id = Long.fromString('9007199254740993') as never;
    await orders.insertOne({ _id, customerId });
    expect((await orders.deleteOne({ customerId })).deletedCount).toBe(1);
    await orders.insertOne({ _id, customerId });
    expect((await orders.deleteMany({ customerId })).deletedCount).toBe(1);
  });

  it('of many documents deletes all of them', async () => {
    await cluster.stored('a').insertMany(Array.from({ length: 950 }, (_, n) => ({ customerId, n })));
    expect((await orders.deleteMany({ customerId, n: { $gte: 100 } })).deletedCount).toBe(850);
    expect(await cluster.stored('a').countDocuments()).toBe(100);
  });

  it('is given to one of many who ask for the same document', async () => {
    await orders.insertOne({ customerId });
    const results = await Promise.all(Array.from({ length: 20 }, () => orders.deleteOne({ customerId })));
    expect(results.reduce((sum, { deletedCount }) => sum + deletedCount, 0)).toBe(1);
  });

  it('never shows a reader the touch', async () => {
    await orders.insertMany(Array.from({ length: 60 }, (_, i) => ({ _id: i as never, customerId })));
    let deleting = true;
    const fields = new Set<string>();
    const reading = (async () => {
      while (deleting) {
        for (const each of await cluster.stored('a').find().toArray())
          for (const field of Object.keys(each)) fields.add(field);
      }
    })();
    for (let i = 0; i < 60; i++) await orders.deleteOne({ customerId });
    deleting = false;
    await reading;
    expect([...fields].sort()).toEqual(['_id', 'customerId']);
  });
});

describe('a router that has missed a hand-over', () => {
  const count = 12;

  /** Knows only the routes of now: its feed has ended, and it can't read a route again. */
  const stale = async (): Promise<DroverCollection> => {
    const old = await cluster.connect({ holdTimeoutMS: 300 });
    const collection = cluster.orders(old);
    await collection.findOne({ customerId });
    await cluster.feed(old).close();
    const feed = cluster.feed(old) as unknown as { refresh: () => Promise<boolean> };
    feed.refresh = () => Promise.resolve(false);
    return collection;
  };
  const late: readonly (readonly [string, (on: DroverCollection, _id: never) => Promise<unknown>])[] = [
    ['deleteOne', (on, _id) => on.deleteOne({ customerId, _id })],
    ['deleteMany', (on, _id) => on.deleteMany({ customerId, _id })],
    ['findOneAndDelete', (on, _id) => on.findOneAndDelete({ customerId, _id })],
    ['updateOne', (on, _id) => on.updateOne({ customerId, _id }, { $inc: { n: 1 } })],
    ['replaceOne', (on, _id) => on.replaceOne({ customerId, _id }, { customerId, n: 1 })],
    ['upsert', (on, _id) => on.updateOne({ customerId, _id: (100 + Number(_id)) as never }, { $set: { n: 1 } }, { upsert: true })],
    ['insertOne', (on, _id) => on.insertOne({ customerId, _id: (100 + Number(_id)) as never })],
  ]; // prettier-ignore

  it.each(late)('gets nothing through at the old owner: %s', async (_, request) => {
    await orders.insertMany(Array.from({ length: count }, (_, i) => ({ _id: i as never, customerId, n: 0 })));
    await cluster.announce();
    const old = await stale();
    await cluster.handOver();
    const before = await cluster.stored('a').find().toArray();
    const results = await Promise.allSettled(Array.from({ length: count }, (_, i) => request(old, i as never)));
    expect(results.filter(({ status }) => status === 'fulfilled')).toEqual([]);
    expect(await cluster.stored('a').find().toArray()).toEqual(before);
    expect(await cluster.stored('b').find().toArray()).toEqual(before);
  });

  it.each(late)('goes on at the new owner when it can ask for the route: %s', async (_, request) => {
    await orders.insertMany(Array.from({ length: count }, (_, i) => ({ _id: i as never, customerId, n: 0 })));
    await cluster.announce();
    const old = await cluster.connect();
    await cluster.orders(old).findOne({ customerId });
    await cluster.feed(old).close();
    await cluster.handOver();
    const before = await cluster.stored('a').find().toArray();
    await Promise.all(Array.from({ length: count }, (_, i) => request(cluster.orders(old), i as never)));
    expect(await cluster.stored('a').find().toArray()).toEqual(before);
    expect(await cluster.stored('b').find().toArray()).not.toEqual(before);
  });

  it('gets no delete through that races the fence', async () => {
    await cluster.announce();
    const old = await stale();
    await cluster.stored('a').insertMany(Array.from({ length: 200 }, (_, i) => ({ _id: i as never, customerId })));
    await Promise.all(Array.from({ length: 300 }, () => old.findOne({ customerId })));
    let deleted = 0;
    const deleting = Array.from({ length: 200 }, async (_, i) => {
      await new Promise((resolve) => setTimeout(resolve, i));
      const result = await old.deleteOne({ customerId, _id: i as never }).catch(() => ({ deletedCount: 0 }));
      deleted += result.deletedCount;
    });
    await new Promise((resolve) => setTimeout(resolve, 60));
    await cluster.handOver();
    await Promise.all(deleting);
    expect(await cluster.stored('a').countDocuments()).toBe(200 - deleted);
    expect(await cluster.stored('b').countDocuments()).toBe(200 - deleted);
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
