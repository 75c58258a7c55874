import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Janitor } from '../../activities/janitor.js';
import type { Dependencies } from '../../activities/dependencies.js';
import { adoptKeyspace } from '../../client/adoption.js';
import { migrate, migrationProgress, steer, waitForMigration } from '../../client/migrations.js';
import { verifyCopies } from '../../client/verification.js';
import type { DroverCollection } from '../../router/index.js';
import { byName, expiryOf, NEVER, readDefinition } from '../../store/collection-definition.js';
import type { Scene } from './harness.js';
import { scene, until } from './harness.js';

interface Session {
  _id: string;
  customerId: string;
  expires: Date;
}

/** A TTL index of a collection that was adopted: partitions leave it and come back, and others stay. */
describe('documents that expire in a shared collection', () => {
  const keyspace = 'shop.sessions';
  const home = 'us-1';
  const CUSTOMERS = 120;
  let the: Scene;
  let sessions: DroverCollection<Session>;

  const at = async (node: string) => (await the.control.nodes.get(node)).db('shop');
  const nameOn = (node: string) => (node === home ? 'sessions' : 'sessions.p1');
  const secondsAt = async (node: string) =>
    expiryOf(byName((await readDefinition(await at(node), nameOn(node)))!.indexes).get('expires_1')!);
  const both = async () => [await secondsAt(home), await secondsAt('eu-1')];
  const idsAt = async (node: string, group: string) => {
    const ids = await (await at(node)).collection<Session>(nameOn(node)).distinct('_id');
    return ids.filter((id) => id.startsWith(group)).sort();
  };
  const inMs = (ms: number) => new Date(Date.now() + ms);
  const insert = (group: string, expires: Date) =>
    Promise.all(
      Array.from({ length: CUSTOMERS }, (_, i) =>
        sessions.insertOne({ _id: `${group}-${i}`, customerId: `customer-${i}`, expires }),
      ),
    );
  const extend = (group: string) =>
    Promise.all(
      Array.from({ length: CUSTOMERS }, (_, i) => {
        const change = { $set: { expires: inMs(3_600_000) } };
        return sessions.updateOne({ _id: `${group}-${i}`, customerId: `customer-${i}` }, change);
      }),
    );
  /** Stays there. */
  const half = async (target: string) => {
    await migrate(the.control, { keyspace, partition: 'p1', target, weights: [50, 100], dwell: '3s' });
    await until('a weight', async () => (await migrationProgress(the.control, keyspace, 'p1')).weight > 0);
    await steer(the.control, keyspace, 'p1', 'pause');
  };
  /** The monitor looks every second. */
  const looks = () => new Promise((resolve) => setTimeout(resolve, 1_500));
  const expectSame = async () =>
    expect((await verifyCopies(the.control, { keyspace, partition: 'p1' })).different).toEqual([]);

  beforeAll(async () => {
    const migration = { watchWriters: 0, soak: '1s' };
    the = await scene({ partitions: 1, migration, mongodArgs: ['--setParameter', 'ttlMonitorSleepSecs=1'] });
    const plain = (await at(home)).collection<Session>('sessions');
    await plain.createIndex({ expires: 1 }, { expireAfterSeconds: 1 });
    await adoptKeyspace(the.control, { name: keyspace, key: 'customerId', partitions: 4, node: home, watchMs: 0 });
    sessions = (await the.connect()).db('shop').collection<Session>('sessions');
    await insert('live', inMs(3_600_000));
  });
  afterAll(() => the.stop());

  it('expire on no side while one of its partitions leaves it, and on both in the end', async () => {
    await half('eu-1');
    expect(await both()).toEqual([NEVER, NEVER]);
    await Promise.all([insert('late', inMs(-60_000)), insert('extended', inMs(-60_000))]);
    await looks();
    expect(await idsAt(home, 'late')).toHaveLength(CUSTOMERS);
    await extend('extended');
    await expectSame();

    await steer(the.control, keyspace, 'p1', 'resume');
    await waitForMigration(the.control, keyspace, 'p1');
    expect(await both()).toEqual([1, 1]);
    for (const node of [home, 'eu-1']) {
      await until(`late ones are gone from ${node}`, async () => (await idsAt(node, 'late')).length === 0);
    }
    const there = [await idsAt(home, 'extended'), await idsAt('eu-1', 'extended')];
    expect(there.flat()).toHaveLength(CUSTOMERS);
    expect(there[1]!.length).toBeGreaterThan(5);
    expect(await sessions.countDocuments({})).toBe(2 * CUSTOMERS);
  });

  it('expire on no side while it comes back, and on both again when that is rolled back', async () => {
    await half(home);
    expect(await both()).toEqual([NEVER, NEVER]);
    await insert('later', inMs(-60_000));
    // Somebody sets it right for the others, and wrong for the one that moves.
    const index = { name: 'expires_1', expireAfterSeconds: 1 };
    await (await at(home)).command({ collMod: 'sessions', index });
    const { catalog, nodes } = the.control;
    const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
    const janitor = new Janitor({ catalog, nodes, log } as unknown as Dependencies);
    await janitor.lookAtFences();
    expect(await secondsAt(home)).toBe(NEVER);

    await steer(the.control, keyspace, 'p1', 'rollback');
    expect(await waitForMigration(the.control, keyspace, 'p1')).toMatchObject({ outcome: 'rolledBack' });
    expect(await both()).toEqual([1, 1]);
    await until('those of others are gone', async () => (await idsAt(home, 'later')).length === 0);
    expect(await sessions.countDocuments({ expires: { $gt: new Date() } })).toBe(2 * CUSTOMERS);

    // By a message of that move that comes late.
    await (await at(home)).command({ collMod: 'sessions', index: { ...index, expireAfterSeconds: NEVER } });
    await janitor.lookAtFences();
    expect(await secondsAt(home)).toBe(1);
  });
});
