import fc from 'fast-check';
import type { Document, Filter, FindOptions, WithId } from 'mongodb';
import { Decimal128, Double, Int32, Long, MongoError, MongoTransactionError } from 'mongodb';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Partition } from '../../domain/partition.js';
import { acceptedBy } from '../../domain/partition.js';
import { TOKEN_END, TOKEN_MIN } from '../../domain/token.js';
import type { DroverClient, DroverCollection } from '../../router/index.js';
import { tokenOfKey } from '../../store/key-token.js';
import { createFenced } from '../store/fences.js';
import type { RouteTable } from '../../router/route-table.js';
import { until } from '../store/servers.js';
import { keys, lower, upper, useCluster } from './cluster.js';

const cluster = useCluster();
let client: DroverClient;
let orders: DroverCollection;

beforeAll(async () => {
  client = await cluster.connect();
});
beforeEach(() => {
  orders = cluster.orders(client);
});

const tableOf = (of: DroverClient): RouteTable => (cluster.feed(of) as unknown as { table: RouteTable }).table;

/** In the middle of the partition that moves. */
const BOUNDARY = -(2n ** 62n);
const TYPES = [
  1,
  new Int32(2),
  new Double(1.5),
  Long.fromString('9007199254740993'),
  Decimal128.fromString('1.1'),
  'a',
  'B',
  null,
];

const stored = (n = 90): WithId<Document>[] =>
  Array.from({ length: n }, (_, i) => ({
    _id: i as never,
    customerId: keys[i % keys.length],
    n: (i * 7) % 31,
    kind: TYPES[i % TYPES.length],
    tags: [i % 3, i % 5],
    at: [(i * 13) % 90, (i * 29) % 45],
    text: i % 4 === 0 ? 'red fox' : 'blue fox fox',
  }));

/** The same documents here and at one node, with half of the lower partition handed over: its documents are on both nodes. */
async function halfMoved(): Promise<void> {
  await orders.insertMany(stored());
  await cluster.plain().insertMany(stored());
  await cluster.announce();
  await cluster.handOver(BOUNDARY);
  await cluster.acknowledged();
}

const outcome = async (request: () => Promise<unknown>): Promise<unknown> => {
  try {
    return await request();
  } catch (error) {
    return error instanceof MongoError ? { class: error.constructor.name, code: error.code } : error;
  }
};

describe('a find without the key, while documents are on two nodes', () => {
  const ordered: readonly (readonly [string, Filter<Document>, FindOptions])[] = [
    ['by _id', {}, { sort: { _id: 1 } }],
    ['by several fields in turn', {}, { sort: { n: -1, _id: 1 } }],
    ['by values of many types', {}, { sort: { kind: 1, _id: -1 } }],
    ['by arrays', {}, { sort: { tags: -1, _id: 1 } }],
    ['by a field that is not there', {}, { sort: { missing: 1, _id: 1 } }],
    ['with a limit', {}, { sort: { _id: 1 }, limit: 7 }],
    ['with a skip', {}, { sort: { _id: 1 }, skip: 80 }],
    ['with both', {}, { sort: { _id: -1 }, skip: 5, limit: 11 }],
    ['in one batch', {}, { sort: { _id: 1 }, limit: -4 }],
    ['in small batches', {}, { sort: { _id: 1 }, batchSize: 3 }],
    ['with fields chosen', {}, { sort: { _id: 1 }, projection: { n: 1 } }],
    ['with fields left out', {}, { sort: { n: 1, _id: 1 }, projection: { customerId: 0, tags: 0 } }],
    ['with fields computed', {}, { sort: { _id: 1 }, projection: { twice: { $add: ['$n', '$n'] } } }],
    ['as bytes', {}, { sort: { _id: 1 }, raw: true }],
    ['with types kept', {}, { sort: { _id: 1 }, promoteValues: false }],
    ['by a collation', { kind: { $in: ['A', 'b'] } }, { sort: { kind: 1, _id: 1 }, collation: { locale: 'en', strength: 2 } }],
    ['of some keys', { customerId: { $in: keys.slice(0, 30) } }, { sort: { _id: 1 } }],
    ['of keys in branches', { $or: [{ customerId: lower[0] }, { customerId: upper[0] }, { customerId: lower[1], n: 3 }] }, { sort: { _id: 1 } }],
    ['near a place', { at: { $near: [40.31, 20.17] } }, {}],
    ['near a place, some of them', { at: { $near: [10.31, 20.17] } }, { limit: 9, skip: 2 }],
    ['by a score', { $text: { $search: 'red fox' } }, { sort: { score: { $meta: 'textScore' }, _id: 1 }, projection: { score: { $meta: 'textScore' } } }],
    ['of nothing', { n: 99 }, { sort: { _id: 1 } }],
    ['that makes no sense', { $wrong: 1 }, {}],
    ['by a sort that makes no sense', {}, { sort: { $wrong: 1 } }],
  ]; // prettier-ignore

  it('answers as one node does', async () => {
    await halfMoved();
    const all = [cluster.stored('a'), cluster.stored('b'), cluster.stored('b', 'p1'), cluster.plain()];
    for (const each of all) await each.createIndexes([{ key: { at: '2d' } }, { key: { text: 'text' } }]);
    for (const [what, filter, options] of ordered) {
      const [found, wanted] = await Promise.all([
        outcome(() => orders.find(filter, options as never).toArray()),
        outcome(() => cluster.plain().find(filter, options).toArray()),
      ]);
      expect(found, what).toEqual(wanted);
    }
  });

  it('gives every document once when no order is asked for, and as many as wanted', async () => {
    await halfMoved();
    const ids = async (options: FindOptions) =>
      (await orders.find({}, options as never).toArray()).map(({ _id }) => Number(_id));
    expect((await ids({})).sort((a, b) => a - b)).toEqual(stored().map(({ _id }) => Number(_id)));
    expect(new Set(await ids({ limit: 40 })).size).toBe(40);
    expect(new Set(await ids({ skip: 60 })).size).toBe(30);
    expect(new Set(await ids({ skip: 85, limit: 40 })).size).toBe(5);
  });

  it('is the driver’s cursor', async () => {
    await halfMoved();
    const wanted = (await cluster.plain().find({}).sort({ _id: 1 }).toArray()).map(({ _id }) => _id);
    const cursor = orders.find().sort({ _id: 1 }).project({ n: 1 }).batchSize(10).limit(50).skip(3);
    expect(await cursor.hasNext()).toBe(true);
    expect((await cursor.next())?._id).toBe(wanted[3]);
    cursor.rewind();
    const streamed: unknown[] = [];
    for await (const document of cursor.stream()) streamed.push(document['_id']);
    expect(streamed).toEqual(wanted.slice(3, 53));
    expect(
      await cursor
        .clone()
        .map(({ _id }) => _id)
        .toArray(),
    ).toEqual(streamed);
    expect(await orders.find({ n: { $lt: 5 } }).count()).toBe(
      await cluster
        .plain()
        .find({ n: { $lt: 5 } })
        .count(),
    );
    const read: unknown[] = [];
    for await (const { _id } of orders.find().sort({ _id: 1 })) {
      read.push(_id);
      if (read.length === 4) break;
    }
    expect(read).toEqual(wanted.slice(0, 4));
    expect(await orders.findOne({ n: 12 }, { sort: { _id: -1 } })).toEqual(
      await cluster.plain().findOne({ n: 12 }, { sort: { _id: -1 } }),
    );
    const plan = await orders.find({ n: 3 }).sort({ n: 1 }).explain();
    expect(plan).toMatchObject({ queryPlanner: { winningPlan: { stage: 'SHARD_MERGE_SORT' } } });
    expect((plan['queryPlanner'] as Document)['winningPlan'].shards).toHaveLength(3);
    // Of what is left out no node knows which it is.
    const window = await orders.find({}).skip(5).limit(3).explain();
    for (const { winningPlan } of (window['queryPlanner'] as Document)['winningPlan'].shards as Document[]) {
      expect(winningPlan).toMatchObject({ stage: 'LIMIT', limitAmount: 8 });
      expect(JSON.stringify(winningPlan)).not.toContain('SKIP');
    }
  });

  it('ends what it has begun at the nodes when it is closed, so that nothing waits for it', async () => {
    await halfMoved();
    const cursor = orders.find({}, { batchSize: 2 });
    await cursor.next();
    await cursor.close();
    const routes = cluster.feed(client) as unknown as {
      table: { all(name: string): { reads: { reads: Set<unknown> } }[] };
    };
    const open = () => routes.table.all(`shop.${cluster.name}`).reduce((sum, { reads }) => sum + reads.reads.size, 0);
    await until('the end of all reads', () => Promise.resolve(open() === 0), 5_000);
    // Also one that could not be opened everywhere.
    const session = client.startSession();
    session.startTransaction();
    await expect(orders.find({}, { session, sort: { n: 1 } }).toArray()).rejects.toThrow(MongoTransactionError);
    await session.endSession();
    expect(open()).toBe(0);
  });

  it('is not read on when what it reads from may be gone', async () => {
    await halfMoved();
    const cursor = orders.find({}, { batchSize: 2 });
    await cursor.next();
    for (const route of ['p0', 'p1'].map((name) => tableOf(client).route(`shop.${cluster.name}/${name}`)!)) {
      route.reads.giveUpElsewhere([]);
    }
    await expect(cursor.toArray()).rejects.toMatchObject({ code: 43, codeName: 'CursorNotFound' });
  });

  it('sorts as one node does, whatever is asked for', async () => {
    await halfMoved();
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          field: fc.constantFrom('n', 'kind', 'tags', 'at', 'text'),
          direction: fc.constantFrom(1, -1),
          least: fc.integer({ min: 0, max: 30 }),
          skip: fc.integer({ min: 0, max: 20 }),
          limit: fc.integer({ min: 0, max: 40 }),
          batchSize: fc.integer({ min: 1, max: 20 }),
        }),
        async ({ field, direction, least, skip, limit, batchSize }) => {
          const options = { sort: { [field]: direction, _id: 1 }, skip, limit, batchSize } as FindOptions;
          const filter = { n: { $gte: least } };
          const found = await orders.find(filter, options as never).toArray();
          expect(found).toEqual(await cluster.plain().find(filter, options).toArray());
        },
      ),
      { numRuns: 40 },
    );
  });
});

type Request = (on: DroverCollection<Document>) => Promise<unknown>;
const by = (n: number) => ({ n: { $gte: n } });
const last = { sort: { _id: -1 } } as const;

describe('a write without the key, while documents are on two nodes', () => {
  const requests: readonly (readonly [string, Request])[] = [
    ['updateOne', (on) => on.updateOne({ _id: 7 as never }, { $inc: { n: 100 } })],
    ['updateOne of nothing', (on) => on.updateOne({ n: 99 }, { $inc: { n: 1 } })],
    ['updateOne in arrays', (on) => on.updateOne({ _id: 8 as never, tags: 2 }, { $set: { 'tags.$': 9 } })],
    ['updateOne with a wrong operator', (on) => on.updateOne({ _id: 7 as never }, { $wrong: { n: 1 } })],
    ['updateOne of nothing with a wrong operator', (on) => on.updateOne({ n: 99 }, { $wrong: { n: 1 } })],
    ['replaceOne of nothing', (on) => on.replaceOne({ n: 99 }, { customerId: 'x' })],
    ['findOneAndUpdate', (on) => on.findOneAndUpdate(by(20), { $inc: { n: 100 } }, { ...last, returnDocument: 'after' })],
    ['findOneAndUpdate of nothing', (on) => on.findOneAndUpdate({ n: 99 }, { $inc: { n: 100 } })],
    ['findOneAndDelete', (on) => on.findOneAndDelete(by(20), last)],
    ['findOneAndDelete of nothing', (on) => on.findOneAndDelete({ n: 99 })],
    ['deleteOne', (on) => on.deleteOne({ _id: 9 as never })],
    ['deleteOne of nothing', (on) => on.deleteOne({ n: 99 })],
    ['updateMany', (on) => on.updateMany(by(10), { $inc: { n: 100 } })],
    ['updateMany of all', (on) => on.updateMany({}, { $set: { seen: true } })],
    ['updateMany of some keys', (on) => on.updateMany({ customerId: { $in: keys.slice(0, 20) } }, { $inc: { n: 100 } })],
    ['updateMany of nothing', (on) => on.updateMany({ n: 99 }, { $inc: { n: 1 } })],
    ['updateMany with a wrong operator', (on) => on.updateMany({}, { $wrong: { n: 1 } })],
    ['deleteMany', (on) => on.deleteMany(by(10))],
    ['deleteMany of some keys', (on) => on.deleteMany({ customerId: { $in: keys.slice(0, 20) } })],
    ['deleteMany of nothing', (on) => on.deleteMany({ n: 99 })],
    ['deleteMany of all', (on) => on.deleteMany({})],
  ]; // prettier-ignore

  it.each(requests)('answers as one node does: %s', async (_what, request) => {
    await halfMoved();
    const plain = cluster.plain();
    const [routed, direct] = await Promise.all([
      outcome(() => request(orders)),
      outcome(() => request(plain as never)),
    ]);
    expect(routed).toEqual(direct);
    const sorted = { sort: { _id: 1 } } as const;
    expect(await orders.find({}, sorted).toArray()).toEqual(await plain.find({}, sorted).toArray());
  });

  it('reaches what is changing hands when that is over, and every document once', async () => {
    await orders.insertMany(stored());
    await cluster.announce();
    await cluster.advance({ kind: 'begin', boundary: BOUNDARY });
    await cluster.acknowledged();
    const writing = orders.updateMany({}, { $inc: { n: 1_000 } });
    const documents = await cluster.stored('a').find().toArray();
    const waiting = Promise.race([writing, new Promise((resolve) => setTimeout(resolve, 300, 'waits'))]);
    expect(await waiting).toBe('waits');
    await cluster.stored('b').deleteMany({});
    await cluster.stored('b').insertMany(documents, { bypassDocumentValidation: true });
    await cluster.advance({ kind: 'own', since: 1n }, { kind: 'settle' });
    expect(await writing).toMatchObject({ matchedCount: 90, modifiedCount: 90 });
    const values = (await orders.find().toArray()).map(({ n }) => Number(n));
    expect(values).toHaveLength(90);
    expect(values.every((n) => n >= 1_000 && n < 2_000)).toBe(true);
  });

  it('that may insert needs the key', async () => {
    const upsert = { upsert: true } as const;
    for (const request of [
      () => orders.updateOne({ n: 1 }, { $set: { n: 2 } }, upsert),
      () => orders.updateMany({ n: 1 }, { $set: { n: 2 } }, upsert),
      () => orders.replaceOne({ n: 1 }, { customerId: 'a' }, upsert),
      () => orders.findOneAndUpdate({ n: 1 }, { $set: { n: 2 } }, upsert),
    ]) {
      await expect(request()).rejects.toThrow(/needs one value of the partition key in its filter/);
    }
  });

  it('in a transaction stays at its node, and says so when it can’t', async () => {
    await orders.insertMany(stored());
    const session = client.startSession();
    await expect(session.withTransaction(() => orders.updateMany({}, { $inc: { n: 1 } }, { session }))).rejects.toThrow(
      MongoTransactionError,
    );
    await session.withTransaction(async () => {
      const some = { customerId: { $in: lower.slice(0, 3) } };
      await orders.updateMany(some, { $inc: { n: 1_000 } }, { session });
      expect((await orders.find(some, { session }).toArray()).every(({ n }) => Number(n) >= 1_000)).toBe(true);
      await orders.deleteMany({ customerId: { $in: lower.slice(3, 5) } }, { session });
    });
    await session.endSession();
    expect(await orders.find({ n: { $gte: 1_000 } }).count()).toBeGreaterThan(0);
    expect(await orders.find({ customerId: { $in: lower.slice(3, 5) } }).count()).toBe(0);
  });
});

describe('an adopted collection, of which parts have moved away', () => {
  /** Three partitions: one where all were, two in collections of their own at the other node. Old copies are still there. */
  async function adopted(): Promise<DroverCollection> {
    const name = `adopted${cluster.name}`;
    const bounds = [TOKEN_MIN, BOUNDARY, 0n, TOKEN_END] as const;
    const partitions = ['s0', 's1', 's2'].map((part, i): Partition => {
      const box = [{ low: bounds[i]!, high: bounds[i + 1]! }] as const;
      return {
        ...{ id: `shop.${name}/${part}`, keyspace: `shop.${name}`, name: part, box, epoch: 1, attempt: 0, gates: [] },
        ...{
          collection: `${name}.${part}`,
          shared: { node: 'a', collection: name },
          handover: null,
          lastMovedAt: null,
        },
        route: { source: i === 0 ? 'a' : 'b', target: null, boundary: box[0].low, fence: null },
      };
    });
    await createFenced(cluster.db('a'), name, 'customerId', acceptedBy(partitions, 'a'));
    const strays = stored().map((document) => ({ ...document, n: 500 }));
    await cluster.db('a').collection<Document>(name).insertMany(strays, { bypassDocumentValidation: true });
    for (const each of partitions.slice(1)) {
      await createFenced(cluster.db('b'), each.collection, 'customerId', acceptedBy([each], 'b'));
    }
    await cluster.catalog.keyspaces.insert({
      ...{ _id: `shop.${name}`, database: 'shop', collection: name, createdAt: new Date() },
      dimensions: [{ kind: 'hashed', field: 'customerId' }],
    });
    await cluster.catalog.partitions.insert(partitions);
    const own = await cluster.connect();
    const here = own.db('shop').collection(name);
    const isAtA = ({ customerId }: Document) => tokenOfKey(customerId) < BOUNDARY;
    await here.deleteMany({ customerId: { $in: keys.filter((key) => tokenOfKey(key) < BOUNDARY) } });
    expect(stored().filter(isAtA).length).toBeGreaterThan(0);
    await here.insertMany(stored());
    await cluster.plain().insertMany(stored());
    return here;
  }

  it('is read and written where its parts are, each document once', async () => {
    const here = await adopted();
    const plain = cluster.plain();
    const all = { sort: { _id: 1 } } as const;
    expect(await here.find({}, all).toArray()).toEqual(await plain.find({}, all).toArray());
    for (const [what, request] of [
      ['updateMany', (on) => on.updateMany({}, { $inc: { n: 1_000 } })],
      ['updateMany of keys', (on) => on.updateMany({ customerId: { $in: keys.slice(0, 9) } }, { $inc: { n: 1_000 } })],
      ['findOneAndUpdate', (on) => on.findOneAndUpdate(by(10), { $inc: { n: 1 } }, { sort: { _id: 1 } })],
      ['deleteMany', (on) => on.deleteMany({ n: { $gte: 1_020 } })],
    ] as readonly (readonly [string, Request])[]) {
      expect(await outcome(() => request(here)), what).toEqual(await outcome(() => request(plain as never)));
      expect(await here.find({}, all).toArray(), what).toEqual(await plain.find({}, all).toArray());
    }
    const strays = cluster.db('a').collection(here.namespace.slice('shop.'.length));
    expect(await strays.countDocuments({ n: 500 })).toBeGreaterThan(0);
  });
});
