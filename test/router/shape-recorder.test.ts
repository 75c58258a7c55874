import fc from 'fast-check';
import { ObjectId } from 'mongodb';
import { describe, expect, it } from 'vitest';
import type { ShapedRequest } from '../../domain/query-shape.js';
import { shapeOf, shapeText } from '../../domain/query-shape.js';
import type { ShapeRecord } from '../../domain/shape-record.js';
import { random } from '../../examples/random.js';
import { shapeKey } from '../../router/shape-key.js';
import type { ShapeRecorderOptions } from '../../router/shape-recorder.js';
import { ShapeRecorder } from '../../router/shape-recorder.js';
import { latencyBin } from '../../store/latency-sketch.js';

const PLACE = { keyspace: 'shop.orders', region: 'eu', partition: 'p0' };

function recorder(part: Partial<ShapeRecorderOptions> = {}) {
  const written: ShapeRecord[] = [];
  const shapes = new ShapeRecorder({
    flushMs: 3_600_000,
    now: () => 5_000,
    random: random(7),
    write: (records) => {
      written.push(...records);
      return Promise.resolve();
    },
    onProblem: (problem, error) => {
      throw new Error(problem, { cause: error });
    },
    ...part,
  });
  const request = (asked: ShapedRequest, latencyMs = 1, place = PLACE) => {
    const weight = shapes.next();
    if (weight > 0) shapes.count(place, asked, weight, latencyMs, false);
    return weight;
  };
  return { shapes, written, request };
}
const find = (filter: object): ShapedRequest => ({ operation: 'find', filter });

describe('shapes of requests', () => {
  it('are counted by partition and region, without any value', async () => {
    const { shapes, written, request } = recorder();
    request(find({ customerId: 'secret-1' }), 2);
    request(find({ customerId: 'secret-2' }), 4);
    request(find({ customerId: 'secret-2' }), 4, { ...PLACE, partition: 'p1' });
    shapes.count(PLACE, find({ a: 1 }), 1, undefined, true);
    await shapes.flush();
    expect(written).toHaveLength(3);
    expect(written[0]).toEqual({
      ...{ ...PLACE, time: 5_000, shape: shapeOf(find({ customerId: 1 })), requests: 2, errors: 0 },
      latencyMs: {
        sum: 6,
        max: 4,
        bins: [
          [latencyBin(2), 1],
          [latencyBin(4), 1],
        ],
      },
    });
    expect(written.find(({ errors }) => errors === 1)).toMatchObject({ latencyMs: { sum: 0, bins: [] } });
    expect(JSON.stringify(written)).not.toMatch(/secret/);
    await shapes.flush();
    expect(written).toHaveLength(3);
    await shapes.close();
  });

  it('are estimated from some of the requests when there are many, also of those that come in turn', async () => {
    const { shapes, written, request } = recorder();
    let lookedAt = 0;
    for (let i = 0; i < 100_000; i++) if (request(find(i % 2 === 0 ? { a: 1 } : { b: 1 })) > 0) lookedAt += 1;
    await shapes.flush();
    expect(lookedAt).toBeLessThan(100_000 / 14);
    for (const { requests } of written) expect(Math.abs(requests - 50_000)).toBeLessThan(2_500);
    expect(written).toHaveLength(2);
    await shapes.close();
  });

  it('stay few however many there are: the frequent ones are kept', async () => {
    const { shapes, written } = recorder();
    for (let i = 0; i < 20_000; i++) {
      const name = `f${String.fromCharCode(97 + (i % 26), 97 + ((i / 26) % 26), 97 + ((i / 676) % 26))}`;
      shapes.count(PLACE, find({ [name]: 1 }), 1, 1, false);
      if (i % 4 === 0) shapes.count(PLACE, find({ often: i }), 1, 1, false);
    }
    await shapes.flush();
    expect(written.length).toBeLessThanOrEqual(256);
    expect(shapeText(written[0]!.shape)).toBe('find {often: $eq}');
    expect(written[0]!.requests).toBe(5_000);
    await shapes.close();
  });

  it('are not looked at where requests do not count', () => {
    const { shapes } = recorder({ write: undefined });
    expect(shapes.next()).toBe(0);
  });

  const name = fc.constantFrom('a', 'b', 'c.d', '_id');
  const value = fc.oneof(
    fc.constant(1),
    fc.constant(null),
    fc.constant(/x/),
    fc.constant(new ObjectId()),
    fc.constant(new Date()),
    fc.constant({ nested: 1 }),
    fc.array(fc.constantFrom('a', 'b')),
    fc.dictionary(fc.constantFrom('$eq', '$gt', '$in', '$ne'), fc.constantFrom(1, 'x', null), { minKeys: 1 }),
  );
  const { filter } = fc.letrec((tie) => ({
    filter: fc.oneof(
      { maxDepth: 2 },
      fc.dictionary(name, value),
      fc.dictionary(fc.constantFrom('$and', '$or'), fc.array(tie('filter'), { maxLength: 3 })),
    ),
  }));
  const asked = fc.record({
    operation: fc.constant('update' as const),
    filter,
    sort: fc.option(fc.dictionary(name, fc.constantFrom(1, -1)), { nil: undefined }),
    projection: fc.option(fc.dictionary(name, fc.constantFrom(0, 1, true)), { nil: undefined }),
    update: fc.option(fc.dictionary(fc.constantFrom('$set', '$inc'), fc.dictionary(name, value)), { nil: undefined }),
    pipeline: fc.option(fc.array(fc.record({ $match: filter }), { maxLength: 2 }), { nil: undefined }),
  });

  it('are remembered under keys that no two shapes have', () => {
    const shapeOfKey = new Map<string, string>();
    fc.assert(
      fc.property(asked, (request) => {
        const key = shapeKey(request);
        const text = shapeText(shapeOf(request));
        expect(shapeOfKey.get(key) ?? text).toBe(text);
        shapeOfKey.set(key, text);
      }),
      { numRuns: 2_000 },
    );
  });
});
