import type { Collection, Document, MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { adoptKeyspace, planAdoption } from '../../client/adoption.js';
import { migrate, migrationProgress, steer, waitForMigration } from '../../client/migrations.js';
import { releaseKeyspace } from '../../client/release.js';
import { tokensOf } from '../../domain/partition.js';
import { contains } from '../../domain/token.js';
import type { DroverCollection } from '../../router/index.js';
import { connect } from '../../store/connect.js';
import { inspect } from '../../store/fenced-collection.js';
import { tokenOfKey } from '../../store/key-token.js';
import type { Order, Scene } from './harness.js';
import { scene, until, Writers } from './harness.js';

/** The story of a collection that was in use before Drover came, and is again after it has gone. */
describe('a collection that is adopted, moved in parts and released', () => {
  const keyspace = 'shop.parcels';
  const home = 'us-1';
  let the: Scene;
  let shop: MongoClient;
  let plain: Collection<Order>;
  let parcels: DroverCollection<Order>;

  beforeAll(async () => {
    the = await scene({ partitions: 1, migration: { watchWriters: '1200ms', soak: '200ms' } });
    shop = await connect(the.control.configuration.nodeUris[home]!, 'shop', { appName: 'shop-web' });
    plain = shop.db('shop').collection<Order>('parcels');
  });
  afterAll(async () => {
    await shop.close();
    await the.stop();
  });

  const request = { name: keyspace, key: 'customerId', partitions: 4, watchMs: 1_500 } as const;
  const partition = (name: string) => the.control.catalog.partitions.get(keyspace, name);
  /** Documents of a partition that are in a collection. */
  const documentsOf = async (name: string, documents: Collection<Document>) => {
    const tokens = tokensOf(await partition(name));
    return (await documents.find().toArray()).filter(({ customerId }) => contains(tokens, tokenOfKey(customerId)));
  };
  const onNode = async (node: string, name: string) =>
    (await the.control.nodes.get(node)).db('shop').collection<Document>(name);
  const clean = { lost: 0, resurrected: 0, duplicates: 0, failed: 0 };
  const move = (name: string, target: string, options: object = {}) =>
    migrate(the.control, { keyspace, partition: name, target, weights: [30, 100], ...options });
  let early: Writers;
  let later: Writers;

  it('is adopted while an application writes to it with the plain driver', async () => {
    await plain.insertMany(
      Array.from({ length: 500 }, (_, i) => ({ _id: `old-${i}`, customerId: `customer-${i % 97}`, seq: i })),
    );
    await shop.db('shop').command({ collMod: 'parcels', validator: { seq: { $gte: 0 } } });
    early = new Writers(plain as unknown as DroverCollection<Order>, {
      writers: 4,
      documentsEach: 60,
      seed: 1,
      name: 'e',
    });
    await until('some writes', () => early.ledger.documents > 100);
    const plan = await planAdoption(the.control, request);
    expect(plan).toMatchObject({
      node: home,
      indexed: false,
      obstacles: [],
      directWriters: expect.stringContaining('shop-web') as string,
    });
    await expect(adoptKeyspace(the.control, request)).rejects.toMatchObject({ code: 'Refused' });
    await adoptKeyspace(the.control, { ...request, allowDirectWriters: true });
    expect((await plain.indexes()).map(({ name }) => name).sort()).toEqual(['_id_', 'customerId_hashed']);
    await expect(plain.insertOne({ _id: 'keyless', seq: 1 } as Order)).rejects.toMatchObject({ code: 121 });
    await expect(plain.insertOne({ _id: 'bad', customerId: 'c', seq: -1 })).rejects.toMatchObject({ code: 121 });
    await new Promise((resolve) => setTimeout(resolve, 300));
  });

  it('is not moved while that application is seen, and served by the router as it is', async () => {
    await expect(move('p1', 'eu-1')).rejects.toThrow(/past the router: shop-web at/);
    expect((await partition('p1')).handover).toBeNull();
    await early.stop();
    expect(early.errors).toEqual([]);
    expect(await early.check(the.control, keyspace)).toMatchObject(clean);
    parcels = (await the.connect()).db('shop').collection<Order>('parcels');
    expect(await parcels.findOne({ _id: 'old-3', customerId: 'customer-3' })).toMatchObject({ seq: 3 });
  });

  it('gives a partition away while the router writes, and deletes it where it was', async () => {
    later = new Writers(parcels, { writers: 6, documentsEach: 150, seed: 2, name: 'l' });
    await until('some writes', () => later.ledger.documents > 300);
    await move('p1', 'eu-1');
    expect((await waitForMigration(the.control, keyspace, 'p1')).outcome).toBe('completed');
    expect(await documentsOf('p1', await onNode(home, 'parcels'))).toEqual([]);
    expect(await (await onNode('eu-1', 'parcels.p1')).countDocuments()).toBeGreaterThan(50);
    const [moved] = await documentsOf('p1', await onNode('eu-1', 'parcels.p1'));
    // Who still goes past the router is refused what is not here any more, by the server.
    await expect(
      plain.insertOne({ _id: 'late', customerId: moved!['customerId'] as string, seq: 1 }),
    ).rejects.toMatchObject({ code: 121 });
    await expect(releaseKeyspace(the.control, keyspace)).rejects.toThrow(/p1 of shop.parcels are on other nodes/);
  });

  it('is left again by a partition whose move back is rolled back from the middle', async () => {
    await move('p1', home, { dwell: '1h' });
    await until('a weight', async () => (await migrationProgress(the.control, keyspace, 'p1')).steps === 1);
    expect(await documentsOf('p1', await onNode(home, 'parcels'))).not.toEqual([]);
    await steer(the.control, keyspace, 'p1', 'rollback');
    expect((await waitForMigration(the.control, keyspace, 'p1')).outcome).toBe('rolledBack');
    expect((await partition('p1')).route.source).toBe('eu-1');
    expect(await documentsOf('p1', await onNode(home, 'parcels'))).toEqual([]);
  });

  it('takes the partition back for good, and is released: the plain driver reads everything', async () => {
    await move('p1', home);
    expect((await waitForMigration(the.control, keyspace, 'p1')).outcome).toBe('completed');
    const released = await releaseKeyspace(the.control, keyspace);
    expect(released).toMatchObject({ node: home, collection: 'parcels' });
    expect(released.left).toContainEqual({ node: 'eu-1', collections: ['parcels.p1'] });
    // A router that is there goes on; the plain driver may write beside it now.
    await parcels.insertOne({ _id: 'after', customerId: 'customer-1', seq: 1 });
    await later.stop();
    expect(later.errors).toEqual([]);
    const stored = (await plain.find().toArray()) as Order[];
    expect(later.ledger.check(stored)).toMatchObject(clean);
    expect(early.ledger.check(stored)).toMatchObject(clean);
    expect(stored.filter(({ _id }) => _id.startsWith('old-'))).toHaveLength(500);

    const { options } = await inspect(shop.db('shop'), 'parcels');
    expect(options).toEqual({ validator: { seq: { $gte: 0 } }, validationLevel: 'strict', validationAction: 'error' });
    expect((await plain.indexes()).map(({ name }) => name).sort()).toEqual(['_id_', 'customerId_hashed']);
    await plain.insertOne({ _id: 'keyless', seq: 1 } as Order);
    expect(await the.control.catalog.partitions.list(keyspace)).toEqual([]);
    expect(await the.control.catalog.keyspaces.find(keyspace)).toBeUndefined();
  });
});
