import { beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { LEASE_MS } from '../../domain/lease.js';
import type { DroverClient, DroverClientOptions, DroverCollection } from '../../router/index.js';
import type { Catalog } from '../../store/catalog/catalog.js';
import { until } from '../store/servers.js';
import { lower, useCluster } from './cluster.js';

const cluster = useCluster();
const [customerId] = lower;
const missing = { customerId, _id: 99 as never };
const strict = { readConcern: { level: 'linearizable' } } as const;
let client: DroverClient;
let orders: DroverCollection;

beforeAll(async () => {
  client = await cluster.connect();
});
beforeEach(async () => {
  orders = cluster.orders(client);
  await orders.insertOne({ _id: 1 as never, customerId, n: 0 });
});

/** Results that no fence has seen. */
const resting: readonly (readonly [string, (on: DroverCollection) => Promise<unknown>])[] = [
  ['updateOne that matches nothing', (on) => on.updateOne(missing, { $set: { n: 1 } })],
  ['updateOne that changes nothing', (on) => on.updateOne({ customerId }, { $set: { n: 0 } })],
  ['replaceOne that matches nothing', (on) => on.replaceOne(missing, { customerId })],
  ['deleteOne that matches nothing', (on) => on.deleteOne(missing)],
  ['deleteMany that matches nothing', (on) => on.deleteMany(missing)],
  ['findOneAndDelete that finds nothing', (on) => on.findOneAndDelete(missing)],
  ['a strict read', (on) => on.findOne({ customerId }, strict)],
  ['a strict read that finds nothing', (on) => on.findOne(missing, strict)],
];

/** How a client asks the catalog for a route, each time. */
function readsOf(on: DroverClient): (string | undefined)[] {
  const { partitions } = (on as unknown as { catalog: Catalog }).catalog;
  const reads: (string | undefined)[] = [];
  const [get, list] = [partitions.get.bind(partitions), partitions.list.bind(partitions)];
  partitions.get = (keyspace, name, level) => {
    reads.push(level);
    return get(keyspace, name, level);
  };
  partitions.list = (keyspace) => {
    reads.push('all');
    return list(keyspace);
  };
  return reads;
}

const cutOff = (on: DroverClient) => {
  const { partitions, routers } = (on as unknown as { catalog: Catalog }).catalog;
  const away = () => Promise.reject(new Error('the catalog is away'));
  Object.assign(partitions, { get: away, list: away, listAndWatch: away });
  Object.assign(routers, { renew: away, register: away, acknowledge: away });
};

/** Routes that change don't come by themselves any more. */
const deafen = async (on: DroverClient) => {
  const { partitions } = (on as unknown as { catalog: Catalog }).catalog;
  partitions.listAndWatch = () => Promise.reject(new Error('no stream'));
  await (cluster.feed(on) as unknown as { stream: { close(): Promise<void> } }).stream.close();
};

const expire = async (on: DroverClient) => {
  Object.assign(cluster.feed(on), { leasedUntil: -Infinity });
  await Promise.resolve();
};

describe('the lease of a router', () => {
  it('is renewed for as long as the catalog answers', async () => {
    const feed = cluster.feed(client);
    const until = performance.now() + LEASE_MS + 500;
    while (performance.now() < until) {
      expect(feed.leaseValid()).toBe(true);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  });

  it('counts from before its renewal was sent', async () => {
    const slow = await cluster.connect();
    const { routers } = (slow as unknown as { catalog: Catalog }).catalog;
    const renew = routers.renew.bind(routers);
    let sentAt = 0;
    routers.renew = async (id) => {
      sentAt = performance.now();
      const renewed = await renew(id);
      await new Promise((resolve) => setTimeout(resolve, 300));
      return renewed;
    };
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    routers.renew = () => new Promise(() => undefined);
    const last = sentAt;
    await until('the lease to end', () => Promise.resolve(!cluster.feed(slow).leaseValid()));
    expect(performance.now() - last).toBeLessThan(LEASE_MS + 50);
  });

  it('ends without the catalog, and counts again only when all routes have been read', async () => {
    const other = await cluster.connect();
    const feed = cluster.feed(other) as unknown as {
      leaseValid: () => boolean;
      id: string;
      stream: { close(): Promise<void> };
    };
    const { partitions } = (other as unknown as { catalog: Catalog }).catalog;
    await cluster.orders(other).findOne({ customerId });
    await feed.stream.close();
    const list = partitions.list.bind(partitions);
    let begun = false;
    Object.assign(partitions, {
      listAndWatch: () => Promise.reject(new Error('no stream')),
      list: async () => {
        begun = true;
        await new Promise((resolve) => setTimeout(resolve, LEASE_MS));
        return list();
      },
    });
    await cluster.announce();
    expect(feed.leaseValid()).toBe(true);
    await cluster.catalog.routers.leave(feed.id);
    await until('the router to register again', () => Promise.resolve(begun));
    const noRoutesUntil = performance.now() + LEASE_MS - 100;
    while (performance.now() < noRoutesUntil) {
      expect(feed.leaseValid()).toBe(false);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    Object.assign(partitions, { list });
    await until('the lease to hold', () => Promise.resolve(feed.leaseValid()));
    await cluster.acknowledged();
  });
});

describe('a result that no fence has seen', () => {
  it.each(resting)('costs no look at the catalog while the lease holds: %s', async (_, request) => {
    const reads = readsOf(client);
    await request(orders);
    expect(reads).toEqual([]);
  });

  it.each(resting)('is confirmed by the catalog when the lease has run out: %s', async (_, request) => {
    const other = await cluster.connect();
    await cluster.orders(other).findOne({ customerId });
    const reads = readsOf(other);
    await expire(other);
    await request(cluster.orders(other));
    expect(reads.some((level) => level === 'linearizable' || level === 'all')).toBe(true);
  });

  it('shares the look at the catalog with others, but not one that began before it', async () => {
    const other = await cluster.connect();
    await cluster.orders(other).findOne({ customerId });
    const reads = readsOf(other);
    await expire(other);
    await Promise.all(Array.from({ length: 40 }, () => cluster.orders(other).deleteOne(missing)));
    expect(reads.length).toBeGreaterThan(0);
    expect(reads.length).toBeLessThan(20);
  });

  it.each(resting)('is refused when nothing can tell whether the data has moved: %s', async (_, request) => {
    const other = await cluster.connect();
    await cluster.orders(other).findOne({ customerId });
    cutOff(other);
    await expire(other);
    await expect(request(cluster.orders(other))).rejects.toMatchObject({ code: 'Unavailable' });
    await expect(cluster.orders(other).updateOne({ customerId }, { $inc: { n: 1 } })).resolves.toMatchObject({
      modifiedCount: 1,
    });
    await expect(cluster.orders(other).findOne({ customerId })).resolves.toMatchObject({ n: 1 });
  });

  it.each(resting)('is given as it is when the application wants that: %s', async (_, request) => {
    const other = await cluster.connect({ onLeaseExpired: 'serve' });
    await cluster.orders(other).findOne({ customerId });
    cutOff(other);
    await expire(other);
    await request(cluster.orders(other));
  });

  it.each(resting)('comes from the new owner when the router has missed a hand-over: %s', async (_, request) => {
    await cluster.announce();
    const other = await cluster.connect();
    await cluster.orders(other).findOne({ customerId });
    await deafen(other);
    await cluster.handOver();
    await cluster.stored('b').insertOne({ ...missing, n: 7 }, { bypassDocumentValidation: true });
    await cluster.stored('b').updateOne({ _id: 1 as never }, { $set: { n: 5 } });
    await expire(other);
    const result = (await request(cluster.orders(other))) as Record<string, unknown>;
    // Whatever it was: this time something was there.
    const { modifiedCount, deletedCount, n } = result;
    expect(modifiedCount ?? deletedCount ?? n).toBeGreaterThan(0);
  });
});

/** Of the document that a hand-over has taken along. */
const reads: readonly (readonly [string, (on: DroverCollection) => Promise<unknown>, unknown])[] = [
  ['findOne', async (on) => (await on.findOne({ customerId }))?.['n'] as unknown, 0],
  ['findOne without a key', async (on) => (await on.findOne({ n: 0 }))?.['n'] as unknown, 0],
  ['a cursor', async (on) => (await on.find({ customerId }).toArray()).length, 1],
  ['a cursor over several nodes', async (on) => (await on.find({}).sort({ n: 1 }).toArray()).length, 1],
  ['aggregate', async (on) => (await on.aggregate([{ $count: 'n' }]).toArray()).map(({ n }) => n as unknown), [1]],
  ['countDocuments', (on) => on.countDocuments({ customerId }), 1],
  ['estimatedDocumentCount', (on) => on.estimatedDocumentCount(), 1],
  ['distinct', (on) => on.distinct('customerId'), [customerId]],
];

const few = reads.filter(([name]) => ['findOne', 'a cursor over several nodes', 'countDocuments'].includes(name));

describe('a plain read', () => {
  const retired = async () => {
    const now = await cluster.handOver();
    await cluster.catalog.partitions.advance(now, { kind: 'retire', at: 1 });
    await cluster.stored('a').deleteMany({});
  };
  /** Everything is handed over, and the old copy gone, while a router hears of nothing. */
  const leftBehind = async (options: Partial<DroverClientOptions> = {}) => {
    await cluster.announce();
    const other = await cluster.connect(options);
    await deafen(other);
    await retired();
    return other;
  };

  it.each(reads)('goes where the data is by now when its lease has run out: %s', async (_, read, expected) => {
    const other = await leftBehind();
    await expire(other);
    expect(await read(cluster.orders(other))).toEqual(expected);
  });

  it.each(reads)('costs no look at the catalog while the lease holds: %s', async (_, read, expected) => {
    const other = await cluster.connect();
    await cluster.orders(other).findOne({});
    const asked = readsOf(other);
    expect(await read(cluster.orders(other))).toEqual(expected);
    expect(asked).toEqual([]);
  });

  it('goes where the data is by now when the computer has slept, and its monotonic clock with it', async () => {
    const other = await leftBehind();
    const now = Date.now.bind(Date);
    const clock = vi.spyOn(Date, 'now').mockImplementation(() => now() + LEASE_MS);
    try {
      expect(await cluster.orders(other).findOne({ customerId })).toMatchObject({ n: 0 });
    } finally {
      clock.mockRestore();
    }
  });

  it('goes on through a cursor only where documents can still be', async () => {
    await orders.insertMany([2, 3, 4].map((n) => ({ _id: n as never, customerId, n })));
    await cluster.announce();
    const other = await cluster.connect();
    const cursor = cluster.orders(other).find({ customerId }, { batchSize: 2 });
    await cursor.next();
    await cursor.next();
    await deafen(other);
    await retired();
    await expire(other);
    await expect(cursor.next()).rejects.toMatchObject({ code: 43 });
  });

  it.each(reads)('without the catalog finds nothing where the node says that it owns it: %s', async (_, read) => {
    await orders.deleteMany({});
    const other = await cluster.connect();
    cutOff(other);
    await expire(other);
    expect([undefined, 0, [], [0]]).toContainEqual(await read(cluster.orders(other)));
  });

  it.each(few)('without the catalog is refused where the data has moved: %s', async (_, read) => {
    const other = await leftBehind();
    cutOff(other);
    await expire(other);
    await expect(read(cluster.orders(other))).rejects.toMatchObject({ code: 'Unavailable' });
  });

  it.each(few)('without the catalog is given as it is when the application wants that: %s', async (_, read) => {
    const other = await leftBehind({ onLeaseExpired: 'serve' });
    cutOff(other);
    await expire(other);
    expect([undefined, 0, [], [0]]).toContainEqual(await read(cluster.orders(other)));
  });
});

describe('a strict read', () => {
  it('waits while its key changes hands, and is answered by the new owner', async () => {
    await cluster.announce();
    await cluster.acknowledged();
    await cluster.advance({ kind: 'begin', boundary: 0n });
    await cluster.acknowledged();
    let answered = false;
    const read = orders.findOne({ customerId }, strict).finally(() => (answered = true));
    await expect(orders.findOne({ customerId })).resolves.toMatchObject({ n: 0 });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(answered).toBe(false);
    await cluster.stored('b').insertOne({ _id: 1, customerId, n: 8 } as never, { bypassDocumentValidation: true });
    await cluster.advance({ kind: 'own', since: 1n }, { kind: 'settle' });
    expect(await read).toMatchObject({ n: 8 });
  });

  it('is not offered by a cursor', () => {
    expect(() => orders.find({ customerId }, strict)).toThrow(
      /is there for findOne with one value of the partition key/,
    );
  });
});

describe('a route that no longer names a node', () => {
  /** Everything is at `b`, and `a` is left. */
  const retire = async () => {
    await cluster.handOver();
    const now = await cluster.partition();
    return cluster.catalog.partitions.advance(now, { kind: 'retire', at: 1 });
  };
  const isAcknowledged = async ({ id, epoch }: { id: string; epoch: number }) =>
    (await cluster.catalog.routers.missing(id, epoch)).length === 0;

  beforeEach(async () => {
    await orders.insertMany(Array.from({ length: 9 }, (_, i) => ({ _id: (i + 2) as never, customerId })));
    await cluster.announce();
    await cluster.acknowledged();
  });

  it('is acknowledged when the last cursor there has been read to its end', async () => {
    const [open, another, later] = [0, 1, 2].map(() => orders.find({ customerId }, { batchSize: 2 }));
    await open!.next();
    await another!.next();
    const retired = await retire();
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(await isAcknowledged(retired)).toBe(false);
    expect(await open!.toArray()).toHaveLength(9);
    await another!.close();
    await until('the acknowledgement', () => isAcknowledged(retired), 1_000);
    // Who begins to read goes by the route of that moment.
    expect(await later!.toArray()).toHaveLength(10);
  });

  it('is acknowledged again when the catalog has lost that', async () => {
    const retired = await retire();
    await until('the acknowledgement', () => isAcknowledged(retired), 1_000);
    await cluster.plainClient().db('drover').collection('acknowledgements').deleteMany({});
    expect(await isAcknowledged(retired)).toBe(false);
    await until('the acknowledgement', () => isAcknowledged(retired), 5_000);
  });

  it('is acknowledged at once when nobody reads there', async () => {
    const cursor = orders.find({ customerId });
    await cursor.toArray();
    const retired = await retire();
    await until('the acknowledgement', () => isAcknowledged(retired), 1_000);
  });
});
