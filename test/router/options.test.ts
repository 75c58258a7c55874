import type { Document } from 'mongodb';
import { MongoError } from 'mongodb';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { DroverClient, DroverCollection } from '../../router/index.js';
import { handHalfOver, spread } from './aggregate-data.js';
import { keys, lower, useCluster } from './cluster.js';

const cluster = useCluster();
const customerId = lower[0]!;
const NAMES = ['Äpfel', 'apfel', 'Birne', 'birne'];
const documents: Document[] = keys.slice(0, 24).map((key, i) => ({
  ...{ _id: i, customerId: key, n: i % 6, name: NAMES[i % 4], tags: [{ t: i % 3 }, { t: 9 }] },
}));
let client: DroverClient;
let orders: DroverCollection<Document>;

beforeAll(async () => {
  client = await cluster.connect();
});
beforeEach(async () => {
  orders = cluster.orders(client);
  await handHalfOver(cluster);
  await spread(cluster, documents);
  for (const each of [cluster.stored('a'), cluster.stored('b'), cluster.stored('b', 'p1'), cluster.plain()]) {
    await each.createIndex({ n: 1 });
  }
});

type Request = (on: DroverCollection<Document>, of: Document) => Promise<unknown>;
type Cases = readonly (readonly [string, Request])[];
const loose = { collation: { locale: 'de', strength: 1 } } as const;
const by = { sort: { _id: 1 } } as const;
const hinted = { hint: { n: 1 } } as const;
const wrongly = { hint: 'missing' } as const;
const nowhere = { hint: { missing: 1 } } as const;
const before = { maxTimeMS: 60_000 } as const;
const variables = { let: { least: 3 } } as const;
const atLeast = { $expr: { $gte: ['$n', '$$least'] } } as const;
const same = { $expr: { $eq: ['$n', '$$least'] } } as const;
const metadata = { includeResultMetadata: true } as const;
const upsert = { upsert: true } as const;
const said = { comment: { by: 'a test' } } as const;
const add = { $inc: { n: 10 } } as const;
const inArrays = { arrayFilters: [{ 'each.t': 9 }] };
const setInArrays = { $set: { 'tags.$[each].seen': true } } as const;

const reads: Cases = [
  ['find, hinted', (on, of) => on.find(of, { ...by, ...hinted }).toArray()],
  ['find, hinted by what is not there', (on, of) => on.find(of, { ...by, ...wrongly }).toArray()],
  ['find, collated', (on, of) => on.find({ ...of, name: 'apfel' }, { ...by, ...loose }).toArray()],
  ['find, sorted by a collation', (on, of) => on.find(of, { ...loose, sort: { name: -1, _id: 1 } }).toArray()],
  ['find by a variable', (on, of) => on.find({ ...of, ...atLeast }, { ...by, ...variables, ...said, ...before }).toArray()],
  ['find by a variable that is not there', (on, of) => on.find({ ...of, ...atLeast }, by).toArray()],
  ['find, out of time', (on, of) => on.find({ ...of, $where: 'sleep(60) || true' }, { ...by, maxTimeMS: 20 }).toArray()],
  ['find with a projection', (on, of) => on.find(of, { ...by, projection: { tags: { $slice: 1 }, n: 1 } }).toArray()],
  ['find with an element', (on, of) => on.find({ ...of, 'tags.t': 9 }, { ...by, projection: { 'tags.$': 1 } }).toArray()],
  ['find with a mixed projection', (on, of) => on.find(of, { ...by, projection: { n: 1, name: 0 } }).toArray()],
  ['find without _id', (on, of) => on.find(of, { ...by, projection: { _id: 0, customerId: 0 } }).toArray()],
  ['find within an index', (on, of) => on.find(of, { sort: { n: 1, _id: 1 }, ...hinted, min: { n: 1 }, max: { n: 4 } }).toArray()],
  ['find within an index that is not named', (on, of) => on.find(of, { ...by, min: { n: 1 }, max: { n: 4 } }).toArray()],
  ['find on disk', (on, of) => on.find(of, { ...by, allowDiskUse: true, noCursorTimeout: false, batchSize: 2 }).toArray()],
  ['find, less than nothing left out', (on, of) => on.find(of, { ...by, skip: -1 }).toArray()],
  ['find, tailing', (on, of) => on.find(of, { tailable: true }).toArray()],
  ['find with a wrong read concern', (on, of) => on.find(of, { ...by, readConcern: { level: 'wrong' as never } }).toArray()],
  ['findOne, hinted', (on, of) => on.findOne(of, { ...by, ...hinted, ...before, ...said })],
  ['findOne, hinted by what is not there', (on, of) => on.findOne(of, { ...by, ...wrongly })],
  ['findOne, collated', (on, of) => on.findOne({ ...of, name: 'APFEL' }, { ...by, ...loose })],
  ['findOne by a variable', (on, of) => on.findOne({ ...of, ...atLeast }, { ...by, ...variables })],
  ['findOne with a projection', (on, of) => on.findOne(of, { ...by, projection: { name: 1, _id: 0 } })],
  ['findOne, some left out', (on, of) => on.findOne(of, { ...by, skip: 2 })],
  ['countDocuments, hinted', (on, of) => on.countDocuments(of, { ...hinted, ...before, ...said })],
  ['countDocuments, hinted by what is not there', (on, of) => on.countDocuments(of, wrongly)],
  ['countDocuments, collated', (on, of) => on.countDocuments({ ...of, name: 'apfel' }, loose)],
  ['countDocuments within limits', (on, of) => on.countDocuments(of, { skip: 1, limit: 3 })],
  ['countDocuments of none', (on, of) => on.countDocuments(of, { limit: 0 })],
  ['distinct, collated', (on, of) => on.distinct('name', of, { ...before, ...said, collation: { locale: 'de', strength: 3 } })],
  ['distinct within arrays', (on, of) => on.distinct('tags.t', of)],
  ['distinct of a malformed filter', (on) => on.distinct('n', { n: { $wrong: 1 } })],
  ['aggregate, hinted', (on, of) => on.aggregate([{ $match: of }, { $sort: { _id: 1 } }], { ...hinted, ...before, ...said }).toArray()],
  ['aggregate, hinted by what is not there', (on, of) => on.aggregate([{ $match: of }], wrongly).toArray()],
  ['aggregate, collated', (on, of) => on.aggregate([{ $match: { ...of, name: 'APFEL' } }, { $sort: { _id: 1 } }], loose).toArray()],
  ['aggregate, grouped by a collation', (on, of) => on.aggregate([{ $match: of }, { $group: { _id: '$name', n: { $sum: 1 } } }, { $project: { _id: { $toLower: '$_id' }, n: 1 } }, { $sort: { n: 1, _id: 1 } }], { collation: { locale: 'de', strength: 3 } }).toArray()],
  ['aggregate by a variable', (on, of) => on.aggregate([{ $match: { ...of, ...atLeast } }, { $set: { least: '$$least' } }, { $sort: { _id: 1 } }], variables).toArray()],
  ['aggregate, out of time', (on, of) => on.aggregate([{ $match: { ...of, $where: 'sleep(60) || true' } }], { maxTimeMS: 20 }).toArray()],
  ['aggregate on disk', (on, of) => on.aggregate([{ $match: of }, { $sort: { n: -1, _id: 1 } }], { allowDiskUse: true, batchSize: 2, bypassDocumentValidation: false }).toArray()],
  ['aggregate of an unknown stage', (on) => on.aggregate([{ $wrong: {} }]).toArray()],
]; // prettier-ignore

const writes: Cases = [
  ['updateOne, hinted', (on, of) => on.updateOne({ ...of, _id: 2 as never }, add, { ...hinted, ...said })],
  ['updateOne, hinted by what is not there', (on, of) => on.updateOne({ ...of, _id: 2 as never }, add, wrongly)],
  ['updateOne, collated', (on, of) => on.updateOne({ ...of, _id: 1 as never, name: 'APFEL' }, add, loose)],
  ['updateOne by a variable', (on, of) => on.updateOne({ ...of, _id: 3 as never, ...same }, [{ $set: { was: '$$least' } }], variables)],
  ['updateOne in arrays', (on, of) => on.updateOne({ ...of, _id: 2 as never }, setInArrays, inArrays)],
  ['updateOne in arrays without a filter', (on, of) => on.updateOne({ ...of, _id: 2 as never }, setInArrays)],
  ['updateOne with a filter for nothing', (on, of) => on.updateOne({ ...of, _id: 2 as never }, add, inArrays)],
  ['updateOne, by no operator', (on, of) => on.updateOne({ ...of, _id: 2 as never }, { n: 1 })],
  ['updateOne or insert, collated', (on) => on.updateOne({ _id: 90 as never, customerId: 7, name: 'x' }, add, { ...upsert, ...loose })],
  ['updateOne or insert what is there', (on) => on.updateOne({ _id: 2 as never, customerId: documents[2]!['customerId'] }, { $setOnInsert: { m: 1 }, ...add }, upsert)],
  ['updateMany, hinted', (on, of) => on.updateMany(of, add, { ...hinted, ...said })],
  ['updateMany, hinted by what is not there', (on, of) => on.updateMany(of, add, wrongly)],
  ['updateMany, collated', (on, of) => on.updateMany({ ...of, name: 'APFEL' }, add, loose)],
  ['updateMany by a variable', (on, of) => on.updateMany({ ...of, ...atLeast }, [{ $set: { was: '$$least' } }], variables)],
  ['updateMany in arrays', (on, of) => on.updateMany(of, setInArrays, inArrays)],
  ['replaceOne, hinted', (on, of) => on.replaceOne({ ...of, _id: 2 as never }, { ...documents[2], r: 1 }, { ...hinted, ...said })],
  ['replaceOne, collated', (on, of) => on.replaceOne({ ...of, _id: 1 as never, name: 'APFEL' }, { ...documents[1], r: 1 }, loose)],
  ['replaceOne by a variable', (on, of) => on.replaceOne({ ...of, _id: 3 as never, ...same }, { customerId: documents[3]!['customerId'], ...(typeof of['customerId'] === 'string' ? of : {}), r: 1 }, variables)],
  ['replaceOne by an operator', (on, of) => on.replaceOne({ ...of, _id: 2 as never }, add)],
  ['findOneAndUpdate, hinted', (on, of) => on.findOneAndUpdate(of, add, { ...by, ...hinted, ...before, ...said })],
  ['findOneAndUpdate, hinted by what is not there', (on, of) => on.findOneAndUpdate(of, add, { ...by, ...nowhere })],
  ['findOneAndUpdate, collated', (on, of) => on.findOneAndUpdate({ ...of, name: 'apfel' }, add, { ...by, ...loose, returnDocument: 'after' })],
  ['findOneAndUpdate by a variable', (on, of) => on.findOneAndUpdate({ ...of, ...atLeast }, [{ $set: { was: '$$least' } }], { ...by, ...variables, ...metadata })],
  ['findOneAndUpdate in arrays', (on, of) => on.findOneAndUpdate(of, setInArrays, { ...by, ...inArrays, returnDocument: 'after' })],
  ['findOneAndUpdate with fields', (on, of) => on.findOneAndUpdate(of, add, { ...by, projection: { n: 1, _id: 0 }, ...metadata })],
  ['findOneAndReplace, collated', (on, of) => on.findOneAndReplace({ ...of, _id: 1 as never, name: 'APFEL' }, { customerId: documents[1]!['customerId'], r: 1 }, { ...loose, ...said, returnDocument: 'after' })],
  ['findOneAndReplace, hinted', (on, of) => on.findOneAndReplace({ ...of, _id: 2 as never }, { customerId: documents[2]!['customerId'], r: 1 }, { ...hinted, ...metadata })],
  ['findOneAndDelete, hinted', (on, of) => on.findOneAndDelete(of, { ...by, ...hinted, ...before, ...said })],
  ['findOneAndDelete, hinted by what is not there', (on, of) => on.findOneAndDelete(of, { ...by, ...nowhere })],
  ['findOneAndDelete, collated', (on, of) => on.findOneAndDelete({ ...of, name: 'apfel' }, { ...by, ...loose, ...metadata })],
  ['findOneAndDelete by a variable', (on, of) => on.findOneAndDelete({ ...of, ...atLeast }, { ...by, ...variables, projection: { n: 1 } })],
  ['deleteOne by a variable', (on, of) => on.deleteOne({ ...of, _id: 3 as never, ...same }, { ...variables, ...said })],
  ['deleteOne, collated', (on, of) => on.deleteOne({ ...of, _id: 1 as never, name: 'APFEL' }, loose)],
  ['deleteMany, hinted', (on, of) => on.deleteMany(of, { ...hinted, ...said })],
  ['deleteMany, hinted by what is not there', (on, of) => on.deleteMany(of, wrongly)],
  ['deleteMany, collated', (on, of) => on.deleteMany({ ...of, name: 'APFEL' }, loose)],
  ['deleteMany by a variable', (on, of) => on.deleteMany({ ...of, ...atLeast }, variables)],
  ['deleteMany of a malformed filter', (on, of) => on.deleteMany({ ...of, n: { $wrong: 1 } })],
  ['insertOne with a comment', (on) => on.insertOne({ _id: 90 as never, customerId }, said)],
  ['insertOne of what is there', (on) => on.insertOne({ ...documents[2] })],
]; // prettier-ignore

/** What a caller can see, but for the names of collections. */
async function seen(request: Promise<unknown>): Promise<unknown> {
  try {
    return visible(await request);
  } catch (error) {
    if (!(error instanceof MongoError)) throw error;
    return { type: error.constructor.name, code: error.code, labels: error.errorLabels };
  }
}

/** Times differ, and so does what a server adds of its own. */
function visible(result: unknown): unknown {
  if (result === null || typeof result !== 'object' || !('lastErrorObject' in result)) return result;
  const { value, lastErrorObject, ok } = result as Document;
  return { value, lastErrorObject, ok };
}

describe.each([
  ['by all keys', {}],
  ['by several keys', { customerId: { $in: keys.slice(0, 12) } }],
  ['by one key', { customerId: documents[2]!['customerId'] }],
])('%s, on two nodes, with any option, answers are those of the driver on one:', (_what, of) => {
  it('reads', async () => {
    for (const [name, request] of reads) {
      const plain = cluster.plain() as unknown as DroverCollection<Document>;
      const [routed, direct] = await Promise.all([seen(request(orders, of)), seen(request(plain, of))]);
      expect.soft(routed, name).toEqual(direct);
    }
  });

  it('writes', async () => {
    const plain = cluster.plain() as unknown as DroverCollection<Document>;
    for (const [name, request] of writes) {
      const [routed, direct] = [await seen(request(orders, of)), await seen(request(plain, of))];
      expect.soft(routed, name).toEqual(direct);
      expect.soft(await orders.find({}, by).toArray(), name).toEqual(await plain.find({}, by).toArray());
      await orders.deleteMany({});
      await plain.deleteMany({});
      await Promise.all([orders, plain].map((on) => on.insertMany(structuredClone(documents) as never)));
    }
  });
});

describe('a plan', () => {
  it('of one key is that of its node, of more it names them', async () => {
    const shape = (plan: Document) => Object.keys(plan).filter((name) => name !== 'ok').sort(); // prettier-ignore
    for (const verbosity of ['queryPlanner', 'executionStats'] as const) {
      const one = { customerId };
      const [routed, direct] = await Promise.all([
        orders.find(one).explain(verbosity),
        cluster.plain().find(one).explain(verbosity),
      ]);
      expect(shape(routed)).toEqual(shape(direct));
      const all = await orders.find({}).explain(verbosity);
      expect(all['queryPlanner'].winningPlan.shards.length).toBeGreaterThan(1);
      expect(all['executionStats']?.nReturned).toBe(verbosity === 'executionStats' ? documents.length : undefined);
      const grouped = await orders.aggregate([{ $group: { _id: '$n' } }]).explain(verbosity);
      expect(Object.keys(grouped['shards'] as Document).length).toBeGreaterThan(1);
    }
    const element = { projection: { 'tags.$': 1 }, sort: { _id: 1 }, limit: 50 } as const;
    const [routed, direct] = await Promise.all(
      [orders, cluster.plain()].map((on) => on.find({ 'tags.t': 9 }, element).explain('executionStats')),
    );
    expect(routed!['executionStats'].nReturned).toBe(direct!['executionStats'].nReturned);
    await expect(orders.find({}).explain('wrong' as never)).rejects.toMatchObject({ code: 2 });
  });
});
