import type { Db } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AdoptionRequest } from '../../client/adoption.js';
import { adoptKeyspace } from '../../client/adoption.js';
import { planRelease, releaseKeyspace } from '../../client/release.js';
import { DroverError } from '../../domain/errors.js';
import { TOKEN_END, TOKEN_MIN } from '../../domain/token.js';
import type { Catalog } from '../../store/catalog/catalog.js';
import { inspect, ownValidator, setAccepted } from '../../store/fenced-collection.js';
import { gatesOf, makeGates, newGates, OUTSIDE } from '../../store/gates.js';
import type { RunningShell } from './harness.js';
import { shellWithCluster } from './harness.js';

/** Adoption and release without moves: a cluster without a worker is enough. */
describe('a collection that was there before', () => {
  let the: RunningShell;
  let shop: Db;
  beforeAll(async () => {
    the = await shellWithCluster({ workers: 0 });
    shop = (await the.control.nodes.get('us-1')).db('shop');
  });
  afterAll(() => the.stop());

  const adopt = (name: string, ...more: readonly string[]) =>
    the.drover(
      'keyspace',
      'adopt',
      `shop.${name}`,
      '--key',
      'customer.id',
      '--partitions',
      '4',
      '--watch',
      '50ms',
      ...more,
    );
  const request = (name: string) =>
    ({ name: `shop.${name}`, key: 'customer.id', partitions: 4, node: 'us-1', watchMs: 0 }) as const;
  const order = (id: unknown) => ({ customer: { id } });
  const validator = { $jsonSchema: { properties: { total: { minimum: 0 } } } };

  it('is refused with every reason at once, and nothing has been touched', async () => {
    const orders = shop.collection('unfit');
    await orders.insertMany([
      order('fine'),
      { _id: 'keyless' as never },
      { _id: 'several' as never, customer: [{ id: 1 }] },
      { _id: 'nested' as never, ...order({ a: 1 }) },
    ]);
    await orders.createIndex({ email: 1 }, { unique: true, sparse: true });
    await orders.createIndex({ email: 1, 'customer.id': 1 }, { unique: true, sparse: true });
    await shop.command({ collMod: 'unfit', validator, validationLevel: 'moderate' });
    const before = [await inspect(shop, 'unfit'), await orders.indexes()];
    const outcome = await adopt('unfit', '--check', '--json');
    expect(outcome.exitCode).toBe(3);
    const { plan } = outcome.json<{ plan: { obstacles: string[] } }>();
    expect(plan.obstacles).toHaveLength(3);
    expect(plan.obstacles.join('\n')).toMatch(/level "moderate"[^]*email_1 is unique without[^]*"keyless"} \(missing\).*"several"} \(array\).*"nested"} \(object\)/); // prettier-ignore
    expect((await adopt('unfit')).exitCode).toBe(3);
    expect([await inspect(shop, 'unfit'), await orders.indexes()]).toEqual(before);
    await shop.createCollection('capped', { capped: true, size: 4096 });
    expect((await adopt('capped')).stderr).toContain('it is capped');
    expect(await adopt('nowhere')).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('no node has') as string,
    });
    expect(await the.control.catalog.keyspaces.list()).toEqual([]);
  });

  it('is adopted with its validator beside the fence, where a broken-off adoption left it', async () => {
    const orders = shop.collection('orders');
    await orders.insertMany(Array.from({ length: 400 }, (_, i) => order(i)));
    await shop.command({ collMod: 'orders', validator });
    // As far as another adoption got, with another key: its gate is still there, and it wakes up later.
    const [gate] = newGates(OUTSIDE, 0) as [string];
    await makeGates(shop, 'orders', [gate]);
    const everything = [{ low: TOKEN_MIN, high: TOKEN_END }];
    await setAccepted(shop, 'orders', { keyField: '_id', accepted: everything, validator }, gate);

    const checked = await adopt('orders', '--check', '--json');
    expect(checked.json()).toMatchObject({
      plan: { node: 'us-1', documents: 400, indexed: false, directWriters: null },
    });
    const outcome = await adopt('orders', '--json');
    expect(outcome).toMatchObject({ exitCode: 0 });
    expect(await gatesOf(shop, 'orders')).toEqual([]);
    const late = setAccepted(shop, 'orders', { keyField: '_id', accepted: everything }, gate);
    await expect(late).rejects.toMatchObject({ code: 'Superseded' });

    const { options, fenced } = await inspect(shop, 'orders');
    expect(fenced).toBe(true);
    expect(ownValidator(options)).toEqual(validator);
    for (const bad of [{}, order([1]), order({ a: 1 }), { ...order(1), total: -1 }]) {
      await expect(orders.insertOne(bad)).rejects.toMatchObject({ code: 121 });
    }
    await orders.insertOne(order('new'));
    expect((await adopt('orders')).stderr).toContain('already exists');
    const shown = (await the.drover('keyspace', 'show', 'shop.orders', '--json')).json<{
      nodes: { documents: number }[];
    }>();
    expect(shown.nodes).toHaveLength(1);
    expect(shown.nodes[0]!.documents).toBeGreaterThan(390);
    expect(
      (await the.drover('doctor', '--json')).json<{ checks: { subject: string; ok: boolean }[] }>().checks,
    ).toContainEqual(expect.objectContaining({ subject: 'left-overs on us-1', ok: true }) as object);
  });

  it('is refused as it was before when a document without a key came while it was looked at', async () => {
    const orders = shop.collection('late');
    await orders.insertOne(order(1));
    const nodes = the.control.nodes;
    const control = { ...the.control, nodes: Object.create(nodes) as typeof nodes };
    // Comes after the first look at the keys, when the catalog is asked again.
    const find = the.control.catalog.keyspaces.find.bind(the.control.catalog.keyspaces);
    let looks = 0;
    const keyspaces = Object.assign(Object.create(the.control.catalog.keyspaces) as object, {
      find: async (name: string) => {
        if (++looks === 2) await orders.insertOne({ _id: 'keyless' as never });
        return find(name);
      },
    });
    const catalog = Object.assign(Object.create(the.control.catalog) as object, {
      keyspaces,
    }) as typeof the.control.catalog;
    await expect(adoptKeyspace({ ...control, catalog }, request('late'))).rejects.toThrow(/"keyless"} \(missing\)/);
    expect(looks).toBe(2);
    expect((await inspect(shop, 'late')).fenced).toBe(false);
    expect(await gatesOf(shop, 'late')).toEqual([]);
    await orders.insertOne({ also: 'keyless' });
  });

  it('is adopted by one key at a time: the other one is refused, also by a process that slept and wakes up', async () => {
    const orders = shop.collection('twice');
    await orders.insertMany(Array.from({ length: 20 }, (_, i) => ({ ...order(i), region: `r${i}` })));
    const byRegion = { ...request('twice'), key: 'region' };
    /** As `request` adopts it, with something to happen when its fence is set and the catalog is about to be written. */
    const adoption = (request: AdoptionRequest, meanwhile: () => Promise<void>) => {
      const catalog = Object.assign(Object.create(the.control.catalog) as Catalog, {
        addKeyspace: async (...written: Parameters<Catalog['addKeyspace']>) => {
          await meanwhile();
          return the.control.catalog.addKeyspace(...written);
        },
      });
      return adoptKeyspace({ ...the.control, catalog }, request);
    };
    const away = async () => {
      const refused = adoptKeyspace(the.control, byRegion);
      await expect(refused).rejects.toMatchObject({
        code: 'Refused',
        message: expect.stringMatching(/is, by the key "customer.id" on "us-1".* being adopted already/) as string,
      });
      throw new DroverError('Refused', 'given up');
    };
    await expect(adoption(request('twice'), away)).rejects.toThrow('given up');
    // Given up, it has left nothing behind: neither fence nor reservation.
    expect((await inspect(shop, 'twice')).fenced).toBe(false);
    expect(await gatesOf(shop, 'twice')).toEqual([]);

    // One whose time is over while it sleeps.
    const reservations = the.control.catalog.reservations['collection'];
    const asleep = adoption(request('twice'), async () => {
      await reservations.updateOne({ _id: 'shop.twice' }, { $set: { renewedAt: new Date(0) } });
      await adoptKeyspace(the.control, byRegion);
    });
    await expect(asleep).rejects.toMatchObject({ code: 'Superseded' });
    expect((await the.control.catalog.keyspaces.get('shop.twice')).dimensions[0].field).toBe('region');
    await orders.insertOne({ region: 'r1' });
    await expect(orders.insertOne(order(1))).rejects.toMatchObject({ code: 121 });
    expect(await reservations.countDocuments()).toBe(0);
    await releaseKeyspace(the.control, 'shop.twice');
  });

  it('is released as it was, once, also when a release broke off', async () => {
    const { control } = the;
    const plan = await planRelease(control, 'shop.orders');
    await control.catalog.beginRelease('shop.orders', plan);
    expect((await adopt('orders')).stderr).toContain('"drover keyspace release shop.orders" brings that to its end');
    const zombie = releaseKeyspace(control, 'shop.orders').catch((error: unknown) => error);
    const outcome = await the.drover('keyspace', 'release', 'shop.orders');
    expect([outcome.exitCode, (await zombie) instanceof Error]).toContain(outcome.exitCode === 0 ? 0 : false);
    const { options } = await inspect(shop, 'orders');
    expect(options).toEqual({ validator, validationLevel: 'strict', validationAction: 'error' });
    expect((await shop.collection('orders').indexes()).map(({ name }) => name)).toEqual(['_id_', 'customer.id_hashed']);
    expect(await control.catalog.keyspaces.list()).toEqual([]);
    expect(await control.catalog.partitions.list()).toEqual([]);
    expect((await the.drover('keyspace', 'release', 'shop.orders')).exitCode).toBe(2);
    expect((await adopt('orders')).exitCode).toBe(0);
  });

  it('is not released while a partition moves, nor when its partitions never were in one', async () => {
    const { catalog } = the.control;
    const p1 = await catalog.partitions.get('shop.orders', 'p1');
    const claimed = await catalog.partitions.advance(p1, { kind: 'claim', migration: 'm', target: 'eu-1' });
    // Another one in the same collection has to wait.
    const p2 = await catalog.partitions.get('shop.orders', 'p2');
    const second = catalog.partitions.advance(p2, { kind: 'claim', migration: 'n', target: 'ap-1' });
    await expect(second).rejects.toMatchObject({ code: 'Refused' });
    expect(await the.drover('keyspace', 'release', 'shop.orders')).toMatchObject({ exitCode: 3, stderr: expect.stringContaining('p1 of shop.orders are moving') as string }); // prettier-ignore
    await expect(catalog.beginRelease('shop.orders', { node: 'us-1', collection: 'orders' })).rejects.toMatchObject({ code: 'Refused' }); // prettier-ignore
    expect(await catalog.partitions.list('shop.orders')).toHaveLength(4);
    await catalog.partitions.advance(claimed, { kind: 'release' });
    expect((await the.drover('keyspace', 'release', 'shop.orders', '--check')).exitCode).toBe(0);

    await the.drover('keyspace', 'create', 'shop.made', '--key', 'k', '--partitions', '2');
    expect((await adopt('made.p0', '--node', 'us-1')).stderr).toContain('belongs to keyspace "shop.made"');
    expect(await the.drover('keyspace', 'release', 'shop.made')).toMatchObject({ exitCode: 3, stderr: expect.stringContaining('move them there first, such as "drover migrate shop.made p') as string }); // prettier-ignore
  });
});
