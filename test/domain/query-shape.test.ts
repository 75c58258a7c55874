import fc from 'fast-check';
import { ObjectId } from 'mongodb';
import { describe, expect, it } from 'vitest';
import type { ShapedRequest } from '../../domain/query-shape.js';
import { safePath, shapeOf, shapeText } from '../../domain/query-shape.js';

const textOf = (request: Partial<ShapedRequest>): string => shapeText(shapeOf({ operation: 'find', ...request }));

describe('the shape of a request', () => {
  it('has paths, operators and directions', () => {
    const request = {
      filter: { customerId: 'c1', 'address.city': { $in: ['x', 'y'] }, total: { $lt: 3, $gt: 1 } },
      sort: { at: -1 },
      projection: { total: 1, _id: 0 },
    } as const;
    expect(textOf(request)).toBe(
      'find {address.city: $in, customerId: $eq, total: $gt $lt} sort {at: -1} fields {-_id, total}',
    );
    expect(
      textOf({ operation: 'update', filter: { _id: 1 }, update: { $set: { a: 1, 'b.c': 2 }, $inc: { n: 1 } } }),
    ).toBe('update {_id: $eq} change {$inc n, $set a, $set b.c}');
    const pipeline = [
      { $match: { a: 1 } },
      { $match: { b: { $gt: 1 } } },
      { $sort: { c: 1 } },
      { $group: { _id: '$d' } },
    ];
    expect(textOf({ operation: 'aggregate', pipeline })).toBe('aggregate {a: $eq, b: $gt} sort {c: 1} stages [$group]');
  });

  it.each([
    [
      { a: 1, b: 2 },
      { b: 'x', a: new ObjectId() },
    ],
    [{ a: 1, b: { $gt: 1 } }, { $and: [{ b: { $gt: new Date() } }, { a: { $eq: 7 } }] }],
    [{ a: { $gt: 1, $lt: 5 } }, { $and: [{ a: { $lt: 9 } }, { a: { $gt: 2 } }] }],
    [{ a: /x/ }, { a: { $regex: 'y', $options: 'i' } }],
    [{ $or: [{ a: 1 }, { b: 2 }] }, { $or: [{ b: 1 }, { a: 5 }, { a: 6 }] }],
    [{ a: { x: 1, y: 2 } }, { a: { z: 1 } }],
    [{ a: { $in: [1] }, $comment: 'x' }, { a: { $in: Array.from({ length: 9 }, (_, i) => i) } }],
  ])('is the same for %j and %j', (one, other) => {
    expect(textOf({ filter: one })).toBe(textOf({ filter: other }));
  });

  it.each([
    [{ a: 1 }, { a: { $gt: 1 } }],
    [{ a: 1 }, { a: 1, b: 1 }],
    [{ $or: [{ a: 1 }] }, { $or: [{ a: { $gt: 1 } }] }],
    [{ $or: [{ a: 1 }] }, { $nor: [{ a: 1 }] }],
  ])('is another one for %j and %j', (one, other) => {
    expect(textOf({ filter: one })).not.toBe(textOf({ filter: other }));
  });

  it.each([
    [{ at: -1, n: 1 }],
    [
      [
        ['at', -1],
        ['n', 'asc'],
      ],
    ],
    [
      new Map<string, string>([
        ['at', 'desc'],
        ['n', '1'],
      ]),
    ],
  ])('takes sorts in all forms: %j', (sort) => {
    expect(textOf({ sort })).toBe('find sort {at: -1, n: 1}');
  });

  it('takes projections in all forms', () => {
    const forms = [
      ['a', 'b'],
      { b: 1, a: true },
      new Map([
        ['b', 1],
        ['a', 1],
      ]),
    ];
    for (const projection of forms) expect(textOf({ projection })).toBe('find fields {a, b}');
  });

  it.each([['at'], [['at']], [['at', 1]], [{ at: 'ascending' }]])('takes a sort by one field: %j', (sort) => {
    expect(textOf({ sort })).toBe('find sort {at: 1}');
  });

  it.each([
    ['items.0.price', 'items.*.price'],
    ['users.bob@example.com', 'users.*'],
    ['byDay.2026-01-01', 'byDay.*'],
    ['seen.6b02885897f58ee88fc8b44d', 'seen.*'],
    ['line1.größe', 'line1.größe'],
  ])('leaves out of %s what may be data', (path, safe) => {
    expect(safePath(path)).toBe(safe);
  });

  const value = fc.oneof(
    fc.string({ minLength: 1 }).map((text) => `secret-${text}`),
    fc.integer(),
    fc.date({ noInvalidDate: true }),
    fc.constant(null),
    fc.array(fc.constant('secret-in-list')),
    fc.constant({ nested: 'secret-nested' }),
  );
  const condition = fc.oneof(
    value,
    fc.dictionary(fc.constantFrom('$eq', '$gt', '$in', '$ne', '$elemMatch', '$not'), value, { minKeys: 1 }),
  );
  const { filter } = fc.letrec((tie) => ({
    filter: fc.oneof(
      { maxDepth: 3 },
      fc.dictionary(fc.constantFrom('a', 'b', 'c.d', '_id'), condition),
      fc.dictionary(fc.constantFrom('$and', '$or', '$nor'), fc.array(tie('filter'), { minLength: 1, maxLength: 3 })),
    ),
  }));

  it('never holds a value, is bounded, and the same again', () => {
    fc.assert(
      fc.property(filter, condition, (given, update) => {
        const request: ShapedRequest = {
          operation: 'update',
          filter: given,
          sort: given,
          update: { $set: { a: update }, secret: update },
          pipeline: [{ $match: given }, { $group: { _id: 'secret-group' } }],
        };
        const text = shapeText(shapeOf(request));
        expect(text).not.toMatch(/secret/);
        expect(JSON.stringify(shapeOf(request))).not.toMatch(/secret/);
        expect(text.length).toBeLessThan(20_000);
        expect(shapeText(shapeOf(request))).toBe(text);
      }),
    );
  });

  it.each([[undefined], [null], ['x'], [7], [[1]], [new Map([['a', 1]])], [{ toBSON: () => 1 }]])(
    'takes what makes no sense for nothing: %s',
    (nonsense) => {
      const request = { filter: nonsense, sort: { a: 1 }, projection: nonsense, update: nonsense, pipeline: nonsense };
      expect(() => textOf(request)).not.toThrow();
    },
  );
});
