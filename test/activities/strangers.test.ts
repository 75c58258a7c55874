import { MockActivityEnvironment } from '@temporalio/testing';
import type { Collection } from 'mongodb';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createCopyActivities } from '../../activities/copy.js';
import { Janitor } from '../../activities/janitor.js';
import { keptOf } from '../../activities/kept-definition.js';
import { openHandover } from '../../activities/move-context.js';
import { clear } from '../../activities/repair.js';
import { handoverWorld } from '../../activities/world.js';
import { makeGates } from '../../domain/boundary-step.js';
import { removeOldCopy, removeShadow } from '../../domain/ending.js';
import { run } from '../../domain/step.js';
import { createFenced, inspect } from '../../store/fenced-collection.js';
import { gatesOf } from '../../store/gates.js';
import { findLeftovers } from '../../store/leftovers.js';
import { half, KEYSPACE, keyspaceDocument, record, useNodes } from './nodes.js';

/** Collections that somebody makes under a partition's name while Drover does something else. */
describe('a collection that somebody makes', () => {
  const the = useNodes();
  const move = { migration: 'm', keyspace: KEYSPACE, partition: 'p0', source: 'n0', target: 'n1' };
  const fence = { keyField: 'customerId' };
  const theirs = { _id: 'somebody else' as never };
  const now = () => the.catalog.partitions.get(KEYSPACE, 'p0');
  const createShadow = () => new MockActivityEnvironment().run(() => createCopyActivities(the.dependencies()).createShadow(move)); // prettier-ignore
  const world = async () => handoverWorld(the.dependencies(), await openHandover(the.dependencies(), await now()));
  const copy = async () => (await the.db('n1')).collection('parcels.p0');

  beforeEach(async () => {
    const partition = half('p0', { handover: { migration: 'm', target: 'n1', state: { kind: 'idle' } } });
    await createFenced(await the.db('n0'), 'parcels.p0', { ...fence, accepted: [partition.box[0]] });
    await the.catalog.addKeyspace(keyspaceDocument(), [partition]);
    await the.catalog.migrations.insert(record('m'));
  });
  afterEach(async () => {
    await the.catalog['client'].db('drover').dropDatabase();
    for (const node of ['n0', 'n1'] as const) await (await the.db(node)).dropDatabase();
  });

  it.each([
    ['the same options', {}],
    ['other options', { changeStreamPreAndPostImages: { enabled: true } }],
  ])('under the name of the copy before that is made, with %s, is not taken for it, nor removed in the end', async (_, options) => {
    await (await the.db('n1')).createCollection('parcels.p0', options);
    await (await copy()).insertOne(theirs);
    const { uuid } = await inspect(await the.db('n1'), 'parcels.p0');
    await expect(createShadow()).rejects.toMatchObject({ code: 'Refused', message: expect.stringContaining('rename or drop it there first') as string }); // prettier-ignore
    expect(await keptOf(the.catalog, 'm')).toBeUndefined();

    await run(removeShadow(await now()), await world());
    expect(await inspect(await the.db('n1'), 'parcels.p0')).toMatchObject({ uuid, fenced: false });
    expect(await (await copy()).find().toArray()).toEqual([theirs]);
    expect((await the.catalog.migrations.find('m'))?.error).toContain('rename it, or drop it');
  }); // prettier-ignore

  it('is told from what an earlier stay, or an earlier attempt, has left', async () => {
    const target = await the.db('n1');
    // Of a stay in which the keyspace had another validator.
    await createFenced(target, 'parcels.p0', { ...fence, accepted: [], validator: { seq: 1 } });
    const { uuid: left } = await inspect(target, 'parcels.p0');
    await createShadow();
    const { uuid: made } = await inspect(target, 'parcels.p0');
    expect(made).not.toBe(left);
    await target.command({ collMod: 'parcels.p0', validator: {} });
    await createShadow();
    const again = await inspect(target, 'parcels.p0');
    expect(again).toMatchObject({ fenced: true, empty: true });
    expect((await keptOf(the.catalog, 'm'))?.uuids['n1']).toBe(again.uuid);
  });

  /** All of it is at the second node, and the first one's collection is not the one any more that was moved. */
  const retiringFrom = async (change: (old: Collection) => Promise<unknown>) => {
    await createShadow();
    const partition = await now();
    await the.catalog['client'].db('drover').collection<{ _id: string }>('partitions').updateOne(
      { _id: partition.id },
      { $set: { 'route.source': 'n1', 'handover.state': { kind: 'retiring', formerSource: 'n0' } } },
    ); // prettier-ignore
    const old = (await the.db('n0')).collection('parcels.p0');
    await old.drop();
    await change(old);
    return old;
  };
  const late = { customerId: 'c' };

  it('under the name of the old copy right before the move ends is closed', async () => {
    const old = await retiringFrom((made) => made.insertOne(theirs));
    await run(removeOldCopy(await now()), await world());
    await expect(old.insertOne(late)).rejects.toMatchObject({ code: 121 });
    expect(await old.find().toArray()).toEqual([theirs]);
    expect(await gatesOf(await the.db('n0'), 'parcels.p0')).toEqual([]);
    const { leftAlone } = (await the.catalog.migrations.find('m'))!;
    expect(leftAlone).toEqual([{ node: 'n0', uuid: (await inspect(await the.db('n0'), 'parcels.p0')).uuid }]);
  });

  it('by the first write of an old route can not be made when the old copy is gone', async () => {
    const old = await retiringFrom(() => Promise.resolve());
    await run(removeOldCopy(await now()), await world());
    await expect(old.insertOne(late)).rejects.toMatchObject({ code: 121 });
  });

  it('while the partition has gates gets a fence by new ones', async () => {
    const old = await retiringFrom(() => Promise.resolve());
    await createFenced(await the.db('n0'), 'parcels.p0', { ...fence, accepted: [] });
    await run(makeGates(await now()), await world());
    await old.drop();
    // Where there is no collection none is made.
    await new Janitor(the.dependencies()).lookAtFences();
    expect(await inspect(await the.db('n0'), 'parcels.p0')).toMatchObject({ exists: false });
    await old.insertOne(theirs);
    await new Janitor(the.dependencies()).lookAtFences();
    await expect(old.insertOne(late)).rejects.toMatchObject({ code: 121 });
    expect((await gatesOf(await the.db('n0'), 'parcels.p0')).map(({ name }) => name)).toContain((await now()).gates[0]);
  });

  it('after a copy that belongs to nobody was found is not replaced in its stead', async () => {
    await the.catalog.partitions.advance(await now(), { kind: 'release' });
    const target = await the.db('n1');
    await createFenced(target, 'parcels.p0', { ...fence, accepted: [] });
    await (await copy()).insertOne({ customerId: 'c' }, { bypassDocumentValidation: true });
    const [found] = await findLeftovers(the.catalog, the.dependencies().nodes, 'n1');
    expect(found).toMatchObject({ kind: 'copy' });
    await (await copy()).drop();
    await (await copy()).insertOne(theirs);
    await expect(clear(the.dependencies(), found!)).rejects.toMatchObject({ code: 'StepUndone' });
    expect(await (await copy()).find().toArray()).toEqual([theirs]);
  });
});
