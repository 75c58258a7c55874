import fc from 'fast-check';
import type { Document } from 'mongodb';
import { Decimal128, MongoServerError, Timestamp } from 'mongodb';
import { describe, expect, it } from 'vitest';
import { shapeOf, shapeText } from '../../domain/query-shape.js';
import type { CountedQuery } from '../../store/catalog/query-shapes.js';
import { requestOf } from '../../store/command-request.js';
import { TOUCH_FIELD } from '../../store/fenced-collection.js';
import type { StatisticsPart } from '../../store/query-statistics.js';
import { readingOf, refusalOf } from '../../store/query-statistics.js';

/*
 * Replies have the form that MongoDB's manual shows (`$queryStats (aggregation)`, examples) and that its own tests expect:
 * `jstests/libs/query/query_stats_utils.js` for metrics, `src/mongo/db/query/query_shape/*_test.cpp` for shapes.
 */
interface Told {
  readonly shape?: Document;
  readonly application?: string;
  readonly operations?: number;
  readonly keys?: number;
  readonly docs?: number;
  readonly returned?: number;
  readonly sorts?: number;
  readonly micros?: number;
  readonly firstSeen?: Date;
  readonly latestSeen?: Date;
}

const at = (time: string): Date => new Date(`2026-01-02T${time}Z`);
const sums = (sum: number) => ({ sum, max: sum, min: sum, sumOfSquares: Decimal128.fromString(String(sum * sum)) });

/** As released servers tell it. */
function entry(told: Told = {}): Document {
  const { shape = { command: 'find', filter: { item: { $eq: '?string' } } }, application = 'shop' } = told;
  const { operations = 1, keys = 1, docs = 1, returned = 1, sorts = 0, micros = 1_000 } = told;
  const { firstSeen = at('08:00:00'), latestSeen = at('10:30:00') } = told;
  return {
    key: {
      queryShape: { cmdNs: { db: 'shop', coll: 'orders.p0' }, ...shape },
      client: { driver: { name: 'nodejs', version: '5.1.0' }, application: { name: application } },
      collectionType: 'collection',
    },
    keyHash: 'dsoJ',
    queryShapeHash: 'uxML',
    metrics: {
      lastExecutionMicros: micros,
      execCount: operations,
      totalExecMicros: sums(micros),
      firstResponseExecMicros: sums(micros),
      docsReturned: sums(returned),
      keysExamined: sums(keys),
      docsExamined: sums(docs),
      hasSortStage: { true: sorts, false: operations - sorts },
      usedDisk: { true: 0, false: operations },
      firstSeenTimestamp: firstSeen,
      latestSeenTimestamp: latestSeen,
    },
    asOf: new Timestamp({ t: 1_694_695_007, i: 0 }),
  };
}

/** The same in the sections of newer servers, which count writes, too. */
function inSections({ metrics, ...rest }: Document, writes: Document = {}): Document {
  const { docsReturned, keysExamined, docsExamined, hasSortStage, usedDisk, ...others } = metrics as Document;
  const queryExec = { docsReturned, keysExamined, docsExamined };
  return { ...rest, metrics: { ...others, queryExec, queryPlanner: { hasSortStage, usedDisk }, writes } };
}

const PART: StatisticsPart = {
  database: 'shop',
  collections: new Map([['orders.p0', 'p0']]),
  from: undefined,
  counted: null,
};
const usesOf = (entries: readonly Document[], part: Partial<StatisticsPart> = {}) =>
  readingOf(entries, { ...PART, ...part }).shapes.map(({ use }) => use);

describe("a server's own statistics of queries", () => {
  it('tell operations, what they examined and over which time', () => {
    const told = { operations: 4, keys: 40, docs: 30, returned: 20, sorts: 3, micros: 5_600 };
    const figures = { operations: 4, keysExamined: 40, docsExamined: 30, returned: 20, sorts: 3, millis: 5 };
    const reading = readingOf([entry(told)], PART);
    expect(reading.shapes).toEqual([
      {
        ...{ hour: at('10:00:00'), since: at('08:00:00'), partition: 'p0' },
        shape: shapeOf({ operation: 'find', filter: { item: 'x' } }),
        use: { ...figures, collectionScans: 0 },
      },
    ]);
    expect(reading.statistics).toEqual({ state: 'read', reason: null, since: at('08:00:00') });
    expect([...reading.commands]).toEqual(['find']);
    expect(usesOf([inSections(entry(told))])).toEqual(reading.shapes.map(({ use }) => use));
  });

  it('tell of writes what they changed', () => {
    const update = { command: 'update', q: { x: { $eq: '?number' } }, u: { $set: { a: '?number' } }, multi: true };
    const writes = { nMatched: sums(7), nModified: sums(6), nDeleted: sums(0) };
    expect(usesOf([inSections(entry({ shape: update, returned: 0 }), writes)])).toMatchObject([{ returned: 7 }]);
  });

  it('have read the whole collection where documents were read and no key', () => {
    const [scan, covered] = usesOf([entry({ operations: 3, keys: 0, docs: 90 }), entry({ operations: 3, docs: 0 })]);
    expect([scan!.collectionScans, covered!.collectionScans]).toEqual([3, 0]);
  });

  it('count each operation once', () => {
    const first = readingOf([entry({ operations: 5, docs: 50 })], PART);
    const before = { from: at('11:00:00'), counted: first.counted };
    expect(usesOf([entry({ operations: 5, docs: 50 })], before)).toEqual([]);
    const more = readingOf([entry({ operations: 7, docs: 90, latestSeen: at('12:10:00') })], { ...PART, ...before });
    expect(more.shapes).toMatchObject([
      { hour: at('12:00:00'), since: at('11:00:00'), use: { operations: 2, docsExamined: 40 } },
    ]);
    // Restarted, or dropped and come again.
    const anew = entry({ operations: 6, docs: 60, firstSeen: at('11:30:00') });
    expect(usesOf([anew], before)).toMatchObject([{ operations: 6, docsExamined: 60 }]);
  });

  it('only are remembered where what they counted may have been counted already', () => {
    const from = at('11:00:00');
    // The profiler was read until now; another member has become the primary; the entry was left out.
    for (const counted of [null, [], [{ ...readingOf([entry()], PART).counted![0]!, firstSeen: at('07:00:00') }]]) {
      const reading = readingOf([entry({ operations: 5 })], { ...PART, from, counted });
      expect(reading).toMatchObject({ shapes: [], counted: [{ total: { operations: 5 } }] });
      expect([...reading.commands]).toEqual(counted === null ? [] : ['find']);
    }
  });

  it('add up to what was done, whenever they are read, but for what was dropped unread', () => {
    const steps = fc.array(
      fc.oneof(
        fc.record({ kind: fc.constant('run' as const), times: fc.integer({ min: 1, max: 5 }) }),
        fc.constantFrom({ kind: 'read' as const }, { kind: 'drop' as const }),
      ),
    );
    fc.assert(
      fc.property(steps, (all) => {
        let [time, total, unread, done, lost, counted] = [0, 0, 0, 0, 0, 0];
        let firstSeen = new Date(0);
        let position: { from: Date; counted: readonly CountedQuery[] | null } | undefined;
        const read = () => {
          const entries = total === 0 ? [] : [entry({ operations: total, firstSeen, latestSeen: new Date(time) })];
          const reading = readingOf(entries, { ...PART, ...position });
          counted += reading.shapes.reduce((sum, { use }) => sum + use.operations, 0);
          position = { from: new Date(time), counted: reading.counted };
          unread = 0;
        };
        for (const step of all) {
          time += 1;
          if (step.kind === 'read') read();
          else if (step.kind === 'drop') [lost, total, unread] = [lost + unread, 0, 0];
          else {
            if (total === 0) firstSeen = new Date(time);
            [total, unread, done] = [total + step.times, unread + step.times, done + step.times];
          }
        }
        time += 1;
        read();
        expect(counted).toBe(done - lost);
      }),
    );
  });

  it("leave Drover's own queries out", () => {
    expect(usesOf([entry({ application: 'drover' })])).toEqual([]);
    expect(usesOf([entry({ application: 'drover-router/eu' })])).toHaveLength(1);
  });

  it('are not used where they do not tell what was examined', () => {
    const { metrics, ...rest } = entry();
    const { keysExamined: _, docsExamined: __, hasSortStage: ___, ...older } = metrics as Document;
    const { statistics, shapes, commands } = readingOf([{ ...rest, metrics: older }], PART);
    expect(statistics).toMatchObject({
      state: 'without figures',
      reason: expect.stringContaining('examined') as string,
    });
    expect([shapes.length, commands.size]).toEqual([0, 0]);
    expect(readingOf([], PART).statistics.state).toBe('empty');
  });

  it.each([
    [40_324, 'absent'],
    [224, 'off'],
    [13, 'not allowed'],
    [50, 'failed'],
  ])('that are refused with %i are %s', (code, state) => {
    const { statistics, commands } = refusalOf(new MongoServerError({ message: 'no', code }));
    expect(statistics).toMatchObject({ state, reason: expect.stringContaining('$queryStats') as string });
    expect(commands.size).toBe(0);
  });

  const touch = { [TOUCH_FIELD]: { $eq: '?objectId' } };
  it.each<[shape: Document, command: Document]>([
    [
      {
        command: 'find',
        filter: { $and: [{ a: { $eq: '?number' } }, { b: { $gte: '?date' } }, { b: { $lt: '?date' } }] },
      },
      { find: 'c', filter: { b: { $gte: 1, $lt: 2 }, a: 5 } },
    ],
    [
      { command: 'find', filter: { a: { $in: '?array<?number>' } }, sort: { 'x.y': -1, z: 1 }, limit: '?number' },
      { find: 'c', filter: { a: { $in: [1, 2] } }, sort: { 'x.y': -1, z: 1 } },
    ],
    [
      { command: 'find', filter: {}, projection: { e: true, f: { g: true }, _id: true } },
      { find: 'c', projection: { 'f.g': 1, e: 1 } },
    ],
    [
      { command: 'find', filter: {}, projection: { e: false, _id: true } },
      { find: 'c', projection: { e: 0 } },
    ],
    [
      { command: 'find', filter: {}, projection: { _id: true } },
      { find: 'c', projection: { _id: 1 } },
    ],
    [
      {
        command: 'find',
        filter: {
          $and: [
            { a: { $not: { $eq: '?number' } } },
            { b: { $not: { $in: '?array<?string>' } } },
            { c: { $not: { $exists: '?bool' } } },
            { d: { $not: { $gt: '?number' } } },
          ],
        },
      },
      { find: 'c', filter: { a: { $ne: 1 }, b: { $nin: ['x'] }, c: { $exists: false }, d: { $not: { $gt: 1 } } } },
    ],
    [
      {
        command: 'find',
        filter: { $or: [{ a: { $regex: '?string', $options: '?string' } }, { b: { $not: { $eq: '?null' } } }] },
      },
      { find: 'c', filter: { $or: [{ a: /x/i }, { b: { $ne: null } }] } },
    ],
    [
      {
        command: 'find',
        filter: { a: { $elemMatch: { $and: [{ b: { $eq: '?number' } }, { c: { $gt: '?number' } }] } } },
      },
      { find: 'c', filter: { a: { $elemMatch: { b: 5, c: { $gt: 1 } } } } },
    ],
    [
      { command: 'count', query: { x: { $lte: '?number' } } },
      { count: 'c', query: { x: { $lte: 10 } } },
    ],
    [
      { command: 'distinct', key: 'x', query: { x: { $not: { $eq: '?number' } } } },
      { distinct: 'c', key: 'x', query: { x: { $ne: 0 } } },
    ],
    [
      {
        command: 'aggregate',
        pipeline: [
          { $match: { $and: [{ x: { $eq: '?number' } }, { y: { $not: { $eq: '?number' } } }] } },
          { $group: { _id: '$y', z: { $max: '$z' } } },
        ],
      },
      { aggregate: 'c', pipeline: [{ $match: { x: 3, y: { $ne: 3 } } }, { $group: { _id: '$y', z: { $max: '$z' } } }] },
    ],
    [
      {
        command: 'aggregate',
        pipeline: [{ $match: { x: { $eq: '?number' } } }, { $group: { _id: '?number', n: { $sum: '?number' } } }],
      },
      { count: 'c', query: { x: 1 } },
    ],
    [
      { command: 'update', q: { x: { $eq: '?number' } }, u: { $set: { tags: '?array<?string>', 'i.p': '?string' } } },
      { update: 'c', q: { x: 1 }, u: { $set: { 'i.p': 'x', tags: ['y'] } } },
    ],
    [
      { command: 'update', q: { x: { $eq: '?number' } }, u: '?object', multi: false },
      { update: 'c', q: { x: 1 }, u: { a: 1 } },
    ],
    [
      { command: 'update', q: { x: { $eq: '?number' } }, u: [{ $set: { foo: '?string' } }] },
      { update: 'c', q: { x: 1 }, u: [{ $set: { foo: 'bar' } }] },
    ],
    [
      { command: 'delete', q: { $and: [{ age: { $gt: '?number' } }, { status: { $eq: '?string' } }] }, limit: 0 },
      { delete: 'c', q: { age: { $gt: 18 }, status: 'active' } },
    ],
    [
      {
        command: 'update',
        q: { $and: [{ x: { $eq: '?number' } }, { [TOUCH_FIELD]: { $not: { $exists: '?bool' } } }] },
        u: { $set: { [TOUCH_FIELD]: '?objectId' } },
      },
      { delete: 'c', q: { x: 1 } },
    ],
  ])('have the shapes of applications: %j', (shape, command) => {
    const [told] = readingOf([entry({ shape })], PART).shapes;
    const asked = requestOf(Object.keys(command)[0]!, command);
    expect(shapeText(told!.shape)).toBe(shapeText(shapeOf(asked!)));
  });

  it('do not count what a router has touched a second time when it goes', () => {
    const shape = { command: 'delete', q: { $and: [{ x: { $eq: '?number' } }, touch] }, limit: 1 };
    expect(usesOf([entry({ shape })])).toEqual([]);
  });

  it('are kept without names that look like data, and without the names of applications', () => {
    const shape = { command: 'find', filter: { 'by.4711-0815': { $eq: '?string' } }, sort: { 'x@y.org': 1 } };
    const reading = readingOf([entry({ shape, application: 'secret' })], PART);
    expect(JSON.stringify({ shapes: reading.shapes, counted: reading.counted })).not.toMatch(/4711|@|secret|\?string/);
  });
});
