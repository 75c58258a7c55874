import { afterEach, describe, expect, it } from 'vitest';
import { Janitor } from '../../activities/janitor.js';
import { completeMove } from '../../activities/lifecycle.js';
import { openHandover } from '../../activities/move-context.js';
import type { Partition } from '../../domain/partition.js';
import { contains } from '../../domain/token.js';
import { createFenced, inspect, isFencedBy } from '../../store/fenced-collection.js';
import { tokenOfKey } from '../../store/key-token.js';
import { half, KEYSPACE, keyspaceDocument, record, useNodes } from './nodes.js';

/** What people do to collections of a partition past Drover, while it is on its way. */
describe('a partition that is being retired', () => {
  const the = useNodes();
  const shared = { node: 'n0', collection: 'parcels' };
  const past = { bypassDocumentValidation: true } as const;
  const documents = Array.from({ length: 300 }, (_, i) => ({ _id: i as never, customerId: `c${i}` }));
  const isIn = (partition: Partition, { customerId }: { customerId: string }) =>
    contains(partition.box[0], tokenOfKey(customerId));

  /** All of it is at the second node; the first one still has its old copy. */
  const retiring = (name: 'p0' | 'p1', change: Partial<Partition> = {}): Partition => {
    const { route, ...partition } = half(name, change);
    return {
      ...partition,
      route: { ...route, source: 'n1' },
      handover: { migration: 'm', target: 'n1', state: { kind: 'retiring', formerSource: 'n0' } },
    };
  };
  const now = (name: string) => the.catalog.partitions.get(KEYSPACE, name);
  const complete = async (name: string) =>
    completeMove(the.dependencies(), await openHandover(the.dependencies(), await now(name)));

  afterEach(async () => {
    await the.catalog['client'].db('drover').dropDatabase();
    for (const node of ['n0', 'n1'] as const) await (await the.db(node)).dropDatabase();
  });

  it('has the fence of the collection that it leaves set again, when somebody erases it meanwhile', async () => {
    const [leaving, staying] = [retiring('p0', { shared }), half('p1', { shared })];
    const [old, own] = [await the.db('n0'), await the.db('n1')];
    const fence = { keyField: 'customerId', accepted: [staying.box[0]] };
    await createFenced(old, 'parcels', fence);
    await createFenced(own, 'parcels.p0', { ...fence, accepted: [leaving.box[0]] });
    await old.collection('parcels').insertMany(documents, past);
    await old.collection('parcels').createIndex({ customerId: 'hashed' });
    await the.catalog.addKeyspace(keyspaceDocument(), [leaving, staying]);
    await the.catalog.migrations.insert(record('m'));

    await old.command({ collMod: 'parcels', validator: {}, validationLevel: 'off' });
    await new Janitor(the.dependencies()).lookAtFences();
    expect(isFencedBy((await inspect(old, 'parcels')).options, fence)).toBe(true);
    // By a router that knows an old route.
    const lost = documents.find((each) => isIn(leaving, each))!;
    const late = old.collection('parcels').insertOne({ customerId: lost.customerId });
    await expect(late).rejects.toMatchObject({ code: 121 });
    expect((await now('p0')).handover?.state.kind).toBe('retiring');

    await complete('p0');
    expect(await now('p0')).toMatchObject({ handover: null, gates: [] });
    const left = await old.collection('parcels').find().toArray();
    expect(left).toEqual(documents.filter((each) => isIn(staying, each)));
  });
});
