import fc from 'fast-check';
import type {
  AnyBulkWriteOperation,
  Collection,
  Document,
  Filter,
  FindOneAndUpdateOptions,
  FindOptions,
} from 'mongodb';
import { MongoBulkWriteError, MongoError } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { migrate, waitForMigration } from '../../client/migrations.js';
import type { DroverCollection } from '../../router/index.js';
import type { Scene } from './harness.js';
import { scene } from './harness.js';

/** What both have: the same calls go to each. */
type Either = DroverCollection<Document>;
type Operation = (on: Either) => Promise<unknown>;

const IDS = 24;
/** An `_id` is always under the same key: elsewhere it would be another document. */
const keyOf = (id: number): string => `customer-${id % 12}`;
const documentOf = (id: number, n: number): Document => ({ _id: id, customerId: keyOf(id), n, tags: [id % 3, n % 4] });

const id = fc.integer({ min: 0, max: IDS - 1 });
const n = fc.integer({ min: 0, max: 9 });
const sort = fc.constantFrom({ _id: 1 }, { _id: -1 }, { n: 1, _id: 1 }, { tags: -1, _id: 1 }) as fc.Arbitrary<
  Record<string, 1 | -1>
>;

/** Filters of many documents: by keys, by something else, or by both. */
const many: fc.Arbitrary<Filter<Document>> = fc.oneof(
  fc.constant({}),
  n.map((least) => ({ n: { $gte: least } })),
  fc.array(id, { maxLength: 5 }).map((ids) => ({ customerId: { $in: ids.map(keyOf) } })),
  fc.tuple(id, n).map(([one, least]) => ({ $or: [{ customerId: keyOf(one) }, { n: least }] })),
);
/** Filters of one document at most. */
const one: fc.Arbitrary<Filter<Document>> = fc.oneof(
  id.map((each) => ({ _id: each, customerId: keyOf(each) })),
  id.map((each) => ({ _id: each })),
  fc.tuple(id, n).map(([each, least]) => ({ _id: each, n: { $gte: least } })),
) as fc.Arbitrary<unknown> as fc.Arbitrary<Filter<Document>>;

/** A set has no order of its own. */
const ORDERED = { $project: { ids: { $sortArray: { input: '$ids', sortBy: 1 } } } };

const update = fc.oneof(
  n.map((by) => ({ $inc: { n: by } })),
  n.map((value) => ({ $set: { n: value }, $push: { tags: value } })),
  fc.constant({ $unset: { tags: '' } }),
  fc.constant([{ $set: { n: { $mod: [{ $add: ['$n', 3] }, 10] } } }]),
) as fc.Arbitrary<Document>;

/** Ends in an order in which no two results are equal. */
const pipeline = fc.oneof(
  fc
    .tuple(sort, fc.nat(4), fc.integer({ min: 1, max: 9 }))
    .map(([by, $skip, $limit]) => [{ $sort: by }, { $skip }, { $limit }, { $project: { tags: 0 } }]),
  fc
    .constantFrom('$n', '$customerId', { $mod: ['$_id', 4] })
    .map((_id) => [
      { $group: { _id, count: { $sum: 1 }, total: { $sum: '$n' }, most: { $max: '$n' }, mean: { $avg: '$n' } } },
      { $sort: { _id: 1 } },
    ]),
  fc.constant([
    { $unwind: '$tags' },
    { $group: { _id: '$tags', ids: { $addToSet: '$_id' } } },
    ORDERED,
    { $sort: { _id: 1 } },
  ]),
  n.map((least) => [{ $match: { n: { $gte: least } } }, { $count: 'documents' }]),
  fc.constant([{ $sortByCount: '$n' }, { $sort: { count: -1, _id: 1 } }]),
) as fc.Arbitrary<unknown> as fc.Arbitrary<Document[]>;

const ofBulk = fc.oneof(
  fc.tuple(id, n).map(([each, value]) => ({ insertOne: { document: documentOf(each, value) } })),
  fc.tuple(one, update).map(([filter, change]) => ({ updateOne: { filter, update: change } })),
  fc.tuple(many, update).map(([filter, change]) => ({ updateMany: { filter, update: change } })),
  fc.tuple(id, n).map(([each, value]) => {
    const filter = { _id: each as never, customerId: keyOf(each) };
    return { replaceOne: { filter, replacement: documentOf(each, value), upsert: true } };
  }),
  one.map((filter) => ({ deleteOne: { filter } })),
  many.map((filter) => ({ deleteMany: { filter } })),
) as fc.Arbitrary<AnyBulkWriteOperation>;

/** Each about another document: in which order those of one document are done, the server does not say. */
const ofUnorderedBulk = fc.uniqueArray(id, { minLength: 1, maxLength: 8 }).chain((ids) =>
  fc.tuple(
    ...ids.map((each) => {
      const filters = fc.constantFrom({ _id: each }, { _id: each, customerId: keyOf(each) });
      return fc.oneof(
        n.map((value) => ({ insertOne: { document: documentOf(each, value) } })),
        fc.tuple(filters, update).map(([filter, change]) => ({ updateOne: { filter, update: change } })),
        filters.map((filter) => ({ deleteOne: { filter } })),
      );
    }),
  ),
) as fc.Arbitrary<unknown> as fc.Arbitrary<AnyBulkWriteOperation[]>;

const operation: fc.Arbitrary<readonly [string, Operation]> = fc.oneof(
  named(
    'insertOne',
    fc.tuple(id, n),
    ([each, value]) =>
      (on) =>
        on.insertOne(documentOf(each, value)),
  ),
  named(
    'insertMany',
    fc.tuple(fc.array(id, { minLength: 1, maxLength: 8 }), n, fc.boolean()),
    ([ids, value, ordered]) =>
      (on) =>
        on.insertMany(
          ids.map((each) => documentOf(each, value)),
          { ordered },
        ),
  ),
  named(
    'findOne',
    fc.tuple(many, sort),
    ([filter, by]) =>
      (on) =>
        on.findOne(filter, { sort: by }),
  ),
  named(
    'find',
    fc.tuple(many, sort, fc.nat(5), fc.nat(12), fc.integer({ min: 1, max: 9 })),
    ([filter, by, skip, limit, batchSize]) =>
      (on) =>
        on
          .find(filter, { sort: by, skip, limit, batchSize, projection: { tags: 0 } } as FindOptions as never)
          .toArray(),
  ),
  named(
    'updateOne',
    fc.tuple(one, update),
    ([filter, change]) =>
      (on) =>
        on.updateOne(filter, change),
  ),
  named(
    'updateMany',
    fc.tuple(many, update),
    ([filter, change]) =>
      (on) =>
        on.updateMany(filter, change),
  ),
  named(
    'updateOne or insert',
    fc.tuple(id, n),
    ([each, value]) =>
      (on) =>
        on.updateOne({ _id: each as never, customerId: keyOf(each) }, { $set: { n: value } }, { upsert: true }),
  ),
  named('replaceOne', fc.tuple(id, n, fc.boolean()), ([each, value, keyed]) => (on) => {
    const { _id, ...replacement } = documentOf(each, value);
    const filter = { _id: _id as never, ...(keyed ? { customerId: keyOf(each) } : {}) };
    return on.replaceOne(filter, replacement);
  }),
  named(
    'findOneAndUpdate',
    fc.tuple(many, update, sort, fc.constantFrom('before' as const, 'after' as const)),
    ([filter, change, by, returnDocument]) =>
      (on) =>
        on.findOneAndUpdate(filter, change, { sort: by, returnDocument } as FindOneAndUpdateOptions as never),
  ),
  named(
    'findOneAndDelete',
    fc.tuple(many, sort),
    ([filter, by]) =>
      (on) =>
        on.findOneAndDelete(filter, { sort: by } as never),
  ),
  named(
    'bulkWrite',
    fc.array(ofBulk, { minLength: 1, maxLength: 8 }),
    (operations) => (on) => on.bulkWrite(structuredClone(operations)),
  ),
  named(
    'bulkWrite in any order',
    ofUnorderedBulk,
    (operations) => (on) => on.bulkWrite(structuredClone(operations), { ordered: false }),
  ),
  named(
    'countDocuments',
    fc.tuple(many, fc.nat(5), fc.integer({ min: 1, max: 12 })),
    ([filter, skip, limit]) =>
      (on) =>
        on.countDocuments(filter, { skip, limit }),
  ),
  named(
    'distinct',
    fc.tuple(many, fc.constantFrom('n', 'tags', 'customerId', '_id')),
    ([filter, key]) =>
      (on) =>
        on.distinct(key, filter),
  ),
  named(
    'aggregate',
    fc.tuple(many, pipeline),
    ([filter, stages]) =>
      (on) =>
        on.aggregate([{ $match: filter }, ...structuredClone(stages)]).toArray(),
  ),
  named('deleteOne', one, (filter) => (on) => on.deleteOne(filter)),
  named('deleteMany', many, (filter) => (on) => on.deleteMany(filter)),
);

function named<T>(name: string, input: fc.Arbitrary<T>, of: (input: T) => Operation) {
  return input.map((value): readonly [string, Operation] => [`${name} ${JSON.stringify(value)}`, of(value)]);
}

const countsOf = ({ insertedCount, matchedCount, modifiedCount, deletedCount, upsertedIds }: MongoBulkWriteError) => ({
  ...{ insertedCount, matchedCount, modifiedCount, deletedCount, upsertedIds },
});

/** What a caller can see of an answer, but for the names of collections. */
async function seen(request: Promise<unknown>): Promise<unknown> {
  try {
    return await request;
  } catch (error) {
    if (!(error instanceof MongoError)) throw error;
    return {
      type: error.constructor.name,
      code: error.code,
      message: error.message.replace(/collection: \S+/, 'collection: NAME'),
      ...(error instanceof MongoBulkWriteError
        ? { ...countsOf(error), at: [error.writeErrors].flat().map(({ index }) => index) }
        : {}),
    };
  }
}

describe('a client over three nodes, while partitions move all the time', () => {
  let the: Scene;
  let orders: Either;
  let plain: Collection;
  let moving = true;
  let moves = 0;
  let mover: Promise<void>;

  /** Each partition in turn to the next node, so that at every moment one is in the middle of its way. */
  async function moveOn(): Promise<void> {
    const { names } = the.control.nodes;
    const partitions = await the.control.catalog.partitions.list(the.keyspace);
    for (let turn = 0; moving; turn += 1) {
      const { name } = partitions[turn % partitions.length]!;
      const { route } = await the.partition(name);
      const target = names[(names.indexOf(route.source) + 1) % names.length]!;
      await migrate(the.control, { keyspace: the.keyspace, partition: name, target, weights: [20, 50, 80, 100] });
      const { outcome } = await waitForMigration(the.control, the.keyspace, name);
      expect(outcome).toBe('completed');
      moves += 1;
    }
  }

  beforeAll(async () => {
    the = await scene({ partitions: 3 });
    orders = (await the.connect()).db('shop').collection('orders');
    plain = (await the.control.nodes.get(the.control.nodes.names[0]!)).db('plain').collection('orders');
    mover = moveOn();
  });
  afterAll(() => the.stop());

  it('answers every request as the driver does on one node', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { minLength: 20, maxLength: 40 }), async (operations) => {
        for (const on of [orders, plain]) {
          await on.deleteMany({});
          await on.insertMany(Array.from({ length: IDS / 2 }, (_, each) => documentOf(2 * each, each % 10)));
        }
        for (const [name, run] of operations) {
          const [routed, direct] = await Promise.all([seen(run(orders)), seen(run(plain as unknown as Either))]);
          expect(routed, name).toEqual(direct);
        }
        const sorted = { sort: { _id: 1 } } as const;
        expect(await orders.find({}, sorted).toArray()).toEqual(await plain.find({}, sorted).toArray());
      }),
      { numRuns: 25, endOnFailure: true },
    );
    moving = false;
    await mover;
    expect(moves).toBeGreaterThan(0);
  });
});
