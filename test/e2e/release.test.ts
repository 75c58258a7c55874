import type { Document } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createKeyspace } from '../../client/keyspaces.js';
import { migrate, waitForMigration } from '../../client/migrations.js';
import { planRelease, releaseKeyspace } from '../../client/release.js';
import type { DroverCollection } from '../../router/index.js';
import { findLeftovers } from '../../store/leftovers.js';
import type { Order, Scene } from './harness.js';
import { scene, until, Writers } from './harness.js';

/** Leaving Drover, where it has made the collections: one for each partition. */
describe('a keyspace whose partitions have a collection each', () => {
  const keyspace = 'shop.invoices';
  let the: Scene;
  let invoices: DroverCollection<Order>;
  let home: string;

  const partitions = () => the.control.catalog.partitions.list(keyspace);
  const moveTo = async (name: string, target: string) => {
    await migrate(the.control, { keyspace, partition: name, target, weights: [100] });
    expect((await waitForMigration(the.control, keyspace, name)).outcome).toBe('completed');
  };
  const ownDocuments = async (node: string, collection: string) =>
    (await the.control.nodes.get(node)).db('shop').collection<Document>(collection);

  beforeAll(async () => {
    the = await scene({ partitions: 1, migration: { soak: '100ms', dwell: '0s' } });
    const validator = { seq: { $gte: 0 } };
    await createKeyspace(the.control, { name: keyspace, key: 'customerId', partitions: 2, validator });
    invoices = (await the.connect()).db('shop').collection<Order>('invoices');
    await invoices.createIndex({ note: 1 });
  });
  afterAll(() => the.stop());

  it('is not put together where documents of different partitions have one _id: they are named', async () => {
    const [p0, p1] = await partitions();
    const key = async (source: string, collection: string) =>
      (await (await ownDocuments(source, collection)).findOne())!['customerId'] as string;
    for (let i = 0; i < 60; i++) await invoices.insertOne({ _id: `i${i}`, customerId: `customer-${i}`, seq: i });
    const keys = [await key(p0!.route.source, p0!.collection), await key(p1!.route.source, p1!.collection)];
    for (const customerId of keys) await invoices.insertOne({ _id: 'twice', customerId, seq: 1 });
    const equal = keys.map((customerId) => `{"_id":"twice","customerId":"${customerId}"}`);
    await expect(releaseKeyspace(the.control, keyspace)).rejects.toMatchObject({
      code: 'Refused',
      message: expect.stringContaining(`have the same _id, which one collection can't hold: {"_id":"twice"}: ${equal.join(' and ')}`) as string,
    }); // prettier-ignore
    await invoices.deleteOne({ _id: 'twice', customerId: keys[0]! });
  });

  it('is not put together on a node that it is on, nor is anything prepared by asking', async () => {
    const [{ route, name }] = (await partitions()) as [Awaited<ReturnType<typeof partitions>>[0]];
    await expect(releaseKeyspace(the.control, keyspace, { node: route.source })).rejects.toThrow(
      new RegExp(
        `p0.* are on "${route.source}" in collections of their own.* such as "drover migrate ${keyspace} ${name} --to`,
      ),
    );
    await expect(planRelease(the.control, keyspace)).rejects.toThrow(/prepares one for all of them/);
    expect((await partitions()).every(({ shared, epoch }) => shared === undefined && epoch === 1)).toBe(true);
  });

  it('is prepared on another node, moved there while it is written to, and is a plain collection then', async () => {
    const writers = new Writers(invoices, { writers: 4, documentsEach: 80, seed: 5 });
    await until('some writes', () => writers.ledger.documents > 100);
    await expect(releaseKeyspace(the.control, keyspace)).rejects.toThrow(
      /p0, p1 of shop.invoices are on other nodes .* move them there first, such as "drover migrate shop.invoices p0 --to/,
    );
    home = (await partitions())[0]!.shared!.node;
    expect(await findLeftovers(the.control.catalog, the.control.nodes, home)).toEqual([]);
    await moveTo('p0', home);
    const sizes = () => the.control.catalog.partitionSizes.readings(keyspace, {}, { from: 0, to: Date.now() });
    const reading = { time: Date.now() - 1, node: home, documents: 1, bytes: 1 };
    await the.control.catalog.partitionSizes.record([{ keyspace, partition: 'p0', reading }], 3_600_000);
    expect((await sizes()).size).toBe(1);
    await expect(releaseKeyspace(the.control, keyspace)).rejects.toThrow(/p1 of shop.invoices are on other nodes/);
    const moves: string[] = [];
    const onMove = (partition: string, node: string) => moves.push(`${partition} to ${node}`);
    const released = await releaseKeyspace(the.control, keyspace, { move: true, onMove });
    expect(moves).toEqual([`p1 to ${home}`]);
    expect(released).toMatchObject({ node: home, collection: 'invoices' });
    await writers.stop();
    expect(writers.errors).toEqual([]);

    const plain = await ownDocuments(home, 'invoices');
    const stored = (await plain.find().toArray()) as unknown as Order[];
    expect(writers.ledger.check(stored)).toMatchObject({ lost: 0, resurrected: 0, duplicates: 0, failed: 0 });
    expect(stored.filter(({ _id }) => _id.startsWith('i') || _id === 'twice')).toHaveLength(61);
    expect((await plain.indexes()).map(({ name }) => name).sort()).toEqual(['_id_', 'customerId_hashed', 'note_1']);
    // With the user's own rules, and without Drover's.
    await plain.insertOne({ seq: 1 });
    await expect(plain.insertOne({ seq: -1 })).rejects.toMatchObject({ code: 121 });
    expect(await the.control.catalog.keyspaces.find(keyspace)).toBeUndefined();
    // One of this name that comes later has not grown from it.
    expect((await sizes()).size).toBe(0);
  });
});
