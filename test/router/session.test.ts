import { MongoTransactionError } from 'mongodb';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { DroverClient, DroverCollection } from '../../router/index.js';
import { lower, upper, useCluster } from './cluster.js';

const cluster = useCluster();
const [one, two] = lower as [string, string];
let client: DroverClient;
let orders: DroverCollection;

beforeAll(async () => {
  client = await cluster.connect();
});
beforeEach(async () => {
  orders = cluster.orders(client);
  await orders.insertMany([
    { _id: 1 as never, customerId: one, n: 0 },
    { _id: 2 as never, customerId: two, n: 0 },
  ]);
});

const acknowledged = async () => {
  const { id, epoch } = await cluster.partition();
  return (await cluster.catalog.routers.missing(id, epoch)).length === 0;
};
const soon = () => new Promise((resolve) => setTimeout(resolve, 100));

describe('a transaction', () => {
  it('shows its writes to nobody before it commits, and all of them afterwards', async () => {
    await using session = client.startSession();
    const count = await session.withTransaction(async () => {
      await orders.insertOne({ _id: 3 as never, customerId: one }, { session });
      await orders.insertMany(
        [4, 5].map((_id) => ({ _id: _id as never, customerId: two })),
        { session },
      );
      await orders.updateOne({ customerId: one, _id: 1 as never }, { $inc: { n: 1 } }, { session });
      await orders.updateMany({ customerId: two }, { $inc: { n: 1 } }, { session });
      await orders.findOneAndUpdate({ customerId: one, _id: 1 as never }, { $inc: { n: 1 } }, { session });
      await orders.replaceOne({ customerId: one, _id: 3 as never }, { customerId: one, n: 9 }, { session });
      await orders.deleteOne({ customerId: two, _id: 4 as never }, { session });
      await orders.findOneAndDelete({ customerId: two, _id: 5 as never }, { session });
      await orders.deleteMany({ customerId: two }, { session });
      expect(await orders.findOne({ customerId: one, _id: 1 as never }, { session })).toMatchObject({ n: 2 });
      expect(await orders.find({ customerId: one }, { session }).toArray()).toHaveLength(2);
      expect(await orders.findOne({ customerId: one, _id: 1 as never })).toMatchObject({ n: 0 });
      expect(await cluster.stored('a').countDocuments()).toBe(2);
      return cluster.stored('a').countDocuments({}, {});
    });
    expect(count).toBe(2);
    expect(await cluster.stored('a').find().sort({ _id: 1 }).toArray()).toEqual([
      { _id: 1, customerId: one, n: 2 },
      { _id: 3, customerId: one, n: 9 },
    ]);
  });

  it('leaves nothing behind when it is aborted, or its function fails', async () => {
    await using session = client.startSession();
    session.startTransaction();
    await orders.deleteMany({ customerId: one }, { session });
    await session.abortTransaction();
    const failing = session.withTransaction(async () => {
      await orders.insertOne({ customerId: one }, { session });
      throw new Error('no');
    });
    await expect(failing).rejects.toThrow('no');
    session.startTransaction();
    await orders.deleteMany({ customerId: one }, { session });
    await session.endSession();
    expect(await cluster.stored('a').countDocuments()).toBe(2);
  });

  it('stays on the node of its first request', async () => {
    await using session = client.startSession();
    session.startTransaction();
    await orders.updateOne({ customerId: one }, { $inc: { n: 1 } }, { session });
    const elsewhere = orders.insertOne({ customerId: upper[0] }, { session });
    await expect(elsewhere).rejects.toThrow(MongoTransactionError);
    await expect(elsewhere).rejects.toThrow(/one node/);
    await session.abortTransaction();
    await session.withTransaction(() => orders.insertOne({ customerId: upper[0] }, { session }));
    expect(await cluster.stored('b', 'p1').countDocuments()).toBe(1);
  });

  it('is repeated when another one was in its way', async () => {
    const add = async () => {
      await using session = client.startSession();
      await session.withTransaction(async () => {
        const { n } = (await orders.findOne({ customerId: one }, { session }))!;
        await orders.updateOne({ customerId: one }, { $set: { n: Number(n) + 1 } }, { session });
      });
    };
    await Promise.all(Array.from({ length: 8 }, add));
    expect(await orders.findOne({ customerId: one })).toMatchObject({ n: 8 });
  });

  it('is waited for by a hand-over of its keys', async () => {
    await cluster.announce();
    await cluster.acknowledged();
    await using session = client.startSession();
    session.startTransaction();
    await orders.updateOne({ customerId: one }, { $inc: { n: 1 } }, { session });
    await cluster.catalog.partitions.advance(await cluster.partition(), { kind: 'begin', boundary: 0n });
    await soon();
    expect(await acknowledged()).toBe(false);
    // Its own keys it may go on with, others are on their way out.
    await orders.updateOne({ customerId: one }, { $inc: { n: 1 } }, { session });
    await expect(orders.findOne({ customerId: two }, { session })).rejects.toSatisfy((error: MongoTransactionError) =>
      error.hasErrorLabel('TransientTransactionError'),
    );
    await session.commitTransaction();
    await cluster.acknowledged();
    expect(await orders.findOne({ customerId: one })).toMatchObject({ n: 2 });
  });

  it('begins again at the new owner when a hand-over has come in between', async () => {
    await cluster.announce();
    await cluster.acknowledged();
    await using session = client.startSession();
    let [runs, moved] = [0, undefined as Promise<unknown> | undefined];
    await session.withTransaction(async () => {
      runs += 1;
      moved ??= cluster.handOver();
      await soon();
      await orders.updateOne({ customerId: one }, { $inc: { n: 1 } }, { session });
    });
    await moved;
    expect(runs).toBeGreaterThan(0);
    expect(await cluster.stored('b').findOne({ customerId: one })).toMatchObject({ n: 1 });
    expect(await cluster.stored('a').findOne({ customerId: one })).toMatchObject({ n: 0 });
  });

  it('of a router that has missed a hand-over is refused, and begins again at the new owner', async () => {
    await cluster.announce();
    const other = await cluster.connect();
    const old = cluster.orders(other);
    await old.findOne({ customerId: one });
    await cluster.feed(other).close();
    await cluster.handOver();
    let runs = 0;
    await using session = other.startSession();
    await session.withTransaction(async () => {
      runs += 1;
      await old.deleteOne({ customerId: one }, { session });
    });
    expect(runs).toBe(2);
    expect(await cluster.stored('a').countDocuments()).toBe(2);
    expect(await cluster.stored('b').countDocuments()).toBe(1);
  });
});

describe('a session without a transaction', () => {
  it('goes with requests to any node, and ends', async () => {
    const session = client.startSession({ causalConsistency: true });
    await orders.insertOne({ customerId: upper[0] }, { session });
    expect(await orders.findOne({ customerId: upper[0] }, { session })).not.toBeNull();
    expect(await orders.find({ customerId: one }, { session }).toArray()).toHaveLength(1);
    await orders.deleteOne({ customerId: one }, { session });
    await session.endSession();
    await expect(orders.findOne({ customerId: one }, { session })).rejects.toMatchObject({
      name: 'MongoExpiredSessionError',
    });
  });
});
