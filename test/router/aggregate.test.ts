import fc from 'fast-check';
import type { AggregateOptions, Document, MongoServerError } from 'mongodb';
import { Decimal128, Double, Long, MongoInvalidArgumentError, ObjectId } from 'mongodb';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { DroverClient, DroverCollection } from '../../router/index.js';
import type { MergeLimits } from '../../router/merge-part.js';
import { MergePart } from '../../router/merge-part.js';
import { handHalfOver, spread, written } from './aggregate-data.js';
import { until } from '../store/servers.js';
import { keys, lower, upper, useCluster } from './cluster.js';

const cluster = useCluster();
let client: DroverClient;
let orders: DroverCollection<Document>;

beforeAll(async () => {
  client = await cluster.connect();
});
beforeEach(async () => {
  orders = cluster.orders(client);
  await orders.findOne({ customerId: lower[0] });
});

const numbers = [
  1, 2, -7, new Double(1), new Double(0.1), new Double(0.2), new Double(12.34), new Double(-0), Long.fromNumber(5),
  Long.fromString('9223372036854775807'), 2_147_483_647, Decimal128.fromString('1.10'), null, 'text', undefined, [1, 2],
]; // prettier-ignore
// prettier-ignore
const documents: Document[] = Array.from({ length: 96 }, (_, i) => ({
  _id: i,
  customerId: keys[i % keys.length],
  ...(numbers[i % numbers.length] === undefined ? {} : { n: numbers[i % numbers.length] }),
  small: new Double(i / 100),
  whole: i * 30_000_000,
  a: i % 7,
  mixed: i % 2 === 0 ? new Double(i % 5) : i % 5,
  name: ['a', 'B', 'A', 'b', 'c'][i % 5],
  tags: Array.from({ length: i % 4 }, (__, j) => `t${(i + j) % 3}`),
  ...(i % 6 === 0 ? {} : { list: i % 6 === 1 ? [] : Array.from({ length: i % 3 }, (__, j) => (j === 2 ? i : { x: (i * j) % 5, ...(i % 5 === 0 ? {} : { y: [i % 4, j] }) })) }),
  by: { day: new Date(1e12 + i * 864e5), $cost: '$a', id: ObjectId.createFromTime(i) },
  pos: [i / 7, -i / 17],
  words: i % 3 === 0 ? 'red apple' : 'green pear pear',
}));

const en = { collation: { locale: 'en', strength: 2 } } as const;
const byId = { $sort: { _id: 1 } };
const sorted = (name: string) => ({ $set: { [name]: { $sortArray: { input: `$${name}`, sortBy: 1 } } } });
const groups = (outputs: Document, _id: unknown = '$a') => [{ $group: { _id, ...outputs } }];

/** What each is, the pipeline, and its options. In order where a sort comes last. */
const pipelines: readonly (readonly [string, Document[], AggregateOptions?])[] = [
  ['nothing', []],
  ['$match of the key', [{ $match: { customerId: lower[0] } }, byId]],
  ['$match of keys', [{ $match: { customerId: { $in: [lower[0], upper[0]] } } }, { $match: { a: { $lt: 5 } } }]],
  ['$match', [{ $match: { a: 3 } }]],
  ['$match of text', [{ $match: { $text: { $search: 'apple' } } }, { $project: { words: 1 } }]],
  ['$match of text, by score', [{ $match: { $text: { $search: 'pear apple' } } }, { $sort: { s: { $meta: 'textScore' }, _id: 1 } }, { $project: { s: { $meta: 'textScore' } } }]],
  ['$geoNear', [{ $geoNear: { near: [1, 1], distanceField: 'd', query: { a: { $gt: 2 } } } }, { $project: { d: 1 } }, { $limit: 9 }]],
  ['$project, $set, $unset', [{ $project: { n: 1, x: { $add: ['$a', 1] } } }, { $set: { y: '$x' } }, { $unset: 'x' }]],
  ['$unwind', [{ $unwind: { path: '$tags', includeArrayIndex: 'i', preserveNullAndEmptyArrays: true } }]],
  ['$replaceWith, $redact', [{ $replaceWith: '$by' }, { $redact: '$$KEEP' }]],
  ['$sort', [{ $sort: { name: -1, _id: 1 } }]],
  ['$sort of arrays', [{ $sort: { tags: -1, _id: 1 } }, { $unwind: '$tags' }]],
  ['$sort within arrays', [{ $sort: { 'list.x': 1, 'list.y': -1, _id: 1 } }]],
  ['$sort by places in arrays', [{ $sort: { 'list.0.x': -1, _id: 1 } }, { $match: { a: { $lt: 5 } } }, { $sort: { 'tags.1': 1, _id: 1 } }]],
  ['$sort, $replaceWith', [{ $set: { x: '$a' } }, { $sort: { x: 1, _id: 1 } }, { $replaceWith: { all: '$$ROOT' } }]],
  ['$sort of every type', [{ $sort: { n: 1, _id: 1 } }]],
  ['$sort, $skip, $limit', [{ $sort: { a: -1, _id: 1 } }, { $skip: 7 }, { $limit: 20 }, { $project: { a: 1 } }]],
  ['$sort, $limit, $set', [{ $sort: { whole: -1 } }, { $limit: 4 }, { $set: { x: { $divide: [1, '$a'] } } }, byId]],
  ['$sort, $limit, $sort', [{ $sort: { whole: -1 } }, { $limit: 30 }, { $sort: { name: 1, _id: -1 } }, { $limit: 9 }]],
  ['$sort by a collation', [{ $sort: { name: 1, _id: 1 } }, { $limit: 50 }], en],
  ['$limit, $count', [{ $limit: 50 }, { $count: 'n' }]],
  ['$skip, $count', [{ $skip: 50 }, { $count: 'n' }]],
  ['$count', [{ $match: { a: 3 } }, { $count: 'n' }]],
  ['$count of nothing', [{ $match: { a: 99 } }, { $count: 'n' }]],
  ['$group of nothing', [{ $match: { a: 99 } }, ...groups({ n: { $sum: 1 } }, null)]],
  ['$sum', groups({ n: { $sum: '$n' }, small: { $sum: '$small' }, whole: { $sum: '$whole' }, one: { $sum: 1 }, half: { $sum: 0.5 }, none: { $sum: '$none' }, count: { $count: {} } })],
  ['$sum of all', groups({ n: { $sum: '$n' }, small: { $sum: '$small' }, whole: { $sum: '$whole' } }, null)],
  ['$avg', groups({ n: { $avg: '$n' }, small: { $avg: '$small' }, whole: { $avg: '$whole' }, none: { $avg: '$none' } })],
  ['$stdDevPop, $stdDevSamp', [...groups({ p: { $stdDevPop: '$small' }, s: { $stdDevSamp: '$whole' }, none: { $stdDevPop: '$none' } }), { $set: { p: { $round: ['$p', 9] }, s: { $round: ['$s', 1] } } }]],
  ['$min, $max', groups({ least: { $min: '$whole' }, most: { $max: '$name' }, none: { $min: '$none' } }, '$name')],
  ['$group by a mixed number', [...groups({ n: { $sum: 1 } }, '$mixed'), { $set: { _id: { $toInt: '$_id' } } }, byId]],
  ['$group by a collation', [...groups({ n: { $sum: 1 } }, '$name'), { $set: { _id: { $toLower: '$_id' } } }], en],
  ['$group by an array', groups({ n: { $sum: 1 }, s: { $sum: '$small' } }, '$tags')],
  ['$group by a document', groups({ n: { $sum: '$whole' } }, { a: '$a', tags: '$tags', none: '$none' })],
  ['$push, $addToSet', [...groups({ all: { $push: '$whole' }, set: { $addToSet: '$name' }, none: { $push: '$none' } }), sorted('all'), sorted('set')]],
  ['$addToSet by a collation', [...groups({ set: { $addToSet: '$name' } }), { $set: { set: { $size: '$set' } } }], en],
  ['$minN, $maxN, $top, $bottom', groups({ few: { $minN: { n: 3, input: '$whole' } }, many: { $maxN: { n: 2, input: '$_id' } }, top: { $top: { sortBy: { 'by.day': -1 }, output: ['$_id', '$name'] } }, bottom: { $bottom: { sortBy: { tags: 1, _id: 1 }, output: '$none' } } })],
  ['$topN', groups({ top: { $topN: { n: 3, sortBy: { _id: -1 }, output: '$_id' } } })],
  ['$sort, $group with $first, $last, $push', [{ $sort: { whole: -1 } }, ...groups({ f: { $first: '$whole' }, l: { $last: '$$ROOT' }, p: { $push: '$_id' }, n: { $firstN: { n: 2, input: '$_id' } } })]],
  ['$sort, $group with $mergeObjects', [byId, ...groups({ m: { $mergeObjects: '$$ROOT' } })]],
  ['$group, $match, $sort, $limit', [...groups({ n: { $sum: '$whole' } }, '$customerId'), { $match: { n: { $gt: 0 } } }, { $sort: { n: -1, _id: 1 } }, { $limit: 7 }]],
  ['$group, $group', [...groups({ n: { $sum: 1 } }, '$customerId'), ...groups({ c: { $push: '$_id' } }, '$n'), sorted('c')]],
  ['$sortByCount', [{ $sortByCount: '$name' }, { $sort: { count: -1, _id: 1 } }]],
  ['$bucket', [{ $bucket: { groupBy: '$a', boundaries: [0, 2, 4], default: 'more', output: { n: { $sum: '$whole' } } } }]],
  ['$bucket that counts', [{ $bucket: { groupBy: '$a', boundaries: [0, 2, 99] } }]],
  ['$bucketAuto', [{ $bucketAuto: { groupBy: '$_id', buckets: 4 } }]],
  ['$facet', [{ $match: { a: { $gt: 1 } } }, { $facet: { page: [byId, { $limit: 3 }], all: [{ $count: 'n' }] } }]],
  ['$facet of nothing', [{ $match: { a: 99 } }, { $facet: { all: [{ $count: 'n' }] } }]],
  ['$setWindowFields', [{ $setWindowFields: { partitionBy: '$a', sortBy: { _id: 1 }, output: { s: { $sum: '$whole', window: { documents: ['unbounded', 'current'] } } } } }]],
  ['$fill, $densify', [{ $project: { _id: 1, a: { $mod: ['$_id', 2] }, v: { $cond: ['$a', '$a', null] } } }, { $fill: { sortBy: { _id: 1 }, output: { v: { method: 'locf' } } } }, { $densify: { field: '_id', range: { step: 1, bounds: [90, 100] } } }]],
  ['$unionWith documents', [{ $project: { _id: 1 } }, { $unionWith: { pipeline: [{ $documents: [{ _id: 'x' }] }] } }]],
  ['$lookup of documents', [{ $match: { a: 1 } }, { $lookup: { pipeline: [{ $documents: [{ x: 1 }] }], as: 'joined' } }]],
  ['let', [{ $match: { $expr: { $eq: ['$a', '$$x'] } } }, ...groups({ n: { $sum: '$$x' } }), { $set: { x: '$$x' } }], { let: { x: 3 } }],
  ['$sample of all', [{ $sample: { size: 1_000 } }, byId]],
  ['$sample, $count', [{ $sample: { size: 10 } }, { $count: 'n' }]],
  ['documents through a server', [{ $sort: { whole: -1 } }, { $limit: 90 }, { $match: { _id: { $gte: 0 } } }]],
  ['a hint, disk and a comment', [{ $match: { _id: { $gt: 50 } } }, ...groups({ n: { $sum: 1 } })], { hint: '_id_', allowDiskUse: true, comment: 'c', maxTimeMS: 60_000, batchSize: 2, readConcern: 'majority', readPreference: 'primaryPreferred' }],
]; // prettier-ignore

/** Wrong ones. */
const wrong: readonly (readonly [string, Document[]])[] = [
  ['an unknown stage', [{ $wrong: 1 }]],
  ['an unknown stage at the end', [{ $limit: 3 }, { $facet: { a: [] } }, { $wrong: 1 }]],
  ['an unknown accumulator', groups({ n: { $wrong: 1 } })],
  ['a limit of nothing', [{ $limit: 0 }]],
  ['a wrong sort', [{ $sort: { a: 2 } }]],
  ['a group without _id', [{ $group: { n: { $sum: 1 } } }]],
  ['a wrong filter', [{ $match: 5 }]],
  ['$geoNear in the middle', [byId, { $geoNear: { near: [1, 1], distanceField: 'd' } }]],
  ['a wrong bucket', [{ $bucket: { groupBy: '$a', boundaries: [2, 0] } }]],
  ['a division by nought', [{ $set: { x: { $divide: [1, '$a'] } } }]],
  ['two stages in one', [{ $match: {}, $limit: 1 }]],
  ['$documents', [{ $documents: [{ a: 1 }] }]],
];

const unpromoted = { promoteValues: false } as const;
type Readable = Pick<DroverCollection<Document>, 'aggregate'>;
const isInOrder = (pipeline: readonly Document[]) =>
  pipeline.findLastIndex((each) => '$sort' in each || '$geoNear' in each || '$bucket' in each) >
  pipeline.findLastIndex((each) => ['$group', '$facet', '$count', '$sample'].some((name) => name in each));

async function expectSame(pipeline: Document[], options?: AggregateOptions, label = JSON.stringify(pipeline)) {
  const of = async (on: Readable) => {
    const found = written(await on.aggregate(pipeline, { ...options, ...unpromoted } as never).toArray());
    return isInOrder(pipeline) ? found : found.sort();
  };
  const [routed, direct] = await Promise.all([of(orders), of(cluster.plain() as unknown as Readable)]);
  expect(routed, label).toEqual(direct);
  return routed;
}

async function inChunks(limits: MergeLimits, run: () => Promise<unknown>): Promise<void> {
  const usual = MergePart.limits;
  Object.assign(MergePart, { limits });
  try {
    await run();
  } finally {
    Object.assign(MergePart, { limits: usual });
  }
}

describe('a pipeline over documents of two nodes, one partition between them', () => {
  beforeEach(async () => {
    await handHalfOver(cluster);
  });

  it('gives what one server gives, types included', async () => {
    await spread(cluster, documents);
    const all = [cluster.stored('a'), cluster.stored('b'), cluster.stored('b', 'p1'), cluster.plain()];
    await Promise.all(all.map((each) => each.createIndexes([{ key: { pos: '2d' } }, { key: { words: 'text' } }])));
    for (const [what, pipeline, options] of pipelines) await expectSame(pipeline, options, what);
    await inChunks({ atOnceBytes: 500, chunkBytes: 400 }, async () => {
      const apart = pipelines.filter(([, pipeline]) => pipeline.some((each) => /group|limit|count/i.test(Object.keys(each)[0]!))); // prettier-ignore
      for (const [what, pipeline, options] of apart) await expectSame(pipeline, options, `in chunks: ${what}`);
    });
  });

  it('fails as one server does', async () => {
    await spread(cluster, documents);
    for (const [what, pipeline] of wrong) {
      const failure = (on: Readable) =>
        on.aggregate(pipeline).toArray().then(() => undefined, ({ name, code }: MongoServerError) => ({ name, code })); // prettier-ignore
      const direct = await failure(cluster.plain() as unknown as Readable);
      expect(direct, what).toBeDefined();
      expect(await failure(orders), what).toEqual(direct);
    }
  });

  const number = fc.oneof(
    fc.integer({ min: -50, max: 50 }),
    fc.integer({ min: 2 ** 30, max: 2 ** 31 - 1 }),
    fc.integer({ min: -9_999, max: 9_999 }).map((cents) => new Double(cents / 100)),
    fc.constantFrom(NaN, Infinity, new Double(-0), null, 'text', Decimal128.fromString('2.50')),
    fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n }).map((value) => Long.fromBigInt(value)),
  );
  const list = fc.oneof(
    fc.nat(3),
    fc.array(fc.oneof(fc.nat(3), fc.array(fc.nat(3), { maxLength: 2 }), fc.record({ x: fc.nat(3), y: fc.nat(3) }, { requiredKeys: [] })), { maxLength: 3 }),
  ); // prettier-ignore
  const randomDocuments = fc.uniqueArray(
    fc.record(
      { _id: fc.nat(999), customerId: fc.constantFrom(...keys), n: number, a: fc.nat(3), tags: fc.array(fc.constantFrom('x', 'y', 'z'), { maxLength: 3 }), list },
      { requiredKeys: ['_id', 'customerId', 'a'] },
    ),
    { selector: ({ _id }) => _id, maxLength: 40 },
  ); // prettier-ignore
  const sort = fc
    .tuple(fc.constantFrom('n', 'a', 'tags', 'customerId', 'list', 'list.x', '_id', 's'), fc.constantFrom(1, -1))
    .map(([name, direction]): Document => ({ $sort: { [name]: direction, ...(name === 'list.x' ? { 'list.y': 1 } : {}), _id: 1, ...(name.startsWith('list') ? {} : { tags: 1 }) } })); // prettier-ignore
  const window = fc.oneof(fc.record({ $limit: fc.integer({ min: 1, max: 25 }) }), fc.record({ $skip: fc.nat(9) }));
  const outputs: Document = {
    s: { $sum: '$n' },
    avg: { $avg: '$n' },
    c: { $sum: 1 },
    least: { $min: '$a' },
    most: { $max: '$customerId' },
    set: { $addToSet: '$a' },
  };
  const group = fc
    .tuple(fc.constantFrom(null, '$customerId', '$a', { a: '$a', t: '$tags' }), fc.subarray(Object.keys(outputs))) // prettier-ignore
    .map(([_id, names]) => [
      { $group: { _id, ...Object.fromEntries(names.map((name) => [name, outputs[name] as Document])) } },
      ...(names.includes('set') ? [sorted('set')] : []),
    ]);
  const inTurn = sort.map(({ $sort }): Document[] => [
    { $sort },
    { $group: { _id: '$a', f: { $first: '$_id' }, l: { $last: '$n' }, p: { $push: '$_id' } } },
  ]);
  // With an _id of its own for each, so that every sort has one result.
  const unwind = [
    { $unwind: { path: '$tags', includeArrayIndex: 'at' } },
    { $set: { _id: { of: '$_id', at: '$at' } } },
  ];
  const stages = fc.oneof(
    fc.record({ $match: fc.record({ a: fc.record({ $gt: fc.nat(2) }) }) }).map((each) => [each]),
    fc.constantFrom([{ $match: { customerId: lower[1] } }], [...unwind], [{ $set: { a: { $add: ['$a', 1] } } }]),
    fc.constantFrom([{ $project: { a: 1, n: 1, tags: 1, customerId: 1, s: 1 } }], [{ $count: 'a' }], [{ $sortByCount: '$a' }, byId]),
    sort.map((each) => [each]),
    fc.tuple(sort, fc.array(window, { minLength: 1, maxLength: 3 })).map(([first, windows]) => [first, ...windows]),
    group,
    inTurn,
  ); // prettier-ignore
  const randomPipeline = fc.array(stages, { minLength: 1, maxLength: 4 }).map((each) => each.flat() as Document[]);
  const tiny = { atOnceBytes: 200, chunkBytes: 150 };

  it('gives what one server gives, whatever the documents and the stages', async () => {
    const property = fc.asyncProperty(randomDocuments, fc.array(randomPipeline, { minLength: 12, maxLength: 12 }), async (some, all) => {
      await spread(cluster, some);
      for (const pipeline of all) {
        await expectSame(pipeline);
        await inChunks(tiny, () => expectSame(pipeline));
      }
    }); // prettier-ignore
    await fc.assert(property, { numRuns: 12, endOnFailure: true });
  });

  it('is refused, in words that help, where one server would have to take more than a command holds', async () => {
    const text = 'x'.repeat(1_000_000);
    await orders.insertMany(keys.slice(0, 18).map((customerId, i) => ({ customerId, text, i })));
    await expect(orders.aggregate([{ $bucketAuto: { groupBy: '$i', buckets: 2 } }]).toArray()).rejects.toMatchObject({
      code: 10334,
      message: expect.stringContaining('$bucketAuto has to see all'),
    });
    // What leaves the nodes is small; what passes through this process in chunks may be large.
    expect(await orders.aggregate([...groups({ n: { $max: { $strLenCP: '$text' } } }, null)]).toArray()).toEqual([
      { _id: null, n: 1_000_000 },
    ]);
    const large = [{ $sort: { i: 1 } }, { $skip: 1 }, { $match: { i: { $lt: 15 } } }, { $sort: { i: -1 } }];
    const found = await orders.aggregate<{ i: number }>(large).toArray();
    expect(found.map(({ i }) => i)).toEqual([14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
  });
});

describe('the cursor', () => {
  const pipeline = () => [{ $match: { a: { $lt: 4 } } }, { $sort: { whole: 1 } }];
  let ids: unknown[];

  beforeEach(async () => {
    await orders.insertMany(documents);
    ids = documents.filter(({ a }) => a < 4).map(({ _id }) => _id as unknown);
  });

  it('can do what the driver’s can', async () => {
    const cursor = orders.aggregate(pipeline(), { batchSize: 5 });
    expect((await cursor.next())?.['_id']).toBe(ids[0]);
    const copy = cursor.clone();
    cursor.rewind();
    expect((await cursor.toArray()).map(({ _id }) => _id as unknown)).toEqual(ids);
    const streamed: unknown[] = [];
    for await (const { _id } of copy.map((each) => ({ _id: each['_id'] as number })).stream()) streamed.push(_id);
    expect(streamed).toEqual(ids);
    const built = orders
      .aggregate()
      .match({ a: 1 })
      .addStage({ $set: { x: 1 } })
      .sort({ _id: -1 })
      .limit(2);
    expect(await built.project({ x: 1 }).toArray()).toEqual([92, 85].map((_id) => ({ _id, x: 1 })));
    const seen: unknown[] = [];
    for await (const { _id } of orders.aggregate(pipeline())) if (seen.push(_id) === 3) break;
    expect(seen).toEqual(ids.slice(0, 3));
    const openCursors = async () => {
      const states = ['a', 'b'].map((node) => cluster.db(node as 'a').command({ serverStatus: 1 }));
      return (await Promise.all(states)).reduce((sum, { metrics }) => sum + Number(metrics.cursor.open.total), 0);
    };
    const before = await openCursors();
    const closed = orders.aggregate(pipeline(), { batchSize: 2 });
    await closed.next();
    await closed.close();
    await until('all cursors to be closed', async () => (await openCursors()) === before);
  });

  it('gives values by the options of the request', async () => {
    const stages = [{ $group: { _id: '$a', n: { $sum: Long.fromNumber(1) } } }, byId, { $limit: 1 }];
    expect(await orders.aggregate(stages).toArray()).toEqual([{ _id: 0, n: 14 }]);
    expect(await orders.aggregate(stages, { promoteLongs: false }).toArray()).toEqual([{ _id: 0, n: Long.fromNumber(14) }]);
    expect(await orders.aggregate(stages, { useBigInt64: true }).toArray()).toEqual([{ _id: 0, n: 14n }]);
    expect((await orders.aggregate(stages, { raw: true }).toArray())[0]).toBeInstanceOf(Uint8Array);
  }); // prettier-ignore

  it('explains what runs where', async () => {
    const split = await orders.aggregate([{ $group: { _id: '$a' } }, { $limit: 3 }]).explain('queryPlanner');
    expect(Object.keys(split['shards'] as Document).sort()).toEqual(['a', 'b']);
    expect(split['splitPipeline']).toMatchObject({ shardsPart: [{ $group: { _id: '$a' } }, {}, {}] });
    const whole = await orders.aggregate([{ $match: { customerId: lower[0] } }]).explain();
    expect(whole).toHaveProperty('queryPlanner');
    expect(whole).not.toHaveProperty('shards');
  });

  it('reads in the session and the transaction of the request', async () => {
    const session = client.startSession();
    await session.withTransaction(async () => {
      await orders.insertOne({ customerId: lower[0], a: 50 }, { session });
      const inside = await orders.aggregate([{ $match: { customerId: lower[0], a: 50 } }], { session }).toArray();
      expect(inside).toHaveLength(1);
      expect(await orders.aggregate([{ $match: { a: 50 } }]).toArray()).toEqual([]);
    });
    expect(await orders.aggregate([{ $match: { a: 50 } }, { $count: 'n' }], { session }).toArray()).toEqual([{ n: 1 }]);
    await session.endSession();
  });

  it('draws every document of a sample with the same chance, however many are where', async () => {
    await orders.deleteMany({ customerId: { $in: upper.slice(3) } });
    const all = await orders.countDocuments();
    const above = await orders.countDocuments({ customerId: { $in: upper } });
    let drawn = 0;
    for (let i = 0; i < 60; i++) {
      const sample = await orders.aggregate([{ $sample: { size: 8 } }]).toArray();
      drawn += sample.filter(({ customerId }) => upper.includes(customerId as string)).length;
    }
    // Within five standard deviations.
    const [share, spreadOf] = [above / all, Math.sqrt(480 * (above / all) * (1 - above / all))];
    expect(Math.abs(drawn - 480 * share)).toBeLessThan(5 * spreadOf);
  });

  const refused: readonly (readonly [string, Document[]])[] = [
    ['$out', [{ $out: 'x' }]],
    ['$merge', [{ $merge: 'x' }]],
    ['$lookup', [{ $lookup: { from: 'x', as: 'y', pipeline: [] } }]],
    ['$graphLookup', [{ $graphLookup: { from: 'x' } }]],
    ['$unionWith', [{ $unionWith: 'x' }]],
    ['$unionWith', [{ $unionWith: { coll: 'x', pipeline: [] } }]],
    ['$changeStream', [{ $changeStream: {} }]],
    ['$lookup', [{ $facet: { a: [{ $lookup: { from: 'x', as: 'y' } }] } }]],
    ['$unionWith', [{ $unionWith: { pipeline: [{ $documents: [] }, { $unionWith: 'x' }] } }]],
    ['$search', [{ $search: {} }]],
  ];
  it('refuses what would read or write other collections, and says what to do instead', async () => {
    for (const [name, stages] of refused) {
      const error: unknown = await orders.aggregate(stages).toArray().catch((e: unknown) => e); // prettier-ignore
      expect(error, name).toBeInstanceOf(MongoInvalidArgumentError);
      expect((error as Error).message).toContain(name);
    }
    expect(() => orders.aggregate({} as never)).toThrow(MongoInvalidArgumentError);
    expect(() => orders.aggregate([], { readConcern: 'linearizable' })).toThrow(MongoInvalidArgumentError);
  });
});
