import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ControlContext } from '../../client/context.js';
import { gather, planGathering } from '../../client/gathering.js';
import { releaseKeyspace } from '../../client/release.js';
import { TOKEN_END, TOKEN_MIN } from '../../domain/token.js';
import { createFenced, inspect, isFencedBy } from '../../store/fenced-collection.js';
import { half, KEYSPACE, keyspaceDocument, useNodes } from '../activities/nodes.js';

describe('a collection that is prepared for partitions that have one each', () => {
  const the = useNodes();
  const fence = { keyField: 'customerId' };
  const context = () => ({ catalog: the.catalog, nodes: the.dependencies().nodes }) as ControlContext;
  const partitions = () => the.catalog.partitions.list(KEYSPACE);
  const plan = async () =>
    planGathering(context(), await the.catalog.keyspaces.get(KEYSPACE), await partitions(), 'n1');
  const prepare = (node?: string) => releaseKeyspace(context(), KEYSPACE, node === undefined ? {} : { node });
  const sharedOn = async () => (await partitions()).map(({ shared, epoch }) => [shared?.node, epoch]);

  beforeEach(async () => {
    for (const name of ['parcels.p0', 'parcels.p1'] as const) {
      const accepted = [{ low: TOKEN_MIN, high: TOKEN_END }];
      await createFenced(await the.db('n0'), name, { ...fence, accepted });
      await (await the.db('n0')).collection(name).createIndex({ customerId: 'hashed' });
    }
    await the.catalog.addKeyspace(keyspaceDocument(), [half('p0'), half('p1')]);
    for (const _id of ['n1', 'n2']) await the.catalog['client'].db('drover').collection<{ _id: string }>('nodes').insertOne({ _id }); // prettier-ignore
  });
  afterEach(async () => {
    await the.catalog['client'].db('drover').dropDatabase();
    for (const node of ['n0', 'n1'] as const) await (await the.db(node)).dropDatabase();
  });

  it.each([
    ['has no fence', {}],
    ['has the fence of another keyspace', { keyField: 'shipmentId', accepted: [] }],
  ])('is not one that somebody has made since it was looked for, which %s', async (_, theirs) => {
    const planned = await plan();
    const db = await the.db('n1');
    if ('keyField' in theirs) await createFenced(db, 'parcels', theirs);
    else await db.createCollection('parcels');
    const keyspace = await the.catalog.keyspaces.get(KEYSPACE);
    await expect(gather(context(), keyspace, planned)).rejects.toMatchObject({ code: 'Refused' });
    expect(await sharedOn()).toEqual([[undefined, 1], [undefined, 1]]); // prettier-ignore
    expect(await db.collection('parcels').indexes()).toHaveLength(1);
  });

  it('is made again, or in another place, as long as no partition is in it', async () => {
    const db = await the.db('n1');
    await expect(prepare('n1')).rejects.toThrow(/are on other nodes than "n1"/);
    expect(await sharedOn()).toEqual([['n1', 2], ['n1', 2]]); // prettier-ignore
    await db.collection('parcels').drop();
    await expect(prepare()).rejects.toThrow(/are on other nodes than "n1"/);
    expect(isFencedBy((await inspect(db, 'parcels')).options, { ...fence, accepted: [] })).toBe(true);
    expect(await sharedOn()).toEqual([['n1', 2], ['n1', 2]]); // prettier-ignore

    // Of one that is named so by now, and of none that is in use.
    await the.catalog.shareCollection(KEYSPACE, { node: 'n2', collection: 'parcels' });
    expect(await sharedOn()).toEqual([['n2', 3], ['n2', 3]]); // prettier-ignore
    await the.catalog['client'].db('drover').collection('partitions').updateOne({ name: 'p0' }, { $set: { 'route.source': 'n2' } }); // prettier-ignore
    const other = the.catalog.shareCollection(KEYSPACE, { node: 'n1', collection: 'parcels' });
    await expect(other).rejects.toMatchObject({ code: 'Refused' });
    expect(await sharedOn()).toEqual([['n2', 3], ['n2', 3]]); // prettier-ignore
  });
});
