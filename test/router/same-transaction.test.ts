import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { DroverCollection } from '../../router/index.js';
import { lower, useCluster } from './cluster.js';
import { ReplyLosingProxy } from './reply-losing-proxy.js';

const cluster = useCluster();
const proxy = new ReplyLosingProxy();
const [customerId] = lower;
let orders: DroverCollection;
let connect: () => DroverCollection;

beforeAll(async () => {
  const a = await proxy.start(cluster.uris[0]!);
  const client = await cluster.connect({ nodes: { a, b: cluster.uris[1]! }, holdTimeoutMS: 3_000 });
  connect = () => cluster.orders(client);
});
afterAll(() => proxy.stop());
beforeEach(async () => {
  orders = connect();
  await orders.insertOne({ _id: 1 as never, customerId, n: 0 });
});

/** The first reply, that of the driver's own retry, and those of some repetitions. */
describe.each([1, 2, 3, 5])('a write whose reply is lost %i times', (times) => {
  it('is applied once: an update', async () => {
    proxy.lose('update', times);
    const result = await orders.updateOne({ customerId }, { $inc: { n: 1 } });
    expect(result).toMatchObject({ acknowledged: true, matchedCount: 1, modifiedCount: 1 });
    expect(await orders.findOne({ customerId })).toMatchObject({ n: 1 });
    expect(proxy.seen).toBe(times + 1);
  });

  it('is applied once: an insert', async () => {
    proxy.lose('insert', times);
    await expect(orders.insertOne({ _id: 2 as never, customerId })).resolves.toMatchObject({ insertedId: 2 });
    expect(await cluster.stored('a').countDocuments()).toBe(2);
  });

  it.each([true, false])('is applied once: inserts (ordered: %s)', async (ordered) => {
    proxy.lose('insert', times);
    const documents = [2, 3, 4].map((_id) => ({ _id: _id as never, customerId }));
    await expect(orders.insertMany(documents, { ordered })).resolves.toMatchObject({ insertedCount: 3 });
    proxy.lose('insert', times);
    const again = [5, 2, 6].map((_id) => ({ _id: _id as never, customerId }));
    await expect(orders.insertMany(again, { ordered })).rejects.toMatchObject({
      code: 11000,
      insertedCount: ordered ? 1 : 2,
    });
  });

  it('is applied once: a delete', async () => {
    await orders.insertOne({ _id: 2 as never, customerId });
    proxy.lose('commitTransaction', times);
    expect(await orders.deleteOne({ customerId })).toEqual({ acknowledged: true, deletedCount: 1 });
    expect(await cluster.stored('a').countDocuments()).toBe(1);
    proxy.lose('delete', times);
    expect(await orders.deleteOne({ customerId })).toEqual({ acknowledged: true, deletedCount: 1 });
  });
});

describe('a write whose outcome stays unknown', () => {
  it('fails with the driver’s error when the hold time is over, and leaves a session that still works', async () => {
    const startedAt = performance.now();
    proxy.lose('update', Infinity);
    await expect(orders.updateOne({ customerId }, { $inc: { n: 1 } })).rejects.toMatchObject({
      name: 'MongoNetworkError',
    });
    expect(performance.now() - startedAt).toBeGreaterThan(2_000);
    proxy.lose('', 0);
    await orders.updateOne({ customerId }, { $inc: { n: 10 } });
    expect(await orders.findOne({ customerId })).toMatchObject({ n: 11 });
  });

  it('is not known to be done for a fence: the router acknowledges only afterwards', async () => {
    await cluster.announce();
    proxy.lose('update', 4, () => new Promise((resolve) => setTimeout(resolve, 100)));
    const written = orders.updateOne({ customerId }, { $inc: { n: 1 } });
    await new Promise((resolve) => setTimeout(resolve, 50));
    let done = false;
    void written.then(() => (done = true));
    const { id, epoch } = await cluster.catalog.partitions.advance(await cluster.partition(), {
      kind: 'begin',
      boundary: 0n,
    });
    let doneWhenAcknowledged: boolean | undefined;
    while (doneWhenAcknowledged === undefined) {
      const missing = await cluster.catalog.routers.missing(id, epoch);
      if (missing.length === 0) doneWhenAcknowledged = done;
    }
    expect(doneWhenAcknowledged).toBe(true);
    expect(await cluster.stored('a').findOne()).toMatchObject({ n: 1 });
  });

  it('goes elsewhere only when its own node has refused it', async () => {
    await cluster.announce();
    await cluster.acknowledged();
    // Applied, then the token changes hands before the client knows.
    let moved: Promise<unknown> | undefined;
    proxy.lose('update', 2, async () => {
      await (moved ??= cluster.handOver());
    });
    await orders.updateOne({ customerId }, { $inc: { n: 1 } });
    expect(await cluster.stored('b').findOne()).toMatchObject({ n: 1 });
    expect(await cluster.stored('a').findOne()).toMatchObject({ n: 1 });
  });
});
