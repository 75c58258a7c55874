import type { Document } from 'mongodb';
import { Long } from 'mongodb';
import { describe, expect, it } from 'vitest';
import { SORT_KEY } from '../../router/merge.js';
import { splitPipeline } from '../../router/split-pipeline.js';

const key = (fields: Document, meta: Document = {}) => ({
  $set: { [SORT_KEY]: { $mergeObjects: [{ fields, meta }] } },
});
const whole = (value: unknown) => ({ $set: { [SORT_KEY]: { $mergeObjects: [{ value }] } } });
const byKey = { $sort: { [SORT_KEY]: 1 } };
const match = { $match: { n: 1 } };
const expression = { $set: { x: { $divide: [1, '$n'] } } };
const names = (stages: readonly Document[]) => stages.flatMap((stage) => Object.keys(stage)).join(' ');

describe('the nodes', () => {
  it('do by themselves what looks at one document at a time', () => {
    const stages = [match, { $project: { n: 1 } }, { $unwind: '$n' }, { $replaceRoot: { newRoot: '$n' } }, expression];
    expect(splitPipeline(stages)).toEqual({ nodes: stages, skip: 0, limit: Infinity, merge: [] });
  });

  it('sort, and send what they have sorted by, as it was then', () => {
    const sort = { $sort: { a: 1, 'b.c': -1 } };
    const { nodes, order, merge } = splitPipeline([match, sort, expression, { $project: { x: 1 } }]);
    const keeping = { $project: { x: 1, [SORT_KEY]: 1 } };
    expect(nodes).toEqual([match, sort, key({ a: '$a', b: '$b' }), expression, keeping]);
    expect(order).toMatchObject({ paths: ['fields.a', 'fields.b.c'], directions: [1, -1] });
    expect(merge).toEqual([]);
  });

  it('send the best by score first', () => {
    const score = { $meta: 'textScore' };
    const { nodes, order } = splitPipeline([{ $sort: { s: score } }]);
    expect(nodes.at(-1)).toEqual(key({}, { s0: score }));
    expect(order?.directions).toEqual([-1]);
  });

  const kept: readonly (readonly [Document, boolean])[] = [
    [{ $project: { x: 0 } }, true],
    [{ $project: { x: { y: 0 } } }, true],
    [{ $project: { _id: 0 } }, true],
    [{ $unset: 'x' }, true],
    [{ $set: { x: '$$ROOT' } }, false],
    [{ $match: { $expr: { $gt: [{ $bsonSize: '$$ROOT' }, 9] } } }, false],
    [{ $replaceWith: '$x' }, false],
    [{ $redact: '$$KEEP' }, false],
  ];
  it.each(kept)('keep the key through %j: %s', (stage, isKept) => {
    const { nodes, merge } = splitPipeline([{ $sort: { a: 1 } }, stage]);
    expect(nodes.slice(2)).toEqual(isKept ? [stage] : []);
    expect(merge).toHaveLength(isKept ? 0 : 1);
  });

  it('sort by distance what is near', () => {
    const near = { $geoNear: { near: [0, 0], distanceField: 'd' } };
    const { nodes, order } = splitPipeline([near, match]);
    const distance = { meta: { s0: { $meta: 'geoNearDistance' } } };
    expect(nodes).toEqual([near, { $set: { [SORT_KEY]: { $mergeObjects: [distance] } } }, match]);
    expect(order?.directions).toEqual([1]);
  });

  const windows: readonly (readonly [Document[], Document[], number, number])[] = [
    [[{ $limit: 5 }], [{ $limit: 5 }], 0, 5],
    [[{ $skip: 3 }], [], 3, Infinity],
    [[{ $skip: 3 }, { $limit: 5 }], [{ $limit: 8 }], 3, 5],
    [[{ $limit: 5 }, { $skip: 3 }], [{ $limit: 5 }], 3, 2],
    [[{ $limit: 5 }, { $skip: 9 }], [{ $limit: 5 }], 9, 0],
    [[{ $limit: 5 }, { $limit: 3 }, { $skip: 1 }], [{ $limit: 5 }, { $limit: 3 }], 1, 2],
    [[{ $skip: 1 }, { $skip: 2 }], [], 3, Infinity],
    [[{ $limit: Long.fromNumber(4) }], [{ $limit: 4 }], 0, 4],
  ];
  it.each(windows)('leave nothing out that %j may want', (pipeline, nodes, skip, limit) => {
    expect(splitPipeline(pipeline)).toEqual({ nodes, skip, limit, merge: [] });
    const sort = { $sort: { a: 1 } };
    expect(splitPipeline([sort, ...pipeline]).nodes).toEqual([sort, ...nodes, key({ a: '$a' })]);
  });

  it('group their own, in an order in which groups of all nodes meet', () => {
    const { nodes, order, merge } = splitPipeline([match, { $group: { _id: '$a', n: { $max: '$n' } } }, match]);
    expect(nodes).toEqual([match, { $group: { _id: '$a', p0: { $max: '$n' } } }, whole('$_id'), byKey]);
    expect(order).toMatchObject({ paths: [''], directions: [1] });
    expect(merge).toMatchObject([
      {
        kind: 'fold',
        stages: [
          { $group: { _id: '$_id', p0: { $max: '$p0' } } },
          { $replaceWith: { _id: '$_id', n: '$p0' } },
          { $sort: { _id: 1 } },
        ],
      },
      { kind: 'each', stages: [match] },
    ]);
  });

  it('group in any order what rests on none', () => {
    const { nodes } = splitPipeline([{ $sort: { a: 1 } }, { $group: { _id: null, n: { $max: '$n' } } }]);
    expect(names(nodes)).toBe('$group $set $sort');
  });

  it('can’t be merged in the order of a collation: they send the first ones, to be sorted', () => {
    const sort = { $sort: { a: 1 } };
    const { nodes, order, merge } = splitPipeline([match, sort, { $skip: 2 }, { $limit: 3 }], true);
    expect(nodes).toEqual([match, sort, { $limit: 5 }]);
    expect(order).toBeUndefined();
    expect(merge.map(({ kind }) => kind)).toEqual(['sort', 'window']);
    const groups = splitPipeline([{ $group: { _id: '$a' } }], true);
    expect(groups).toMatchObject({ nodes: [{ $group: { _id: '$a' } }], merge: [{ kind: 'fold' }] });
  });

  it('draw samples by lot, so that each document of all nodes has the same chance', () => {
    const { nodes, limit } = splitPipeline([{ $sample: { size: 3 } }]);
    expect(names(nodes)).toBe('$set $sort $limit');
    expect(limit).toBe(3);
  });
});

describe('after the nodes', () => {
  const sort = { $sort: { a: 1 } };
  const first = { $group: { _id: '$a', f: { $first: '$b' } } };
  const steps: readonly (readonly [string, Document[], string, string])[] = [
    ['groups that rest on an order', [sort, first], '$sort $set', 'group'],
    ['groups of a window', [{ $limit: 3 }, { $count: 'n' }], '$limit', 'group each'],
    ['a match behind a limit', [{ $limit: 3 }, match], '$limit', 'each'],
    ['what might fail, behind a limit', [sort, { $limit: 3 }, expression], '$sort $limit $set', 'each'],
    ['nothing that can’t fail', [sort, { $limit: 3 }, { $project: { a: 1, b: '$c' } }], '$sort $limit $set $project', ''],
    ['a sort behind a limit', [sort, { $limit: 3 }, { $sort: { b: 1 } }], '$sort $limit $set', 'sort'],
    ['no sort behind another', [sort, { $sort: { b: 1 } }], '$sort $sort $set', ''],
    ['a window of groups', [{ $sortByCount: '$a' }, { $skip: 1 }, { $limit: 3 }], '$group $set $sort', 'fold sort window'],
    ['buckets', [{ $bucket: { groupBy: '$n', boundaries: [0, 5] } }], '$bucket $set $sort', 'fold'],
    ['a second group', [{ $group: { _id: '$a' } }, { $group: { _id: null, n: { $sum: 1 } } }], '$group $set $sort', 'fold group'],
    ['what has to see everything', [match, { $facet: { a: [match] } }, match], '$match', 'whole'],
    ['accumulators that can’t be taken apart', [{ $group: { _id: null, a: { $accumulator: {} } } }], '', 'whole'],
    ['unknown stages', [{ $new: 1 }, sort], '', 'whole'],
    ['wrong ones', [{ $limit: -1 }, sort], '', 'whole'],
    ['what is no stage', [{ $match: {}, $sort: {} }, sort], '', 'whole'],
  ]; // prettier-ignore
  it.each(steps)('come %s', (_, pipeline, nodes, kinds) => {
    const split = splitPipeline(pipeline);
    expect(names(split.nodes)).toBe(nodes);
    expect(split.merge.map(({ kind }) => kind).join(' ')).toBe(kinds);
  });

  it('a sort keeps no more than the window after it wants', () => {
    const [, step] = splitPipeline([{ $sortByCount: '$a' }, { $skip: 1 }, { $limit: 3 }]).merge;
    expect(step).toMatchObject({ kind: 'sort', limit: 4, order: { directions: [-1] } });
  });
});
