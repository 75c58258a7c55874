import fc from 'fast-check';
import type { AnyBulkWriteOperation, Document } from 'mongodb';
import { MongoBulkWriteError } from 'mongodb';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { TOKEN_MIN } from '../../domain/token.js';
import type { DroverClient, DroverCollection } from '../../router/index.js';
import { tokenOfKey } from '../../store/key-token.js';
import { outcomeOf } from './bulk-outcome.js';
import { until } from '../store/servers.js';
import { lower, upper, useCluster } from './cluster.js';
import { ReplyLosingProxy } from './reply-losing-proxy.js';

const cluster = useCluster();
const proxy = new ReplyLosingProxy();
const middle = TOKEN_MIN / 2n;
const gone = lower.filter((key) => tokenOfKey(key) < middle);
const staying = lower.filter((key) => tokenOfKey(key) >= middle);
/** On all sides of a partition that is half moved, and of another one: neighbours are elsewhere. */
const customers = [gone[0], staying[0], upper[0], gone[1], staying[1], upper[1]] as string[];
type Operation = AnyBulkWriteOperation<Document>;

let client: DroverClient;
let orders: DroverCollection;
let throughProxy: DroverClient;

beforeAll(async () => {
  client = await cluster.connect();
  const a = await proxy.start(cluster.uris[0]!);
  throughProxy = await cluster.connect({ nodes: { a, b: cluster.uris[1]! }, holdTimeoutMS: 3_000 });
});
afterAll(() => proxy.stop());
beforeEach(() => {
  orders = cluster.orders(client);
});

const customerOf = (_id: number) => customers[_id % 6]!;
/** One `_id` always has one key. */
const document = (_id: number, n = 0): Document => ({ _id, customerId: customerOf(_id), group: _id % 3, n });
const key = (_id: number): Document => ({ _id, customerId: customerOf(_id) });
const seed = () => [0, 1, 2, 3, 4, 5, 6, 7].map((_id) => document(_id));

const places = () => [cluster.stored('a'), cluster.stored('b'), cluster.stored('b', 'p1')];
/** Of what is owned where: the copy that is left behind is not looked at. */
const all = async () => (await orders.find({}, { sort: { _id: 1 } }).toArray()) as Document[];

const halfMoved = async () => {
  await cluster.announce();
  await cluster.advance({ kind: 'begin', boundary: middle }, { kind: 'own', since: 1n }, { kind: 'settle' });
  await cluster.acknowledged();
};

/** Does the same with the driver alone. */
async function compare(what: string, operations: () => readonly Operation[], ordered: boolean, options: Document = {}) {
  const plain = cluster.plain();
  await Promise.all(places().map((place) => place.deleteMany({})));
  await plain.deleteMany({});
  await orders.insertMany(seed(), { ordered: false });
  await plain.insertMany(seed());
  const [routed, direct] = await Promise.allSettled([
    orders.bulkWrite(operations(), { ...options, ordered }),
    plain.bulkWrite(operations(), { ...options, ordered }),
  ]);
  expect(outcomeOf(routed, ordered), what).toEqual(outcomeOf(direct, ordered));
  expect(await all(), what).toEqual(await plain.find({}, { sort: { _id: 1 } }).toArray());
  return routed;
}

const inc = { $inc: { n: 1 } };
const cases: readonly (readonly [string, () => readonly unknown[], Document?])[] = [
  ['every kind', () => [{ insertOne: { document: document(10) } }, { updateOne: { filter: key(1), update: inc } }, { updateMany: { filter: { customerId: customerOf(2) }, update: inc } }, { replaceOne: { filter: key(3), replacement: document(3, 9) } }, { deleteOne: { filter: key(4) } }, { deleteMany: { filter: { customerId: customerOf(5) } } }, { insertOne: { document: document(11) } }]],
  ['inserts in the short form', () => [{ insertOne: document(10) }, { insertOne: document(11) }]],
  ['what names no key', () => [{ updateOne: { filter: { _id: 1 }, update: inc } }, { updateMany: { filter: { group: 1 }, update: inc } }, { replaceOne: { filter: { _id: 2 }, replacement: { customerId: customerOf(2), m: 1 } } }, { deleteOne: { filter: { _id: 3 } } }, { deleteMany: { filter: { group: 2 } } }, { updateMany: { filter: { group: 9 }, update: inc } }]],
  ['an insert of what is there', () => [{ insertOne: { document: document(10) } }, { insertOne: { document: document(3) } }, { insertOne: { document: document(11) } }, { updateOne: { filter: key(0), update: inc } }]],
  ['errors of several kinds', () => [{ insertOne: { document: document(10) } }, { updateOne: { filter: key(0), update: { $set: { _id: 99 } } } }, { insertOne: { document: document(3) } }, { deleteMany: { filter: { ...key(1), n: { $wrong: 1 } } } }, { insertOne: { document: document(12) } }, { updateOne: { filter: key(2), update: { $wrong: { n: 1 } } } }, { insertOne: { document: document(4) } }]],
  ['an update of no key that is refused', () => [{ updateOne: { filter: key(0), update: inc } }, { updateMany: { filter: { group: 1 }, update: { $set: { _id: 99 } } } }, { updateOne: { filter: key(1), update: inc } }]],
  ['upserts', () => [{ updateOne: { filter: key(20), update: inc, upsert: true } }, { updateOne: { filter: key(1), update: inc, upsert: true } }, { replaceOne: { filter: key(21), replacement: document(21, 1), upsert: true } }, { updateMany: { filter: key(22), update: inc, upsert: true } }, { insertOne: { document: document(23) } }, { updateOne: { filter: key(26), update: inc, upsert: true } }]],
  ['updates that change or match nothing', () => [{ updateOne: { filter: key(0), update: { $set: { n: 0 } } } }, { updateOne: { filter: key(50), update: inc } }, { updateOne: { filter: key(6), update: inc } }, { replaceOne: { filter: key(3), replacement: document(3) } }]],
  ['the same document again and again', () => [...[1, 2, 3].map(() => ({ updateOne: { filter: key(0), update: inc } })), { deleteOne: { filter: key(0) } }, { deleteOne: { filter: key(0) } }]],
  ['pipelines, variables, filters of arrays', () => [{ updateOne: { filter: key(0), update: [{ $set: { m: { $add: ['$n', '$$x'] } } }] } }, { updateMany: { filter: { group: 1, $expr: { $lt: ['$n', '$$x'] } }, update: inc } }, { updateOne: { filter: key(2), update: { $set: { list: [1, 2] } } } }, { updateOne: { filter: key(2), update: { $set: { 'list.$[e]': 5 } }, arrayFilters: [{ e: 2 }] } }, { deleteOne: { filter: { ...key(5), $expr: { $lt: ['$n', '$$x'] } } } }], { let: { x: 3 }, comment: 'c' }],
  ['a collation', () => [{ updateOne: { filter: { ...key(0), name: 'ä' }, update: inc, collation: { locale: 'de', strength: 1 } } }, { deleteOne: { filter: key(1), collation: { locale: 'de' } } }]],
  ['a hint', () => [{ updateOne: { filter: key(0), update: inc, hint: '_id_' } }, { deleteOne: { filter: key(1), hint: { _id: 1 } } }]],
  ['nothing', () => []],
  ['no operation', () => [{ insertOne: { document: document(10) } }, { wrong: {} }]],
  ['no object', () => [null]],
  ['an update without operators', () => [{ insertOne: { document: document(10) } }, { updateOne: { filter: key(0), update: { n: 1 } } }]],
  ['a replacement with operators', () => [{ replaceOne: { filter: key(0), replacement: inc } }]],
  ['a raw statement', () => [{ updateOne: { q: key(0), u: inc } }]],
]; // prettier-ignore

describe('bulkWrite', () => {
  it.each([true, false])('does what the driver does (ordered: %s)', async (ordered) => {
    await halfMoved();
    for (const [name, operations, options] of cases) {
      await compare(name, operations as () => Operation[], ordered, options);
    }
  });

  const id = fc.nat({ max: 11 });
  const filter = fc.tuple(id, fc.boolean()).map(([_id, keyed]) => (keyed ? key(_id) : { _id }));
  const many = fc.oneof(
    id.map((_id) => ({ customerId: customerOf(_id) })),
    fc.nat({ max: 2 }).map((group) => ({ group })),
  );
  const operation: fc.Arbitrary<Operation> = fc.oneof(
    { weight: 3, arbitrary: id.map((_id) => ({ insertOne: { document: document(_id) } })) },
    { weight: 2, arbitrary: filter.map((each) => ({ updateOne: { filter: each, update: inc } })) },
    fc.tuple(id, fc.nat({ max: 1 }), fc.boolean()).map(([_id, n, upsert]) => ({ updateOne: { filter: key(_id), update: { $set: { n, group: _id % 3 } }, upsert } })),
    fc.tuple(id, fc.nat({ max: 1 }), fc.boolean()).map(([_id, n, upsert]) => ({ replaceOne: { filter: key(_id), replacement: document(_id, n), upsert } })),
    id.map((_id) => ({ updateOne: { filter: key(_id), update: { $set: { _id: 99 } } } })),
    many.map((each) => ({ updateMany: { filter: each, update: inc } })),
    filter.map((each) => ({ deleteOne: { filter: each } })),
    many.map((each) => ({ deleteMany: { filter: each } })),
  ); // prettier-ignore

  it('of any operations does what the driver does', async () => {
    await halfMoved();
    const lists = fc.tuple(fc.array(operation, { minLength: 1, maxLength: 10 }), fc.boolean());
    const property = fc.asyncProperty(lists, async ([operations, ordered]) => {
      const copied = () => structuredClone(operations);
      const routed = await compare('any', copied, ordered);
      const { result } =
        routed.status === 'fulfilled' ? { result: routed.value } : (routed.reason as MongoBulkWriteError);
      for (const [index, upserted] of Object.entries(result.upsertedIds)) {
        const [{ filter: of }] = Object.values(operations[Number(index)]!) as [{ filter: Document }];
        expect(upserted).toBe(of['_id']);
      }
    });
    await fc.assert(property, { numRuns: 60 });
  });

  it('gives documents their _id, and refuses what a keyspace can’t do before it touches anything', async () => {
    const given: Document = { customerId: lower[0] };
    const { insertedIds } = await orders.bulkWrite([{ insertOne: { document: given } }]);
    expect(given['_id']).toEqual(insertedIds[0]);
    const insert = { insertOne: { document: document(1) } };
    const refused: readonly (readonly [Operation, RegExp])[] = [
      [{ insertOne: { document: { n: 1 } } }, /needs the partition key/],
      [{ updateOne: { filter: key(0), update: { $set: { customerId: 'x' } } } }, /can't be changed/],
      [{ replaceOne: { filter: key(0), replacement: { customerId: 'x' } } }, /can't change/],
      [{ updateOne: { filter: { n: 1 }, update: inc, upsert: true } }, /needs one value of the partition key/],
    ];
    for (const [operation, message] of refused) {
      await expect(orders.bulkWrite([insert as Operation, operation])).rejects.toThrow(message);
    }
    await expect(orders.bulkWrite([insert as Operation], { bypassDocumentValidation: true })).rejects.toThrow(/validators/);
    expect(await all()).toHaveLength(1);
  }); // prettier-ignore

  it.each([true, false])('sends many at once, also more than one command holds (ordered: %s)', async (ordered) => {
    const updates = Array.from({ length: 1_500 }, (_, i) => ({ updateOne: { filter: key(6 * i), update: inc, upsert: true } })); // prettier-ignore
    const result = await orders.bulkWrite(updates, { ordered });
    expect(result).toMatchObject({ upsertedCount: 1_500, matchedCount: 0 });
    expect(result.upsertedIds[1_499]).toBe(6 * 1_499);
    expect(await orders.bulkWrite(updates, { ordered })).toMatchObject({ upsertedCount: 0, modifiedCount: 1_500 });
  });

  it.each([true, false])('deletes many at once (ordered: %s)', async (ordered) => {
    await orders.insertMany(Array.from({ length: 300 }, (_, i) => document(6 * i, i)));
    const one = { deleteOne: { filter: { customerId: customerOf(0), n: { $gte: 10 } } } };
    const deletes = Array.from({ length: 280 }, () => one);
    expect(await orders.bulkWrite(deletes, { ordered })).toMatchObject({ deletedCount: 280 });
    // One that can't be carried out keeps none of the others from being so.
    const wrong = { deleteOne: { filter: { customerId: customerOf(0), n: { $wrong: 1 } } } };
    const some = [...deletes.slice(0, 8), wrong as Operation, ...deletes.slice(0, 8)];
    const error = (await orders.bulkWrite(some, { ordered }).catch((e: unknown) => e)) as MongoBulkWriteError;
    expect(error).toMatchObject({ code: 2, deletedCount: ordered ? 8 : 10, writeErrors: [{ index: 8 }] });
    expect(await all()).toHaveLength(ordered ? 12 : 10);
  });

  it('is there in steps, too', async () => {
    const build = (on: Pick<DroverCollection, 'initializeOrderedBulkOp'>) => {
      const bulk = on.initializeOrderedBulkOp();
      bulk.insert(document(10)).find(key(1)).upsert().updateOne(inc);
      bulk.find({ group: 1 }).update(inc);
      bulk.find(key(1)).replaceOne(document(1, 5));
      bulk.find({ group: 2 }).delete();
      bulk.find(key(0)).deleteOne();
      return bulk;
    };
    await orders.insertMany(seed());
    await cluster.plain().insertMany(seed());
    const bulk = build(orders);
    expect(bulk.length).toBe(6);
    const [routed, direct] = await Promise.allSettled([bulk.execute(), build(cluster.plain() as never).execute()]);
    expect(outcomeOf(routed, true)).toEqual(outcomeOf(direct, true));
    await expect(bulk.execute()).rejects.toMatchObject({ name: 'MongoBatchReExecutionError' });
  });
});

describe.each([true, false])('bulkWrite while its keys change hands (ordered: %s)', (ordered) => {
  it('goes on at the new owner, and does everything once', async () => {
    await orders.insertMany(seed());
    await cluster.announce();
    await cluster.acknowledged();
    // Of many commands, some before the hand-over, the others after it.
    const list = Array.from({ length: 240 }, (_, i): Operation =>
      i % 3 === 2
        ? { deleteOne: { filter: { customerId: customerOf(i), n: { $lt: 0 } } } }
        : { updateOne: { filter: key(i % 8), update: inc } },
    ); // prettier-ignore
    const sum = (documents: readonly Document[]) => documents.reduce((total, { n }) => total + Number(n), 0);
    const running = orders.bulkWrite(list, { ordered });
    await until('some to be done', async () => sum(await cluster.stored('a').find().toArray()) > 0);
    await cluster.advance({ kind: 'begin', boundary: 0n });
    await cluster.acknowledged();
    const copied = await cluster.stored('a').find().toArray();
    await cluster.stored('b').insertMany(copied, { bypassDocumentValidation: true });
    await cluster.advance({ kind: 'own', since: 1n }, { kind: 'settle' });
    expect(await running).toMatchObject({ matchedCount: 160, modifiedCount: 160, deletedCount: 0 });
    expect(sum(await all())).toBe(160);
    if (ordered) expect(sum(copied)).toBeLessThan(100);
    expect(await cluster.stored('a').find().toArray()).toEqual(copied);
  });

  /** Its feed has ended, its lease has run out. */
  const late = async () => {
    await orders.insertMany(seed());
    await cluster.announce();
    const other = await cluster.connect();
    await cluster.orders(other).findOne({ customerId: gone[0] });
    await cluster.feed(other).close();
    Object.assign(cluster.feed(other), { leasedUntil: -Infinity });
    return cluster.orders(other);
  };

  it('of a router that has missed a hand-over goes to the new owner, also what changes nothing at the old one', async () => {
    const old = await late();
    await cluster.handOver();
    await cluster.stored('b').updateMany({}, { $set: { n: 5 } });
    const before = await cluster.stored('a').find().toArray();
    const list: Operation[] = [
      { updateOne: { filter: key(0), update: { $set: { n: 0 } } } },
      { updateOne: { filter: key(6), update: inc } },
      { insertOne: { document: document(12) } },
      { updateOne: { filter: key(3), update: { $set: { n: 0 } } } },
      ...[1, 7, 90].map((_id) => ({ deleteOne: { filter: key(_id) } })),
    ];
    expect(await old.bulkWrite(list, { ordered })).toMatchObject({ insertedCount: 1, modifiedCount: 3, deletedCount: 2 });
    expect(await cluster.stored('a').find().toArray()).toEqual(before);
  }); // prettier-ignore

  it('says so when some of it was done and it can’t be told whether the rest was to be', async () => {
    const old = await late();
    // The old owner's fence stays open.
    for (const event of [{ kind: 'begin', boundary: 0n }, { kind: 'own', since: 1n }, { kind: 'settle' }] as const) {
      await cluster.catalog.partitions.advance(await cluster.partition(), event);
    }
    const list: Operation[] = [
      { updateOne: { filter: key(0), update: inc } },
      { updateOne: { filter: key(6), update: { $set: { n: 0 } } } },
    ];
    const error = await old.bulkWrite(list, { ordered }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(MongoBulkWriteError);
    expect(error).toMatchObject({ code: 121, message: expect.stringContaining('changed hands') });
  });

  it('fails when it waits for longer than the application allows, and tells what was done', async () => {
    await orders.insertMany(seed());
    await cluster.announce();
    await cluster.advance({ kind: 'begin', boundary: middle });
    await cluster.acknowledged();
    const list: Operation[] = [
      { updateOne: { filter: key(1), update: inc } },
      { updateOne: { filter: key(0), update: inc } },
    ];
    const error = (await orders.bulkWrite(list, { ordered }).catch((e: unknown) => e)) as MongoBulkWriteError;
    expect(error).toBeInstanceOf(MongoBulkWriteError);
    expect(error).toMatchObject({ code: 'TimedOut', cause: { name: 'DroverError' } });
    expect(error.modifiedCount).toBe(1);
  });
});

describe('bulkWrite whose replies are lost', () => {
  it.each([true, false])('is done once (ordered: %s)', async (ordered) => {
    await orders.insertMany(seed());
    const list = [0, 6, 3, 1].map((_id) => ({ updateOne: { filter: key(_id), update: inc } }));
    proxy.lose('update', 3);
    expect(await cluster.orders(throughProxy).bulkWrite(list, { ordered })).toMatchObject({ modifiedCount: 4 });
    expect((await all()).reduce((sum, { n }) => sum + Number(n), 0)).toBe(4);
    expect(proxy.seen).toBe(4);
  });
});

describe('bulkWrite in a session', () => {
  const list = (): Operation[] => [
    { insertOne: { document: document(13) } },
    { updateOne: { filter: key(1), update: inc } },
    { deleteOne: { filter: key(7) } },
    { updateMany: { filter: { customerId: customerOf(1) }, update: inc } },
  ];
  beforeEach(() => orders.insertMany(seed()));

  it.each([true, false])('goes to any node (ordered: %s)', async (ordered) => {
    await using session = client.startSession();
    const result = await orders.bulkWrite([...list(), { deleteMany: { filter: { group: 2 } } }], { session, ordered });
    expect(result).toMatchObject({ insertedCount: 1, deletedCount: 3, modifiedCount: ordered ? 3 : 4 });
  });

  it.each([true, false])('with a transaction is seen as a whole, or not at all (ordered: %s)', async (ordered) => {
    await using session = client.startSession();
    await session.withTransaction(async () => {
      await orders.bulkWrite(list(), { session, ordered });
      expect(await orders.findOne({ ...key(13) })).toBeNull();
    });
    expect(await orders.findOne({ ...key(13) })).not.toBeNull();
    session.startTransaction();
    const again = orders.bulkWrite([{ updateOne: { filter: key(1), update: inc } }, ...list()], { session, ordered });
    const error = (await again.catch((e: unknown) => e)) as MongoBulkWriteError;
    expect(error).toMatchObject({ code: 11000, writeErrors: [{ index: 1 }] });
    await session.endSession();
    expect(await orders.findOne(key(1))).toMatchObject({ n: 2 });
  });

  it('is executed in it, too, when it was built before', async () => {
    await using session = client.startSession();
    session.startTransaction();
    const bulk = orders.initializeOrderedBulkOp();
    bulk.insert(document(13));
    await bulk.execute({ session });
    await session.abortTransaction();
    expect(await orders.findOne(key(13))).toBeNull();
  });

  it('of a router that has missed a hand-over begins its transaction again', async () => {
    await cluster.announce();
    const other = await cluster.connect();
    const old = cluster.orders(other);
    await old.findOne({ customerId: gone[0] });
    await cluster.feed(other).close();
    await cluster.handOver();
    let runs = 0;
    await using session = other.startSession();
    await session.withTransaction(async () => {
      runs += 1;
      await old.bulkWrite([{ updateOne: { filter: key(0), update: inc } }], { session });
    });
    expect(runs).toBe(2);
    expect(await cluster.stored('b').findOne({ _id: 0 as never })).toMatchObject({ n: 1 });
  });
});
