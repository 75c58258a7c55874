import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Dependencies } from '../../activities/index.js';
import { Janitor } from '../../activities/index.js';
import { migrationStatus } from '../../client/migration-status.js';
import { listMigrations, migrate, waitForMigration } from '../../client/migrations.js';
import type { HandoverState } from '../../domain/partition.js';
import type { WorkerProcess } from '../../temporal-config/dev-cluster.js';
import type { Order, Scene } from './harness.js';
import { scene, stepReaches, until, Writers } from './harness.js';

const janitorDependencies = async ({ control }: Scene): Promise<Dependencies> =>
  ({
    catalog: control.catalog,
    nodes: control.nodes,
    temporal: await control.temporal(),
    migration: control.configuration.policy.migration,
    now: control.now,
    log: { info: () => {}, warn: () => {}, error: () => {} },
  }) as unknown as Dependencies;

/** The only worker is killed with SIGKILL at a named moment; another one is started, and the migration still ends well. */
describe('a worker killed', () => {
  let the: Scene;
  let orders: Awaited<ReturnType<typeof collection>>;
  let worker: WorkerProcess;

  const collection = async () => (await the.connect()).db('shop').collection<Order>('orders');

  beforeAll(async () => {
    the = await scene({ migration: { maxMegabytesPerSecond: 0 } });
    worker = the.cluster.workers[0]!;
    orders = await collection();
  });
  afterAll(() => the.stop());

  const replaceWorker = async () => {
    worker.kill('SIGKILL');
    await until('the worker is gone', () => !worker.isRunning());
    worker = await the.startWorker();
  };

  it('in the middle of backfill: the copy goes on where it stood', async () => {
    const padding = 'x'.repeat(2_000);
    for (let i = 0; i < 8_000; i += 1_000) {
      await orders.insertMany(
        Array.from({ length: 1_000 }, (_, j) => ({
          _id: `big-${i + j}`,
          customerId: `k${(i + j) % 1_000}`,
          seq: 0,
          note: padding,
        })),
      );
    }
    const writers = new Writers(orders, { writers: 4, documentsEach: 100, seed: 11 });
    const target = the.otherNode(await the.partition('p0'));
    // About 2,000 documents of 2 kB: some four seconds, in transactions of at most 1,000.
    await migrate(the.control, {
      keyspace: the.keyspace,
      partition: 'p0',
      target,
      weights: [50, 100],
      maxMegabytesPerSecond: 1,
    });
    await until('a part of the copy', async () => {
      const [record] = await listMigrations(the.control, { partition: 'p0' });
      return record!.documents > 0;
    });
    const status = await migrationStatus(the.control, the.keyspace, 'p0');
    expect(status).toMatchObject({ phase: 'backfill', work: { phase: 'backfill' } });
    const { done, inAll, bytes, bytesInAll } = status.work!;
    expect(done).toBeGreaterThan(0);
    expect(done).toBeLessThan(inAll);
    expect(bytes! / done).toBeGreaterThan(2_000);
    expect(bytesInAll! / inAll).toBeCloseTo(bytes! / done, -1);
    expect(status.phaseSince!.getTime()).toBeGreaterThanOrEqual(status.startedAt.getTime());
    await replaceWorker();
    const result = await waitForMigration(the.control, the.keyspace, 'p0');
    await writers.stop();
    expect(result.outcome).toBe('completed');
    // Nothing was copied twice: every document counts once.
    expect(result.documents).toBeLessThan(3_000);
    expect(writers.errors).toEqual([]);
    expect(await writers.check(the.control, the.keyspace)).toMatchObject({ lost: 0, resurrected: 0, duplicates: 0 });
  });

  const moments: readonly HandoverState['kind'][] = ['fencing', 'owned'];
  it.each(moments)(
    'in the middle of a boundary step, when it is "%s": the step is undone or finished',
    async (moment) => {
      const partitionName = moment === 'fencing' ? 'p1' : 'p2';
      const writers = new Writers(orders, { writers: 8, documentsEach: 100, seed: 12, name: moment });
      await until('some documents', () => writers.ledger.documents > 200);
      const target = the.otherNode(await the.partition(partitionName));

      const reached = stepReaches(the, partitionName, moment, 2);
      await migrate(the.control, { keyspace: the.keyspace, partition: partitionName, target, weights: [10, 40, 100] });
      await reached;
      worker.kill('SIGKILL');
      // That of a second worker: it needs neither Temporal nor the dead one.
      const janitor = new Janitor(await janitorDependencies(the));
      janitor.start();
      await until('the worker is gone', () => !worker.isRunning());
      await until('the step is ended', async () => (await the.control.catalog.partitions.unsettled()).length === 0);
      worker = await the.startWorker();
      const result = await waitForMigration(the.control, the.keyspace, partitionName);
      await janitor.stop();
      await writers.stop();
      expect(result.outcome).toBe('completed');
      expect(writers.errors).toEqual([]);
      expect(writers.longestMs).toBeLessThan(5_000);
      const report = await writers.check(the.control, the.keyspace);
      expect(report).toMatchObject({ lost: 0, resurrected: 0, failed: 0 });
      expect((await the.partition(partitionName)).route).toMatchObject({ source: target, target: null, fence: null });
    },
  );
});
