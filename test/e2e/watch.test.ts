import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { migrate, migrationProgress, waitForMigration } from '../../client/migrations.js';
import { tokenOfKey } from '../../store/key-token.js';
import { migrationWorkflowId } from '../../workflows/messages.js';
import type { Order, Scene } from './harness.js';
import { scene, until, Writers } from './harness.js';

/** What users rely on while nobody looks: bad news at the target send everything back, and a history stays small. */
describe('a migration that is watched', () => {
  let the: Scene;
  beforeAll(async () => {
    the = await scene({ migration: { rollbackWhen: { minimumRequests: 20 } } });
  });
  afterAll(() => the.stop());

  it('rolls back by itself when requests fail at the target, and loses nothing', async () => {
    const orders = (await the.connect()).db('shop').collection<Order>('orders');
    const writers = new Writers(orders, { writers: 4, documentsEach: 100, seed: 41 });
    await until('some documents', () => writers.ledger.documents > 200);
    const before = await the.partition('p1');
    const target = the.otherNode(before);
    await migrate(the.control, { keyspace: the.keyspace, partition: 'p1', target, weights: [50, 100], dwell: '2m' });
    await until('half of it', async () => (await migrationProgress(the.control, the.keyspace, 'p1')).weight > 0);

    const { route } = await the.partition('p1');
    const key = Array.from({ length: 10_000 }, (_, i) => `customer-${i}`).find((each) => {
      const token = tokenOfKey(each);
      return token >= before.box[0].low && token < route.boundary;
    })!;
    let failing = true;
    const failures = (async () => {
      while (failing) {
        await orders.findOne({ customerId: key, $expr: { $nonsense: 1 } }).catch(() => undefined);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    })();
    const result = await waitForMigration(the.control, the.keyspace, 'p1').catch((error: unknown) => error);
    failing = false;
    await failures;
    await writers.stop();
    expect(result).toMatchObject({ message: expect.stringContaining('of the requests fail at the target') as string });
    expect((await the.partition('p1')).route).toMatchObject({ source: before.route.source, target: null });
    expect(writers.errors).toEqual([]);
    expect(await writers.check(the.control, the.keyspace)).toMatchObject({ lost: 0, resurrected: 0, duplicates: 0 });
  });

  it('with the five default weights has at most 150 events in its history', async () => {
    const target = the.otherNode(await the.partition('p2'));
    await migrate(the.control, { keyspace: the.keyspace, partition: 'p2', target, dwell: '1s' });
    await waitForMigration(the.control, the.keyspace, 'p2');
    const temporal = await the.control.temporal();
    const { historyLength } = await temporal.workflow.getHandle(migrationWorkflowId(the.keyspace, 'p2')).describe();
    expect(historyLength).toBeLessThanOrEqual(150);
  });
});
