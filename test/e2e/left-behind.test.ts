import { isDeepStrictEqual } from 'node:util';
import type { CollectionInfo } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { examine, repair } from '../../client/doctor.js';
import { migrate, migrationProgress } from '../../client/migrations.js';
import { CHECKPOINTS } from '../../store/checkpoint.js';
import { findLeftovers } from '../../store/leftovers.js';
import { migrationWorkflowId } from '../../workflows/messages.js';
import type { Order, Scene } from './harness.js';
import { scene, stepReaches, until, Writers } from './harness.js';

/** What nobody goes on with any more is brought to an end: by the janitor of any worker, or by `doctor --repair`. */
describe('what was left behind', () => {
  let the: Scene;
  let writers: Writers;

  beforeAll(async () => {
    the = await scene({ partitions: 8, workers: 2, migration: { concurrency: 4, perNode: 4 } });
    const orders = (await the.connect()).db('shop').collection<Order>('orders');
    writers = new Writers(orders, { writers: 8, documentsEach: 200, seed: 31 });
    await until('some documents', () => writers.ledger.documents > 800);
  });
  afterAll(() => the.stop());

  const terminate = async (partition: string) => {
    const temporal = await the.control.temporal();
    await temporal.workflow.getHandle(migrationWorkflowId(the.keyspace, partition)).terminate('by a test');
  };
  const start = async (name: string, input: object) => {
    const { route } = await the.partition(name);
    const target = the.otherNode(await the.partition(name));
    await migrate(the.control, { keyspace: the.keyspace, partition: name, target, ...input });
    return { source: route.source, target };
  };
  /** The partition is free first, its record closed a moment later. */
  const ended = (name: string) =>
    until(
      `${name} has ended`,
      async () => {
        const [record] = await the.control.catalog.migrations.list({ partition: name });
        return (await the.partition(name)).handover === null && record?.state !== 'running';
      },
      60_000,
    );
  const nothingIsLeft = async () => {
    for (const node of the.control.nodes.names) {
      expect(await findLeftovers(the.control.catalog, the.control.nodes, node)).toEqual([]);
    }
  };

  // All at once: each waits for the workers to look.
  describe.concurrent('of a migration that was terminated', () => {
    it.each([
      ['p0', 'backfill', { maxMegabytesPerSecond: 0.001 }],
      ['p1', 'cutover', { weights: [40, 100], dwell: '1m' }],
      ['p2', 'soak', { soak: '1m' }],
    ])('%s in its %s goes back to where it came from', async (name, phase, input) => {
      const { source } = await start(name, input);
      await until(phase, async () => {
        const progress = await migrationProgress(the.control, the.keyspace, name);
        return progress.phase === phase && (phase !== 'cutover' || progress.weight > 0);
      });
      await terminate(name);
      await ended(name);
      expect((await the.partition(name)).route).toMatchObject({ source, target: null, fence: null });
      expect((await the.partition(name)).gates).toEqual([]);
      const [record] = await the.control.catalog.migrations.list({ partition: name });
      expect(record).toMatchObject({ state: 'rolledBack', phase: 'rolledBack', weight: 0 });
    });

    it('while it is retired is completed', async () => {
      const retiring = stepReaches(the, 'p3', 'retiring');
      const { target } = await start('p3', {});
      await retiring;
      await terminate('p3');
      await ended('p3');
      expect((await the.partition('p3')).route).toMatchObject({ source: target, target: null });
      expect((await the.control.catalog.migrations.list({ partition: 'p3' }))[0]).toMatchObject({ state: 'completed' });
    });
  });

  it('is nothing on any node', nothingIsLeft);

  describe.concurrent('with nothing moving', () => {
    it('a fence that somebody else has erased is set again', async () => {
      const { route, collection } = await the.partition('p5');
      const db = (await the.control.nodes.get(route.source)).db('shop');
      const options = async () => (await db.listCollections({ name: collection }).next()) as CollectionInfo;
      const { options: before } = await options();
      expect(before?.validator).not.toEqual({});
      await db.command({ collMod: collection, validator: {}, validationLevel: 'off' });
      await until('the fence is back', async () => isDeepStrictEqual((await options()).options, before), 20_000);
      await until('the gates of the repair are gone', async () => (await the.partition('p5')).gates.length === 0);
      expect(await the.partition('p5')).toMatchObject({ handover: null, route });
    });

    it('what an activity still writes when its migration has ended is removed', async () => {
      const [ended] = await the.control.catalog.migrations.list({ partition: 'p0' });
      const db = (await the.control.nodes.get(ended!.target)).db('shop');
      const checkpoints = db.collection<{ _id: string }>(CHECKPOINTS);
      await checkpoints.insertOne({ _id: `${ended!._id}/forward` });
      await until('it is gone', async () => (await checkpoints.countDocuments()) === 0, 20_000);
    });
  });

  it('is nothing on any node after that, either', nothingIsLeft);

  it('nothing was lost by all this', async () => {
    await writers.stop();
    expect(writers.errors).toEqual([]);
    expect(await writers.check(the.control, the.keyspace)).toMatchObject({ lost: 0, resurrected: 0, duplicates: 0 });
  });

  it('with Temporal and all workers away, a step that stands still is ended by the next worker that starts', async () => {
    const fencing = stepReaches(the, 'p6', 'fencing');
    await start('p6', { weights: [30, 60, 100], dwell: '100ms' });
    await fencing;
    for (const worker of the.cluster.workers) worker.kill('SIGKILL');
    the.cluster.temporal.kill('SIGKILL');
    await until('they are gone', () => the.cluster.workers.every((worker) => !worker.isRunning()));
    const unsettled = async () => (await the.control.catalog.partitions.unsettled()).length;
    expect(await unsettled()).toBe(1);

    const worker = await the.startWorker();
    await until('no step under way', async () => (await unsettled()) === 0, 6_000);
    expect((await the.partition('p6')).route.fence).toBeNull();
    // It still waits for Temporal, and ends all the same when it is told to.
    expect(worker.isRunning()).toBe(true);
    worker.kill('SIGTERM');
    await until('the worker has ended', () => !worker.isRunning());
  });
});

describe('doctor', () => {
  let the: Scene;
  beforeAll(async () => {
    the = await scene({ partitions: 2 });
  });
  afterAll(() => the.stop());

  it('finds everything well, finds what is left, and has it cleared', async () => {
    const { configuration, catalog, nodes } = the.control;
    // Temporal takes a moment to show a new worker.
    await until('everything is well', async () => (await examine(configuration)).healthy);

    const { collection, route } = await the.partition('p0');
    const source = (await nodes.get(route.source)).db('shop');
    await source.collection(collection).createIndex({ gone: 1 }, { name: 'droverGate:p0:1:old' });
    await source.collection('drover.markers').insertOne({ migration: 'gone' });
    await source.createCollection(`${collection}.closed-gone-1`);
    const ill = await examine(configuration);
    expect(ill.checks.filter(({ ok }) => !ok)).toHaveLength(3);

    const report = await repair(the.control);
    expect(report.failed).toEqual([]);
    expect(report.repaired).toHaveLength(3);
    const record = { _id: 'lossy', keyspace: the.keyspace, partition: 'p0', source: 'us-1', endedAt: new Date() };
    const leftOut = [{ what: 'leftOut', document: '{"_id":"new"}', fields: ['email'] }];
    const migrations = the.control.catalog['client']
      .db(configuration.catalogDatabase)
      .collection<{ _id: string }>('migrations');
    await migrations.insertOne({ ...record, state: 'completed', leftOut } as never);
    const finding = expect.stringContaining('{"_id":"new"} (email) was left out') as string;
    expect((await examine(configuration)).checks).toContainEqual(expect.objectContaining({ ok: false, finding }));
    await migrations.deleteOne({ _id: 'lossy' });
    expect((await examine(configuration)).healthy).toBe(true);
    expect(await findLeftovers(catalog, nodes, route.source)).toEqual([]);
  });
});
