import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ConnectionString } from 'mongodb-connection-string-url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  amendWeights,
  listMigrations,
  migrate,
  migrationProgress,
  steer,
  waitForMigration,
} from '../../client/migrations.js';
import { createKeyspace } from '../../client/keyspaces.js';
import { CHECKPOINTS, MARKERS } from '../../store/checkpoint.js';
import { inspect } from '../../store/fenced-collection.js';
import { migrationWorkflowId } from '../../workflows/messages.js';
import type { Order, Scene } from './harness.js';
import { scene, until, Writers } from './harness.js';

/** One user's story: partitions are moved by hand while applications write. */
describe('a migration under load', () => {
  let the: Scene;
  let orders: Awaited<ReturnType<typeof collection>>;

  const collection = async () => (await the.connect()).db('shop').collection<Order>('orders');

  beforeAll(async () => {
    the = await scene();
    orders = await collection();
  });
  afterAll(() => the.stop());

  /** What a finished migration may leave behind: nothing but a closed empty collection. */
  async function expectClean(name: string): Promise<void> {
    const partition = await the.partition(name);
    expect(partition.handover).toBeNull();
    expect(partition.route.target).toBeNull();
    for (const node of the.control.nodes.names) {
      const db = (await the.control.nodes.get(node)).db('shop');
      const state = await inspect(db, partition.collection);
      if (node !== partition.route.source && state.exists) expect(state).toMatchObject({ fenced: true, empty: true });
      expect(await db.collection(CHECKPOINTS).countDocuments()).toBe(0);
      expect(await db.collection(MARKERS).countDocuments()).toBe(0);
      const temporary = (await db.listCollections({}, { nameOnly: true }).toArray()).filter((each) =>
        each.name.includes('.closed-'),
      );
      expect(temporary).toEqual([]);
    }
  }

  it('moves everything, fails no request, loses no write, and leaves nothing behind', async () => {
    const writers = new Writers(orders, { writers: 8, documentsEach: 200, seed: 1 });
    await until('some documents', () => writers.ledger.documents > 800);
    const before = await the.partition('p1');
    const target = the.otherNode(before);
    await migrate(the.control, { keyspace: the.keyspace, partition: 'p1', target });
    const result = await waitForMigration(the.control, the.keyspace, 'p1');
    await writers.stop();

    expect(result.outcome).toBe('completed');
    expect(writers.errors).toEqual([]);
    expect(await writers.check(the.control, the.keyspace)).toMatchObject({
      lost: 0,
      resurrected: 0,
      duplicates: 0,
      failed: 0,
    });
    expect((await the.partition('p1')).route).toMatchObject({ source: target, target: null, fence: null });
    await expectClean('p1');
    const [record] = await listMigrations(the.control, { partition: 'p1' });
    expect(record).toMatchObject({ state: 'completed', weight: 100 });
    expect(record!.steps.length).toBeGreaterThanOrEqual(3);
  });

  it("takes the user's own validator along, which goes on holding beside the fence", async () => {
    const validator = { $jsonSchema: { properties: { total: { minimum: 0 } } } };
    const keyspace = 'shop.checked';
    await createKeyspace(the.control, { name: keyspace, key: 'customerId', partitions: 1, validator });
    const checked = (await the.connect()).db('shop').collection<{ customerId: string; total: number }>('checked');
    for (let i = 0; i < 50; i++) await checked.insertOne({ customerId: `c${i}`, total: i });
    const moves = [await the.control.catalog.partitions.get(keyspace, 'p0')];
    await migrate(the.control, { keyspace, partition: 'p0', target: the.otherNode(moves[0]!), weights: [50, 100] });
    expect((await waitForMigration(the.control, keyspace, 'p0')).outcome).toBe('completed');
    await expect(checked.insertOne({ customerId: 'c1', total: -1 })).rejects.toMatchObject({ code: 121 });
    await expect(checked.updateOne({ customerId: 'c1' }, { $set: { total: -1 } })).rejects.toMatchObject({ code: 121 });
    expect((await checked.deleteOne({ customerId: 'c1' })).deletedCount).toBe(1);
    const bad = { name: 'shop.bad', key: 'k', partitions: 1, validator: { total: { $nonsense: 1 } } };
    await expect(createKeyspace(the.control, bad)).rejects.toMatchObject({ code: 'InvalidRequest' });
  });

  it('moves back to where it came from, over the closed collection that stayed there', async () => {
    const writers = new Writers(orders, { writers: 4, documentsEach: 100, seed: 2, name: 'b' });
    await until('some documents', () => writers.ledger.documents > 200);
    const target = the.otherNode(await the.partition('p1'));
    await migrate(the.control, { keyspace: the.keyspace, partition: 'p1', target, weights: [30, 100] });
    expect((await waitForMigration(the.control, the.keyspace, 'p1')).outcome).toBe('completed');
    await writers.stop();
    expect(writers.errors).toEqual([]);
    const report = await writers.check(the.control, the.keyspace);
    expect(report).toMatchObject({ lost: 0, resurrected: 0, failed: 0 });
    await expectClean('p1');
  });

  it('waits for approval, pauses, takes other weights, and rolls back from the middle without losing a write', async () => {
    const writers = new Writers(orders, { writers: 8, documentsEach: 100, seed: 3, name: 'c' });
    const before = await the.partition('p2');
    const target = the.otherNode(before);
    await migrate(the.control, {
      keyspace: the.keyspace,
      partition: 'p2',
      target,
      approveCutover: true,
      dwell: '1s',
      weights: [1, 100],
    });
    const progress = () => migrationProgress(the.control, the.keyspace, 'p2');
    await until('approval', async () => (await progress()).waitingFor === 'approve');

    await expect(amendWeights(the.control, the.keyspace, 'p2', [50, 40, 100])).rejects.toMatchObject({
      code: 'InvalidRequest',
    });
    await expect(amendWeights(the.control, the.keyspace, 'p2', [50])).rejects.toThrow(/rise strictly/);
    expect((await amendWeights(the.control, the.keyspace, 'p2', [20, 60, 100])).weights).toEqual([20, 60, 100]);
    await steer(the.control, the.keyspace, 'p2', 'approve', { by: 'ada' });
    await until('the second weight', async () => (await progress()).steps >= 2);
    await steer(the.control, the.keyspace, 'p2', 'pause');
    const paused = await progress();
    expect(paused).toMatchObject({ paused: true, phase: 'cutover' });
    expect(paused.weight).toBeGreaterThan(50);
    await expect(amendWeights(the.control, the.keyspace, 'p2', [40, 100])).rejects.toThrow(/above/);

    await steer(the.control, the.keyspace, 'p2', 'rollback', { by: 'ada', reason: 'second thoughts' });
    const result = await waitForMigration(the.control, the.keyspace, 'p2');
    await writers.stop();
    expect(result).toMatchObject({
      outcome: 'rolledBack',
      reason: expect.stringContaining('second thoughts') as string,
    });
    expect(writers.errors).toEqual([]);
    expect(await writers.check(the.control, the.keyspace)).toMatchObject({ lost: 0, resurrected: 0, failed: 0 });
    expect((await the.partition('p2')).route).toMatchObject({
      source: before.route.source,
      target: null,
      boundary: before.route.boundary,
    });
    await expectClean('p2');
  });

  it('rolls back during the soak, when the target has accepted everything', async () => {
    const writers = new Writers(orders, { writers: 4, documentsEach: 100, seed: 4, name: 'd' });
    const before = await the.partition('p3');
    await migrate(the.control, {
      keyspace: the.keyspace,
      partition: 'p3',
      target: the.otherNode(before),
      weights: [100],
      soak: '1h',
    });
    await until('soak', async () => (await migrationProgress(the.control, the.keyspace, 'p3')).phase === 'soak');
    await new Promise((resolve) => setTimeout(resolve, 500));
    await steer(the.control, the.keyspace, 'p3', 'rollback');
    await waitForMigration(the.control, the.keyspace, 'p3');
    await writers.stop();
    expect(writers.errors).toEqual([]);
    expect(await writers.check(the.control, the.keyspace)).toMatchObject({ lost: 0, resurrected: 0, failed: 0 });
    expect((await the.partition('p3')).route.source).toBe(before.route.source);
    await expectClean('p3');
  });

  it('cleans up when it is aborted before the first weight, and when its workflow is cancelled', async () => {
    const before = await the.partition('p0');
    const target = the.otherNode(before);
    await migrate(the.control, { keyspace: the.keyspace, partition: 'p0', target, approveCutover: true });
    await until(
      'approval',
      async () => (await migrationProgress(the.control, the.keyspace, 'p0')).waitingFor === 'approve',
    );
    await steer(the.control, the.keyspace, 'p0', 'abort');
    expect(await waitForMigration(the.control, the.keyspace, 'p0')).toMatchObject({ outcome: 'rolledBack' });
    await expectClean('p0');

    await migrate(the.control, { keyspace: the.keyspace, partition: 'p0', target, dwell: '1m', weights: [10, 100] });
    await until('the first weight', async () => (await migrationProgress(the.control, the.keyspace, 'p0')).steps === 1);
    const temporal = await the.control.temporal();
    const handle = temporal.workflow.getHandle(migrationWorkflowId(the.keyspace, 'p0'));
    await handle.cancel();
    await expect(handle.result()).rejects.toThrow();
    expect((await handle.describe()).status.name).toBe('CANCELLED');
    expect((await the.partition('p0')).route).toMatchObject({ source: before.route.source, target: null });
    await expectClean('p0');
  });

  it('keeps secrets out of histories, logs and the catalog, and its history small', async () => {
    const temporal = await the.control.temporal();
    const secrets = Object.values(the.cluster.env)
      .filter((value) => value.startsWith('mongodb://'))
      .map((uri) => decodeURIComponent(new ConnectionString(uri).password));
    expect(secrets.length).toBe(4);
    for (const secret of secrets) expect(secret.length).toBeGreaterThan(8);
    const texts: string[] = [];
    for (const name of ['p0', 'p1', 'p2', 'p3']) {
      const history = await temporal.workflow.getHandle(migrationWorkflowId(the.keyspace, name)).fetchHistory();
      expect(history.events!.length).toBeLessThan(200);
      expect(readable(history)).toContain('"keyspace":"shop.orders"'.replaceAll('"', '\\"'));
      texts.push(readable(history));
    }
    const logs = join(the.cluster.directory, 'logs');
    for (const file of await readdir(logs)) texts.push(await readFile(join(logs, file), 'utf8'));
    for (const node of await the.control.catalog.nodes.list()) texts.push(JSON.stringify(node));
    for (const secret of secrets) for (const text of texts) expect(text.includes(secret)).toBe(false);
  });
});

/** Payloads as text: in base64, or as a list of bytes, a secret would not be found. */
const readable = (history: unknown): string =>
  JSON.stringify(history, function (this: Record<string, unknown>, key) {
    const value = this[key];
    return value instanceof Uint8Array ? Buffer.from(value).toString('utf8') : value;
  });
