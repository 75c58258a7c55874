import { MockActivityEnvironment } from '@temporalio/testing';
import type { Collection, Document } from 'mongodb';
import { MongoBulkWriteError, MongoInvalidArgumentError } from 'mongodb';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Dependencies } from '../../activities/index.js';
import { createLifecycleActivities } from '../../activities/lifecycle.js';
import { TOKEN_MIN } from '../../domain/token.js';
import type { Entrance } from '../../router/entrance.js';
import type { DroverClient, DroverCollection } from '../../router/index.js';
import type { LeaseCheck } from '../../router/lease-check.js';
import type { Catalog } from '../../store/catalog/catalog.js';
import { NodePool } from '../../store/node-pool.js';
import { setAccepted } from '../store/fences.js';
import { tokenOfKey } from '../../store/key-token.js';
import { until } from '../store/servers.js';
import { keys, lower, upper, useCluster } from './cluster.js';

const cluster = useCluster();

let client: DroverClient;
let orders: DroverCollection<Document>;
/** What the same calls do with the driver alone. */
let plain: Collection<Document>;

beforeAll(async () => {
  client = await cluster.connect();
});
beforeEach(() => {
  orders = cluster.orders(client);
  plain = cluster.plain();
});

const stored = async () => {
  const rows = await Promise.all(
    (['a', 'b'] as const).flatMap((node) => ['p0', 'p1'].map((part) => cluster.stored(node, part).find().toArray())),
  );
  return rows.flat();
};
const byId = (documents: readonly Document[]) =>
  [...documents].sort((x, y) => (String(x['_id']) < String(y['_id']) ? -1 : 1));

describe('a partitioned collection', () => {
  it('keeps every document on the node that owns its key', async () => {
    await orders.insertMany(keys.map((customerId, i) => ({ _id: i as never, customerId })));
    expect(await cluster.stored('a').countDocuments()).toBe(lower.length);
    expect(await cluster.stored('b', 'p1').countDocuments()).toBe(upper.length);
    expect((await stored()).length).toBe(keys.length);
  });

  it('answers each request as the driver does', async () => {
    const requests: readonly ((on: DroverCollection<Document>) => Promise<unknown>)[] = [
      (on) => on.insertOne({ _id: 1 as never, customerId: lower[0], n: 1 }),
      (on) => on.insertOne({ _id: 2 as never, customerId: upper[0], n: 1 }),
      (on) => on.findOne({ customerId: lower[0] }),
      (on) => on.findOne({ customerId: 'nobody' }),
      (on) => on.findOne({ customerId: upper[0] }, { projection: { n: 1 } }),
      (on) => on.find({ customerId: upper[0] }).toArray(),
      (on) => on.updateOne({ customerId: lower[0] }, { $inc: { n: 1 } }),
      (on) => on.updateOne({ customerId: lower[0] }, [{ $set: { n: { $add: ['$n', 1] } } }]),
      (on) => on.updateOne({ customerId: 'nobody' }, { $inc: { n: 1 } }),
      (on) => on.updateOne({ customerId: lower[1], _id: 3 as never }, { $set: { n: 1 } }, { upsert: true }),
      (on) => on.updateOne({ customerId: { $eq: upper[1] }, _id: 4 as never }, { $set: { n: 1 } }, { upsert: true }),
      (on) => on.replaceOne({ customerId: lower[0] }, { customerId: lower[0], n: 9 }),
      (on) => on.deleteOne({ customerId: upper[0] }),
      (on) => on.deleteOne({ customerId: upper[0] }),
      (on) => on.insertOne({ _id: 1 as never, customerId: lower[0] }),
    ];
    for (const request of requests) {
      const [routed, direct] = await Promise.allSettled([request(orders), request(plain as never)]);
      expect(outcome(routed)).toEqual(outcome(direct));
    }
    expect(byId(await stored())).toEqual(byId(await plain.find().toArray()));
  });

  it('gives documents their _id as the driver does', async () => {
    const [one, many] = [{ customerId: lower[0] } as Document, [{ customerId: upper[0] }] as Document[]];
    const { insertedId } = await orders.insertOne(one);
    const { insertedIds } = await orders.insertMany(many);
    expect(one['_id']).toEqual(insertedId);
    expect(many[0]!['_id']).toEqual(insertedIds[0]);
  });

  it('refuses what it can’t route before it touches a node', async () => {
    await expect(orders.insertOne({ total: 1 })).rejects.toThrow(MongoInvalidArgumentError);
    await expect(orders.insertMany([{ customerId: 'a' }, { total: 1 }])).rejects.toThrow(MongoInvalidArgumentError);
    await expect(orders.updateOne({ customerId: 'a' }, { $set: { customerId: 'b' } })).rejects.toThrow(
      /can't be changed/,
    );
    await expect(orders.replaceOne({ customerId: 'a' }, { customerId: 'b' })).rejects.toThrow(/can't change/);
    await expect(orders.insertOne({ customerId: { a: 1 } })).rejects.toMatchObject({ code: 'InvalidRequest' });
    expect(await stored()).toEqual([]);
  });

  it('does not wait for a hand-over when an upsert would store a document without its key', async () => {
    const startedAt = performance.now();
    const upsert = (on: DroverCollection<Document>) =>
      on.updateOne({ _id: 1 as never, customerId: { $in: [lower[0]] } }, { $set: { n: 1 } }, { upsert: true });
    await upsert(orders).catch((error: unknown) => error);
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  });
});

/** What a caller can see of a result, but for the names of collections. */
function outcome(settled: PromiseSettledResult<unknown>): unknown {
  if (settled.status === 'fulfilled') return settled.value;
  const error = settled.reason as MongoBulkWriteError;
  const plainText = (text: string) => text.replace(/(shop|plain)\.orders\d+(\.p\d)?/g, 'COLLECTION');
  return {
    type: error.constructor.name,
    code: error.code,
    message: plainText(error.message),
    ...(error instanceof MongoBulkWriteError
      ? {
          insertedCount: error.insertedCount,
          insertedIds: error.insertedIds,
          writeErrors: [error.writeErrors]
            .flat()
            .map(({ index, code, errmsg }) => [index, code, plainText(errmsg ?? '')]),
          ofResult: error.result.getWriteErrors().map(({ index }) => index),
          ok: error.result.ok,
        }
      : {}),
  };
}

describe('insertMany over several partitions', () => {
  const present = [100, 101];
  /** `_id`s as the caller lists them; those present already, and repetitions, are errors. */
  const lists: readonly (readonly number[])[] = [
    [1, 2, 3, 4, 5, 6],
    [1, 2, 100, 3, 4],
    [100, 1, 2],
    [1, 2, 3, 101],
    [1, 100, 2, 101, 3, 100],
    [1, 2, 3, 1, 4, 2],
    [100],
  ];
  const cases = lists.flatMap((ids) => [true, false].map((ordered) => [ids, ordered] as const));
  /** Neighbours in the list go to different partitions, but one `_id` always has one key. */
  const document = (_id: number) => ({
    _id: _id as never,
    customerId: _id % 2 === 0 ? lower[_id % 10] : upper[_id % 10],
  });

  it.each(cases)('of %j, ordered: %s, does what the driver does', async (ids, ordered) => {
    for (const on of [orders, plain] as DroverCollection<Document>[]) await on.insertMany(present.map(document));
    const [routed, direct] = await Promise.allSettled([
      orders.insertMany(ids.map(document), { ordered }),
      plain.insertMany(ids.map(document), { ordered }),
    ]);
    expect(outcome(routed)).toEqual(outcome(direct));
    expect(byId(await stored())).toEqual(byId(await plain.find().toArray()));
  });

  it('of nothing fails as the driver fails', async () => {
    const [routed, direct] = await Promise.allSettled([orders.insertMany([]), plain.insertMany([])]);
    expect(outcome(routed)).toEqual(outcome(direct));
  });
});

describe('while a partition changes hands', () => {
  const middle = TOKEN_MIN / 2n;
  const [gone, staying] = [
    lower.filter((key) => tokenOfKey(key) < middle),
    lower.filter((key) => tokenOfKey(key) >= middle),
  ];

  beforeEach(async () => {
    await orders.findOne({ customerId: lower[0] });
    await cluster.announce();
  });

  it('a write of a fenced token waits for the end of the step, any other one does not', async () => {
    await cluster.advance({ kind: 'begin', boundary: middle });
    await cluster.acknowledged();
    let written = false;
    const held = orders.insertOne({ _id: 1 as never, customerId: gone[0] }).then(() => (written = true));
    await orders.insertOne({ _id: 2 as never, customerId: staying[0] });
    await orders.insertOne({ _id: 3 as never, customerId: upper[0] });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(written).toBe(false);
    await cluster.advance({ kind: 'own', since: 1n });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(written).toBe(false);
    await cluster.advance({ kind: 'settle' });
    await held;
    expect(await cluster.stored('b').find().toArray()).toEqual([{ _id: 1, customerId: gone[0] }]);
  });

  it('a held write goes back to the source when the step is undone', async () => {
    await cluster.advance({ kind: 'begin', boundary: middle });
    const held = orders.insertOne({ _id: 1 as never, customerId: gone[0] });
    await cluster.advance({ kind: 'undo' });
    await cluster.advance({ kind: 'settle' });
    await held;
    expect(await cluster.stored('a').countDocuments()).toBe(1);
  });

  it('a write that waits longer than the application allows fails, and was not written', async () => {
    await cluster.advance({ kind: 'begin', boundary: middle });
    await cluster.acknowledged();
    await expect(orders.insertOne({ customerId: gone[0] })).rejects.toMatchObject({ code: 'TimedOut' });
    expect(await stored()).toEqual([]);
  });

  it('a write that the fence refuses, because the route was old, goes to the new owner', async () => {
    await setAccepted(cluster.db('a'), `${cluster.name}.p0`, 'customerId', [{ low: middle, high: 0n }]);
    const refused = orders.insertOne({ _id: 1 as never, customerId: gone[0] });
    await new Promise((resolve) => setTimeout(resolve, 20));
    await cluster.advance({ kind: 'begin', boundary: middle }, { kind: 'own', since: 1n }, { kind: 'settle' });
    expect((await refused).acknowledged).toBe(true);
    expect(await cluster.stored('b').countDocuments()).toBe(1);
  });

  it('a write that waits for its turn keeps no step from beginning, and goes where its token is by then', async () => {
    const few = await cluster.connect({ driver: { maxPoolSize: 1 } });
    const { entrance } = (few as unknown as { router: { entrance: Entrance } }).router;
    const { leave } = await entrance.comeIn('a', performance.now() + 10_000);
    const waiting = cluster.orders(few).insertOne({ _id: 1 as never, customerId: gone[1] });
    await cluster.advance({ kind: 'begin', boundary: middle });
    await cluster.acknowledged();
    await cluster.advance({ kind: 'own', since: 1n }, { kind: 'settle' });
    await until('the new route', async () => (await few.ownerOf(`shop.${cluster.name}`, gone[1])) === 'b');
    leave();
    await waiting;
    expect(await cluster.stored('b').find().toArray()).toEqual([{ _id: 1, customerId: gone[1] }]);
  });

  it('a result that waits for the catalog keeps no other request from the node', async () => {
    const few = await cluster.connect({ driver: { maxPoolSize: 1 } });
    const { lease } = (few as unknown as { router: { lease: LeaseCheck } }).router;
    let confirmed!: (isSure: boolean) => void;
    lease.isSure = () => false;
    lease.confirm = () => new Promise((resolve) => (confirmed = resolve));
    const nothing = cluster.orders(few).updateOne({ customerId: staying[0], none: 1 }, { $set: { some: 1 } });
    await until('the result to be waiting', () => Promise.resolve(confirmed !== undefined));
    await cluster.orders(few).insertOne({ _id: 1 as never, customerId: staying[0] });
    confirmed(true);
    expect((await nothing).matchedCount).toBe(0);
  });

  it('a step that is announced waits for what is under way, and for a turn at the node', async () => {
    const few = await cluster.connect({ driver: { maxPoolSize: 1 } });
    await cluster.orders(few).insertOne({ customerId: gone[0] });
    let answered = false;
    const query = { customerId: gone[0], $where: 'sleep(300) || true' };
    const update = { $set: { slow: true } };
    const slow = cluster.orders(few).updateOne(query, update).then(() => (answered = true)); // prettier-ignore
    await cluster.advance({ kind: 'announce' });
    await cluster.acknowledged();
    expect(answered).toBe(true);
    await slow;
  });

  describe('and both nodes own a part of it', () => {
    const mixed = () => lower.map((customerId, i) => ({ _id: i as never, customerId }));

    beforeEach(async () => {
      await cluster.advance({ kind: 'begin', boundary: middle }, { kind: 'own', since: 1n }, { kind: 'settle' });
      await cluster.acknowledged();
    });

    it.each([true, false])('insertMany (ordered: %s) stores every document where it belongs, once', async (ordered) => {
      const { insertedCount } = await orders.insertMany(mixed(), { ordered });
      expect(insertedCount).toBe(lower.length);
      expect(await cluster.stored('a').countDocuments()).toBe(staying.length);
      expect(await cluster.stored('b').countDocuments()).toBe(gone.length);
    });

    it.each([true, false])('insertMany (ordered: %s) tells of errors as the driver does', async (ordered) => {
      const documents = [...mixed().slice(0, 6), mixed()[2]!, ...mixed().slice(6, 9), mixed()[1]!];
      const copies = () => documents.map((document) => ({ ...document }));
      const [routed, direct] = await Promise.allSettled([
        orders.insertMany(copies(), { ordered }),
        plain.insertMany(copies(), { ordered }),
      ]);
      expect(outcome(routed)).toEqual(outcome(direct));
    });

    it('insertMany goes on while the catalog is away', async () => {
      const inside = (client as unknown as { catalog: Catalog }).catalog.partitions;
      const list = inside.list.bind(inside);
      inside.list = () => Promise.reject(new Error('the catalog is away'));
      try {
        expect((await orders.insertMany(mixed(), { ordered: false })).insertedCount).toBe(lower.length);
      } finally {
        inside.list = list;
      }
    });
  });
});

describe('a router that was there before a migration', () => {
  const activities = () => {
    const [a, b] = cluster.uris as [string, string];
    const dependencies = { catalog: cluster.catalog, nodes: new NodePool(new Map(Object.entries({ a, b }))) };
    return { ...dependencies, ...createLifecycleActivities(dependencies as Dependencies) };
  };

  it('does not keep it from being given up before its target was published', async () => {
    await orders.insertOne({ customerId: lower[0] });
    const { keyspace, name: partition } = await cluster.advance({ kind: 'claim', migration: 'm', target: 'b' });
    const { nodes, withdrawTarget } = activities();
    const move = { migration: 'm', keyspace, partition, source: 'a', target: 'b' };
    try {
      await expect(new MockActivityEnvironment().run(withdrawTarget, move)).resolves.toBeUndefined();
    } finally {
      await nodes.close();
    }
  });
});
