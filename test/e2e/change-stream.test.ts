import type { ChangeStream, Document } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { migrate, steer, waitForMigration } from '../../client/migrations.js';
import type { Partition } from '../../domain/partition.js';
import type { DroverCollection } from '../../router/index.js';
import { changesIn, insertLast, LedgerWriters, Told } from '../router/change-ledger.js';
import type { Scene } from './harness.js';
import { scene, until } from './harness.js';

/** The story of an application that follows its changes while its partitions move. */
describe('a change stream', () => {
  const keys = Array.from({ length: 60 }, (_, i) => `customer-${i}`);
  let the: Scene;
  beforeAll(async () => {
    the = await scene({ partitions: 2 });
  });
  afterAll(() => the.stop());

  it('tells of every change once and in order, of partitions that move and that are handed back', async () => {
    const [writing, watching] = [await the.connect(), await the.connect()];
    const collection = (client: typeof writing): DroverCollection<Document> => client.db('shop').collection('orders');
    const orders = collection(writing);
    await orders.insertMany(keys.map((customerId) => ({ _id: `old ${customerId}` as never, customerId })));
    const watch = (resumeAfter?: unknown) =>
      collection(watching).watch([], { maxAwaitTimeMS: 100, ...(resumeAfter === undefined ? {} : { resumeAfter }) });
    const live = watch() as ChangeStream<Document, Document>;
    await live.tryNext();
    const start = live.resumeToken;

    const writers = new LedgerWriters(writing, orders, keys, 6, 1);
    const told = new Told();
    let running = true;
    const reading = (async () => {
      while (running) {
        const event = await live.tryNext();
        if (event !== null) told.add(event);
      }
    })();
    const move = async (name: string, options: object) => {
      const { route } = await the.partition(name);
      const target = the.control.nodes.names.find((node) => node !== route.source)!;
      await migrate(the.control, { keyspace: the.keyspace, partition: name, target, ...options });
    };
    await move('p0', { weights: [30, 60, 100] });
    await move('p1', { weights: [50, 100], dwell: '1h' });
    const moved = ({ route, box }: Partition) => route.target !== null && route.boundary > box[0].low;
    await until('a weight', async () => moved(await the.partition('p1')));
    await steer(the.control, the.keyspace, 'p1', 'rollback');
    expect((await waitForMigration(the.control, the.keyspace, 'p0')).outcome).toBe('completed');
    expect((await waitForMigration(the.control, the.keyspace, 'p1')).outcome).toBe('rolledBack');
    await writers.stop();
    running = false;
    await reading;

    expect(changesIn(writers.stories)).toBeGreaterThan(100);
    const last = await insertLast(orders, keys);
    await told.readTo(live, last);
    await live.close();
    expect(told.stories).toEqual(writers.stories);
    const again = watch(start) as ChangeStream<Document, Document>;
    const afterwards = new Told();
    await afterwards.readTo(again, last);
    await again.close();
    expect(afterwards.stories).toEqual(writers.stories);
  });
});
