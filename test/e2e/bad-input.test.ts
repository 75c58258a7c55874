import { WorkflowFailedError } from '@temporalio/client';
import type { Document } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createKeyspace } from '../../client/keyspaces.js';
import { planMigration } from '../../client/migration-plan.js';
import { migrate } from '../../client/migrations.js';
import type { MigrationInput } from '../../workflows/messages.js';
import { CONTROL_QUEUE } from '../../workflows/messages.js';
import type { Scene } from './harness.js';
import { scene } from './harness.js';

/** What is wrong is refused with a sentence that says what to do, before anything was touched. */
describe('bad input', () => {
  let the: Scene;
  let good: { keyspace: string; partition: string; target: string };

  beforeAll(async () => {
    the = await scene();
    good = { keyspace: the.keyspace, partition: 'p0', target: the.otherNode(await the.partition('p0')) };
  });
  afterAll(() => the.stop());

  const untouched = async () => {
    expect((await the.partition('p0')).handover).toBeNull();
    expect(await the.control.catalog.migrations.list()).toEqual([]);
  };

  const cases: [string, (input: typeof good) => unknown, RegExp][] = [
    ['an unknown keyspace', (input) => ({ ...input, keyspace: 'shop.nothing' }), /no keyspace "shop.nothing"/],
    ['an unknown partition', (input) => ({ ...input, partition: 'p99' }), /no partition "p99"; it has p0, p1/],
    ['an unknown node', (input) => ({ ...input, target: 'mars-1' }), /no node "mars-1"; known nodes: /],
    ['weights that do not rise', (input) => ({ ...input, weights: [10, 10, 100] }), /rise strictly/],
    ['weights that do not end at 100', (input) => ({ ...input, weights: [10, 50] }), /to 100/],
    ['weights that are no list', (input) => ({ ...input, weights: '1,100' }), /list of numbers/],
    ['a duration that is none', (input) => ({ ...input, dwell: 'a while' }), /"dwell" must be a duration/],
    ['a negative rate', (input) => ({ ...input, maxMegabytesPerSecond: -1 }), /0 for no limit/],
    ['a document a day', (input) => ({ ...input, maxDocumentsPerSecond: 0.00001 }), /at least 0.01/],
    ['a rate of a byte a second', (input) => ({ ...input, maxMegabytesPerSecond: 0.000001 }), /at least 0.0001/],
    ['no input at all', () => undefined, /the input needs "keyspace"/],
  ];

  it.each(cases)('%s is refused with InvalidRequest', async (_, change, message) => {
    await expect(
      migrate(the.control, (change(good) as MigrationInput) ?? ({} as MigrationInput)),
    ).rejects.toMatchObject({
      code: 'InvalidRequest',
      message: expect.stringMatching(message) as string,
    });
    await untouched();
  });

  it('more indexes than leave room for those of a move', async () => {
    const { collection, route } = await the.partition('p0');
    const orders = (await the.control.nodes.get(route.source)).db('shop').collection(collection);
    await orders.createIndexes(Array.from({ length: 54 }, (_, i) => ({ key: { [`field${i}`]: 1 }, name: `many${i}` })));
    await expect(migrate(the.control, good)).rejects.toThrow(/it has 56 indexes: .* drop some/);
    const { notes } = await planMigration(the.control, good);
    expect(notes).toEqual([expect.stringContaining('would be refused: it has 56 indexes')]);
    await untouched();
    for (let i = 0; i < 54; i++) await orders.dropIndex(`many${i}`);
  });

  it('target equals source', async () => {
    const { route } = await the.partition('p0');
    await expect(migrate(the.control, { ...good, target: route.source })).rejects.toThrow(/already on/);
    await untouched();
  });

  it('fails a workflow started from the Temporal CLI or UI at once, with the same type', async () => {
    const temporal = await the.control.temporal();
    const failure = await temporal.workflow
      .execute('migrationWorkflow', {
        workflowId: 'by-hand',
        taskQueue: CONTROL_QUEUE,
        args: [{ ...good, partition: 'p99' }],
      })
      .catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(WorkflowFailedError);
    let cause = (failure as WorkflowFailedError).cause;
    while (cause?.cause instanceof Error) cause = cause.cause;
    expect(cause).toMatchObject({ type: 'InvalidRequest' });
  });

  it('a target that holds a collection of that name', async () => {
    const partition = await the.partition('p0');
    const db = (await the.control.nodes.get(good.target)).db('shop');
    await db.collection(partition.collection).insertOne({ customerId: 'somebody else' });
    await expect(migrate(the.control, good)).rejects.toThrow(/already exists and is not Drover's/);
    await untouched();
    expect(await db.collection(partition.collection).countDocuments()).toBe(1);
    await db.dropCollection(partition.collection);
  });

  const unsupported: [string, Record<string, unknown>, RegExp][] = [
    ['capped', { capped: true, size: 4096 }, /capped/],
    ['time-series', { timeseries: { timeField: 't' } }, /time-series/],
    ['clustered', { clusteredIndex: { key: { _id: 1 }, unique: true } }, /clustered/],
    ['encrypted', { encryptedFields: { fields: [] } }, /queryable encryption/],
    ['with a default collation', { collation: { locale: 'de' } }, /collation/],
    ['a view', { viewOn: 'something', pipeline: [] }, /view/],
    ['without its fence', {}, /lost its fence/],
  ];
  it.each(unsupported)('a source that is %s', async (_, options, message) => {
    const partition = await the.partition('p3');
    const db = (await the.control.nodes.get(partition.route.source)).db('shop');
    await db.dropCollection(partition.collection);
    // The driver would not make each of them.
    await db.command({ create: partition.collection, ...options });
    const target = the.otherNode(partition);
    await expect(migrate(the.control, { keyspace: the.keyspace, partition: 'p3', target })).rejects.toThrow(message);
    if (Object.keys(options).length > 0) {
      const { notes } = await planMigration(the.control, { keyspace: the.keyspace, partition: 'p3', target });
      expect(notes).toEqual([expect.stringMatching(message)]);
    }
    expect((await the.partition('p3')).handover).toBeNull();
    expect(
      await (await the.control.nodes.get(target)).db('shop').listCollections({ name: partition.collection }).toArray(),
    ).toEqual([]);
  });

  it('a partition that moves already, under whatever workflow id', async () => {
    await migrate(the.control, { ...good, approveCutover: true });
    await expect(migrate(the.control, good)).rejects.toThrow(/already moving/);
    const temporal = await the.control.temporal();
    const other = temporal.workflow.execute('migrationWorkflow', {
      workflowId: 'another-id',
      taskQueue: CONTROL_QUEUE,
      args: [good],
    });
    await expect(other).rejects.toSatisfy((error: WorkflowFailedError) => {
      let cause: Error | undefined = error.cause;
      while (cause?.cause instanceof Error) cause = cause.cause;
      return /already moving/.test(cause?.message ?? '');
    });
  });

  it('a node that can not be reached', async () => {
    const partition = await the.partition('p1');
    const target = the.otherNode(partition);
    await the.cluster.nodes[target]!.stop();
    await expect(migrate(the.control, { keyspace: the.keyspace, partition: 'p1', target })).rejects.toMatchObject({
      code: 'InvalidRequest',
      message: expect.stringMatching(/can't be reached, so nothing was begun/) as string,
    });
    expect((await the.partition('p1')).handover).toBeNull();
  });

  it('keyspaces', async () => {
    const create = (request: Partial<{ name: string; key: string; partitions: number; options: Document }>) =>
      createKeyspace(the.control, { name: 'shop.more', key: 'k', partitions: 2, ...request });
    await expect(create({ name: 'shop' })).rejects.toThrow(/<database>.<collection>/);
    await expect(create({ name: 'admin.users' })).rejects.toThrow(/MongoDB's own/);
    await expect(create({ name: the.keyspace })).rejects.toThrow(/already exists/);
    await expect(create({ key: '$where' })).rejects.toThrow(/path of a field/);
    await expect(create({ partitions: 0 })).rejects.toThrow(/between 1 and/);
    for (const [, options, message] of unsupported.filter(([, given]) => Object.keys(given).length > 0)) {
      await expect(create({ options })).rejects.toMatchObject({
        code: 'InvalidRequest',
        message: expect.stringMatching(message) as string,
      });
    }
    await expect(create({ options: { validator: {} } })).rejects.toThrow(/give it by itself/);
    const storageEngine = { wiredTiger: { configString: 'nonsense' } };
    await expect(create({ options: { storageEngine } })).rejects.toThrow(/the server refuses/);
  });
});
