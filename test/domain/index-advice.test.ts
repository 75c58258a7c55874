import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { KnownIndex, ShapeUse } from '../../domain/index-advice.js';
import { indexAdvice } from '../../domain/index-advice.js';
import type { IndexKey } from '../../domain/index-key.js';
import { fitOf, idealKey } from '../../domain/index-key.js';
import { shapeOf } from '../../domain/query-shape.js';

const KEY = 'customerId';
const index = (name: string, key: IndexKey, more: Partial<KnownIndex> = {}): KnownIndex => ({
  ...{ name, key, unique: false, limited: false },
  ...more,
});
const ID = index('_id_', [['_id', 1]]);
const HASHED = index('key', [[KEY, 'hashed']]);

const use = (filter: object, requests: number, more: Partial<ShapeUse> & { sort?: object } = {}): ShapeUse => {
  const { sort, ...others } = more;
  return { shape: shapeOf({ operation: 'find', filter, sort }), requests, ...others };
};
const profiled = (operations: number, more: object) => ({
  ...{ operations, keysExamined: 0, docsExamined: 0, returned: 0, collectionScans: 0, sorts: 0, millis: 0 },
  ...more,
});

const paths = ['a', 'b', 'c', KEY] as const;
const shape = fc
  .record({
    filter: fc.dictionary(fc.constantFrom(...paths), fc.constantFrom(1, { $gt: 1 }, { $in: [1] }, { $ne: 1 })),
    sort: fc.dictionary(fc.constantFrom(...paths), fc.constantFrom(1, -1), { maxKeys: 2 }),
  })
  .map(({ filter, sort }) => shapeOf({ operation: 'find', filter, sort }));

describe('the best index for a shape', () => {
  it('has equality, sort and range in this order, the partition key first', () => {
    const { filter, sort } = use({ total: { $gt: 1 }, status: 'x', [KEY]: 1 }, 1, { sort: { at: -1 } }).shape;
    expect(idealKey({ filter, sort }, KEY)).toEqual([
      [KEY, 1],
      ['status', 1],
      ['at', -1],
      ['total', 1],
    ]);
  });

  it('serves the shape that it is for, and none serves it better', () => {
    fc.assert(
      fc.property(shape, (each) => {
        const key = idealKey(each, KEY);
        const isAny = each.sort.length > 0 || each.filter.some(({ operators }) => operators.some((o) => o !== '$ne'));
        expect(key !== undefined).toBe(isAny);
        if (key === undefined) return;
        const fit = fitOf(key, each)!;
        expect(fit.equalities).toBe(
          each.filter.filter(({ operators }) => operators.some((o) => o === '$eq' || o === '$in')).length,
        );
        expect(fit.isSorted).toBe(true);
      }),
    );
  });

  it('is none on fields whose names look like data', () => {
    expect(idealKey(use({ 'byDay.2026-01-01': 1 }, 1).shape, KEY)).toBeUndefined();
  });

  it.each([
    [[['a', 1]], { a: 1 }, {}, true],
    [[['a', 1]], { b: 1 }, {}, false],
    [[['a', 1]], { a: { $ne: 1 } }, {}, false],
    [[['a', 'hashed']], { a: 1 }, {}, true],
    [[['a', 'hashed']], { a: { $gt: 1 } }, {}, false],
    [[['a', -1]], {}, { a: 1 }, true],
    [
      [
        ['a', 1],
        ['b', 1],
      ],
      {},
      { a: 1, b: -1 },
      false,
    ],
    [[['a', 'text']], { a: 1 }, {}, false],
  ] as const)('%j is of use for %j %j: %s', (key, filter, sort, isOfUse) => {
    expect(fitOf(key, use(filter, 1, { sort }).shape) !== undefined).toBe(isOfUse);
  });
});

describe('advice on indexes', () => {
  it('builds first what the most requests need, and unique ones before all', () => {
    const indexes = [
      index('email', [['email', 1]], { unique: true }),
      index('rare', [['rare', 1]], { uses: 2 }),
      index(
        'status',
        [
          ['status', 1],
          ['at', 1],
        ],
        { uses: 40 },
      ),
      index('never', [['never', 1]], { uses: 0, since: new Date('2026-01-01') }),
      ID,
      HASHED,
    ];
    const uses = [use({ [KEY]: 1 }, 900), use({ status: 1 }, 90), use({ _id: 1 }, 10)];
    const { first, unused, missing } = indexAdvice(uses, indexes, KEY);
    expect(first.map(({ name }) => name)).toEqual(['email', 'key', 'status', '_id_', 'rare']);
    expect(first[1]).toMatchObject({ requests: 900, share: 0.9 });
    expect(unused.map(({ name, reason }) => [name, reason])).toEqual([
      ['never', '0 of 1000 requests need it; the server has used it 0 times since 2026-01-01'],
    ]);
    expect(missing).toEqual([]);
  });

  it('names an index for what none serves, one for all that have its beginning in common', () => {
    const uses = [
      use({ status: 1 }, 50),
      use({ status: 1 }, 30, { sort: { at: -1 } }),
      use({ [KEY]: 1 }, 900),
      use({ x: 1 }, 1),
    ];
    const { missing } = indexAdvice(uses, [ID, HASHED], KEY);
    expect(missing).toHaveLength(1);
    expect(missing[0]).toMatchObject({
      key: [
        ['status', 1],
        ['at', -1],
      ],
      requests: 80,
    });
    expect(missing[0]!.reason).toMatch(/no index serves find \{status: \$eq\}: its 50 requests/);
  });

  it('believes the profiler more than the shape', () => {
    const sorted = use({ [KEY]: 1 }, 100, {
      sort: { at: -1 },
      profiled: profiled(10, { docsExamined: 5_000, returned: 100, sorts: 10 }),
    });
    expect(indexAdvice([sorted], [ID, HASHED], KEY).missing[0]).toMatchObject({
      key: [
        [KEY, 1],
        ['at', -1],
      ],
      reason: '10 profiled operations examined 50 documents for each one that they were about',
    });
    const scanned = use({ $expr: 1, a: { $regex: 'x' } }, 9, { profiled: profiled(9, { collectionScans: 8 }) });
    expect(indexAdvice([scanned], [ID], KEY).missing[0]!.reason).toMatch(/8 of 9 profiled operations read the whole/);
    const cheap = use({ unknown: 1 }, 9, { profiled: profiled(9, { docsExamined: 9, returned: 9 }) });
    expect(indexAdvice([cheap], [ID], KEY).missing).toEqual([]);
  });

  it('looks at each branch of an alternative by itself', () => {
    const either = use({ $or: [{ a: 1 }, { b: 1 }] }, 10);
    const { first, missing } = indexAdvice([either], [index('a', [['a', 1]])], KEY);
    expect(first.map(({ name }) => name)).toEqual(['a']);
    expect(missing.map(({ key }) => key)).toEqual([[['b', 1]]]);
  });

  it('never names an index that is there, nor two of which one is the beginning of the other', () => {
    const uses = fc.array(fc.tuple(shape, fc.integer({ min: 1, max: 100 })), { maxLength: 12 });
    fc.assert(
      fc.property(uses, (given) => {
        const advice = indexAdvice(
          given.map(([each, requests]) => ({ shape: each, requests })),
          [ID, HASHED],
          KEY,
        );
        const names = advice.missing.map(({ key }) => JSON.stringify(key).slice(0, -1));
        for (const name of names) expect(names.filter((other) => other.startsWith(name))).toHaveLength(1);
        for (const { share } of [...advice.first, ...advice.missing]) expect(share).toBeLessThanOrEqual(1);
      }),
    );
  });
});
