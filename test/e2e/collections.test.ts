import type { Db } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { followDefinition } from '../../activities/definition.js';
import type { Dependencies } from '../../activities/dependencies.js';
import { Janitor } from '../../activities/janitor.js';
import { openHandover } from '../../activities/move-context.js';
import { repair } from '../../client/doctor.js';
import { createKeyspace } from '../../client/keyspaces.js';
import { migrate, migrationProgress, steer, waitForMigration } from '../../client/migrations.js';
import { verifyCopies } from '../../client/verification.js';
import { CHECKPOINTS, MARKERS } from '../../store/checkpoint.js';
import { byName, decoded, expiryOf, NEVER, readDefinition } from '../../store/collection-definition.js';
import { inspect } from '../../store/fenced-collection.js';
import { findLeftovers } from '../../store/leftovers.js';
import { migrationWorkflowId } from '../../workflows/messages.js';
import type { Scene } from './harness.js';
import { scene, until } from './harness.js';

interface Session {
  _id: string;
  customerId: string;
  expires: Date;
}

const KEYSPACE = 'shop.orders';
const DOCUMENTS = 160;

/** A collection is more than its documents: what belongs to it moves along, and is followed while it moves. */
describe('a collection that moves', () => {
  let the: Scene;
  let sessions: Awaited<ReturnType<typeof collection>>;
  const collection = async () => (await the.connect()).db('shop').collection<Session>('orders');

  const at = async (node: string): Promise<Db> => (await the.control.nodes.get(node)).db('shop');
  const started = async (name: string, input: object) => {
    const partition = await the.partition(name);
    const target = the.otherNode(partition);
    await migrate(the.control, { keyspace: KEYSPACE, partition: name, target, ...input });
    const { collection: physical, route } = partition;
    return { source: route.source, target, physical };
  };
  const progress = (name: string) => migrationProgress(the.control, KEYSPACE, name);
  const approval = (name: string) => until('approval', async () => (await progress(name)).waitingFor === 'approve');
  /** Stays there. */
  const half = async (name: string) => {
    await until('the first weight', async () => (await progress(name)).weight > 0);
    await steer(the.control, KEYSPACE, name, 'pause');
  };
  const resume = (name: string) => steer(the.control, KEYSPACE, name, 'resume');
  const over = (name: string) => until('its end', async () => (await the.partition(name)).handover === null);
  const indexesAt = async (node: string, name: string) =>
    byName((await readDefinition(await at(node), (await the.partition(name)).collection))!.indexes);
  /** What a worker has, but for Temporal. */
  const dependencies = (onDefinitionChange: 'copy' | 'stop' = 'copy'): Dependencies => {
    const { catalog, nodes } = the.control;
    const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
    return { catalog, nodes, log, migration: { onDefinitionChange } } as unknown as Dependencies;
  };

  const inMs = (ms: number) => new Date(Date.now() + ms);
  const insert = (group: string, expires: Date) =>
    Promise.all(
      Array.from({ length: DOCUMENTS }, (_, i) =>
        sessions.insertOne({ _id: `${group}-${i}`, customerId: `customer-${i}`, expires }),
      ),
    );

  beforeAll(async () => {
    the = await scene({ partitions: 8, mongodArgs: ['--setParameter', 'ttlMonitorSleepSecs=1'] });
    sessions = await collection();
    for (const name of ['p0', 'p1', 'p2']) {
      const { route, collection: physical } = await the.partition(name);
      await (await at(route.source)).collection(physical).createIndex({ expires: 1 }, { expireAfterSeconds: 1 });
    }
    await insert('live', inMs(3_600_000));
  });
  afterAll(() => the.stop());

  describe('whose documents expire', () => {
    const secondsAt = async (node: string, name: string) => {
      const index = (await indexesAt(node, name)).get('expires_1');
      return index && expiryOf(index);
    };
    const idsAt = async (node: string, name: string, group: string) => {
      const { collection: physical } = await the.partition(name);
      const stored = (await at(node)).collection<Session>(physical);
      return (await stored.distinct('_id')).filter((id) => id.startsWith(group)).sort();
    };
    /** The monitor looks every second. */
    const looks = () => new Promise((resolve) => setTimeout(resolve, 1_500));
    const expectSame = async (partition: string) =>
      expect((await verifyCopies(the.control, { keyspace: KEYSPACE, partition })).different).toEqual([]);

    it('has them on both sides or on none, loses no live one, and in the end they expire at the target', async () => {
      const { source, target } = await started('p0', { weights: [50, 100], dwell: '4s', soak: '4s' });
      await half('p0');
      expect([await secondsAt(source, 'p0'), await secondsAt(target, 'p0')]).toEqual([NEVER, NEVER]);
      await Promise.all([insert('late', inMs(-60_000)), insert('extended', inMs(-60_000))]);
      await looks();
      // By the router, at the owner of each.
      const extended = Array.from({ length: DOCUMENTS }, (_, i) => {
        const change = { $set: { expires: inMs(3_600_000) } };
        return sessions.updateOne({ _id: `extended-${i}`, customerId: `customer-${i}` }, change);
      });
      await Promise.all(extended);
      const live = [await idsAt(source, 'p0', 'live'), await idsAt(source, 'p0', 'extended')];
      for (const ids of live) expect(ids.length).toBeGreaterThan(5);
      expect(await idsAt(source, 'p0', 'late')).toHaveLength(live[1]!.length);
      await expectSame('p0');

      await resume('p0');
      await until('all of it', async () => (await progress('p0')).phase === 'soak');
      for (const node of [target, source]) {
        await until(`late ones are gone from ${node}`, async () => (await idsAt(node, 'p0', 'late')).length === 0);
      }
      expect([await secondsAt(source, 'p0'), await secondsAt(target, 'p0')]).toEqual([NEVER, 1]);
      await expectSame('p0');
      await waitForMigration(the.control, KEYSPACE, 'p0');
      expect([await idsAt(target, 'p0', 'live'), await idsAt(target, 'p0', 'extended')]).toEqual(live);
      expect(await secondsAt(target, 'p0')).toBe(1);
    });

    it('has them expire at the source again when its workflow is terminated in the middle', async () => {
      const { source, target } = await started('p2', { weights: [50, 100], dwell: '1m' });
      await half('p2');
      expect([await secondsAt(source, 'p2'), await secondsAt(target, 'p2')]).toEqual([NEVER, NEVER]);
      const temporal = await the.control.temporal();
      await temporal.workflow.getHandle(migrationWorkflowId(KEYSPACE, 'p2')).terminate('by a test');
      await repair(the.control);
      await over('p2');
      expect(await secondsAt(source, 'p2')).toBe(1);
      expect((await idsAt(source, 'p2', 'live')).length).toBeGreaterThan(5);
    });

    it('is set right when a late message, or somebody else, changes where they expire, and when it is rolled back', async () => {
      const set = async (node: string, expireAfterSeconds: number) =>
        (await at(node)).command({
          collMod: (await the.partition('p1')).collection,
          index: { name: 'expires_1', expireAfterSeconds },
        });
      const { source, target } = await started('p1', { weights: [50, 100], dwell: '1m' });
      await half('p1');
      await set(target, 1);
      await new Janitor(dependencies()).lookAtFences();
      expect(await secondsAt(target, 'p1')).toBe(NEVER);
      // What users want meanwhile is what they get afterwards.
      await set(source, 7_200);
      const stored = (await at(source)).collection((await the.partition('p1')).collection);
      await stored.createIndex({ seen: 1 }, { expireAfterSeconds: 600 });
      await new Janitor(dependencies()).lookAtFences();
      expect(await secondsAt(source, 'p1')).toBe(NEVER);
      await steer(the.control, KEYSPACE, 'p1', 'rollback');
      await over('p1');
      expect(expiryOf((await indexesAt(source, 'p1')).get('seen_1')!)).toBe(600);
      expect(await secondsAt(source, 'p1')).toBe(7_200);

      await set(source, NEVER);
      await new Janitor(dependencies()).lookAtFences();
      expect(await secondsAt(source, 'p1')).toBe(7_200);
      // As people switch expiry off.
      await set(source, 2 ** 31 - 1);
      await new Janitor(dependencies()).lookAtFences();
      expect(await secondsAt(source, 'p1')).toBe(2 ** 31 - 1);
      expect(await findLeftovers(the.control.catalog, the.control.nodes, source)).toEqual([]);
    });
  });

  describe('whose definition is changed', () => {
    it('has the change made on the other side, before the first weight and between two', async () => {
      const { source, target, physical } = await started('p3', {
        approveCutover: true,
        weights: [50, 100],
        dwell: '4s',
      });
      await approval('p3');
      const orders = (await at(source)).collection(physical);
      await orders.createIndex({ expires: -1 });
      await orders.createIndex({ note: 1 }, { sparse: true });
      await (await at(source)).command({ collMod: physical, changeStreamPreAndPostImages: { enabled: true } });
      await steer(the.control, KEYSPACE, 'p3', 'approve');
      await half('p3');
      const before = [...(await indexesAt(target, 'p3')).keys()].sort();
      expect(before).toEqual(['customerId_hashed', 'expires_-1', 'note_1']);
      await (await at(source)).command({ collMod: physical, index: { name: 'expires_-1', hidden: true } });
      await orders.dropIndex('note_1');
      // Somebody has begun with the other node.
      await (await at(target)).collection(physical).createIndex({ a: 1 });
      // The router makes it on both sides at once.
      await sessions.createIndex({ b: 1 });
      for (const node of [source, target]) expect([...(await indexesAt(node, 'p3')).keys()]).toContain('b_1');
      await resume('p3');
      await waitForMigration(the.control, KEYSPACE, 'p3');
      const after = await indexesAt(target, 'p3');
      expect([...after.keys()].sort()).toEqual(['a_1', 'b_1', 'customerId_hashed', 'expires_-1']);
      expect(decoded(after.get('expires_-1')!.options).get('hidden')).toBe(true);
      const { options } = await inspect(await at(target), physical);
      expect(options).toMatchObject({ changeStreamPreAndPostImages: { enabled: true } });
    });

    it('stops where the policy says so, or when only the copy was changed', async () => {
      const { source, target, physical } = await started('p4', { approveCutover: true });
      await approval('p4');
      const look = async (policy: 'copy' | 'stop') =>
        followDefinition(dependencies(policy), await openHandover(dependencies(), await the.partition('p4')));
      expect(await look('stop')).toBe(false);
      await (await at(source)).collection(physical).createIndex({ note: 1 });
      await expect(look('stop')).rejects.toMatchObject({
        code: 'SourceChanged',
        message: expect.stringContaining(`the index note_1 was created on "${source}"`) as string,
      });
      expect(await look('copy')).toBe(true);
      expect(await look('stop')).toBe(false);
      // One that is missing on the copy is made again; one that only the copy has is nobody's.
      await (await at(target)).collection(physical).dropIndex('note_1');
      expect(await look('stop')).toBe(false);
      expect([...(await indexesAt(target, 'p4')).keys()]).toContain('note_1');
      await (await at(target)).collection(physical).createIndex({ c: 1 });
      await steer(the.control, KEYSPACE, 'p4', 'approve');
      await expect(waitForMigration(the.control, KEYSPACE, 'p4')).rejects.toThrow(
        `the index c_1 was created on "${target}"; make it on "${source}", and the copy gets it, too`,
      );
    });
  });

  describe('that is gone', () => {
    it.each([
      ['dropped while it is copied', 'p5', { maxMegabytesPerSecond: 0.0005 }, 'backfill', 'drop'],
      ['dropped while it is followed', 'p6', { approveCutover: true }, 'approval', 'drop'],
      ['renamed while it is followed', 'p7', { approveCutover: true }, 'approval', 'rename'],
    ])('ends the move, which says why and leaves nothing, when it is %s', async (_, name, input, phase, change) => {
      const { source, target, physical } = await started(name, input);
      await until(phase, async () => (await progress(name)).phase === phase);
      const db = await at(source);
      await (change === 'drop' ? db.dropCollection(physical) : db.renameCollection(physical, 'elsewhere'));
      await expect(waitForMigration(the.control, KEYSPACE, name)).rejects.toThrow(
        /shop\.orders\.p\d( on "[a-z0-9-]+")? was (dropped|renamed).* while it moves/,
      );
      expect(await the.partition(name)).toMatchObject({ handover: null, gates: [], route: { target: null } });
      expect(await inspect(await at(target), physical)).toMatchObject({ fenced: true, empty: true });
      for (const node of [source, target]) {
        for (const own of [CHECKPOINTS, MARKERS]) {
          expect(await (await at(node)).collection(own).countDocuments()).toBe(0);
        }
      }
      const [record] = await the.control.catalog.migrations.list({ partition: name });
      expect(record).toMatchObject({ state: 'rolledBack' });
    });

    it('is of no account when the target owns everything already: another one of its name stays as it is', async () => {
      const { source, target, physical } = await started('p0', { weights: [100], soak: '3s' });
      await until('the soak', async () => (await progress('p0')).phase === 'soak');
      const old = await at(source);
      await old.dropCollection(physical);
      await old.collection<{ _id: string }>(physical).insertOne({ _id: 'somebody else' });
      // These flow back, to where there is nothing any more that they could flow into.
      for (let i = 0; i < DOCUMENTS; i++) {
        const expires = inMs(3_600_000);
        await sessions.updateOne({ _id: `live-${i}`, customerId: `customer-${i}` }, { $set: { expires } });
      }
      expect(await waitForMigration(the.control, KEYSPACE, 'p0')).toMatchObject({ outcome: 'completed' });
      expect(await (await at(target)).collection(physical).countDocuments()).toBeGreaterThan(10);
      expect(await old.collection(physical).find().toArray()).toEqual([{ _id: 'somebody else' }]);
      // Nobody looks after its fence any more.
      expect((await inspect(old, physical)).fenced).toBe(true);
      const [record] = await the.control.catalog.migrations.list({ partition: 'p0' });
      expect(record).toMatchObject({ state: 'completed', error: expect.stringContaining('rename it, or drop it') as string }); // prettier-ignore
      // Nor does who clears what is left take it for a copy.
      await repair(the.control);
      expect(await old.collection(physical).countDocuments()).toBe(1);
    });

    /** A keyspace of one partition with 100 documents, half of which the target owns. */
    async function halfMoved(name: string) {
      const keyspace = `shop.${name}`;
      await createKeyspace(the.control, { name: keyspace, key: 'k', partitions: 1 });
      const documents = (await the.connect()).db('shop').collection<{ _id: string; k: string }>(name);
      for (let i = 0; i < 100; i++) await documents.insertOne({ _id: `${i}`, k: `k${i}` });
      const { route, collection: physical } = await the.control.catalog.partitions.get(keyspace, 'p0');
      const target = the.control.nodes.names.find((node) => node !== route.source)!;
      await migrate(the.control, { keyspace, partition: 'p0', target, weights: [50, 100], dwell: '1m' });
      await until('half of it', async () => (await migrationProgress(the.control, keyspace, 'p0')).weight > 0);
      return { keyspace, documents, physical, owner: route.source, target };
    }

    it.each([
      ['is missing', 'gone', false],
      ["is somebody else's", 'taken', true],
    ])(
      'gets nothing handed back when it %s: the target takes over what it has, and says so',
      async (_, name, remade) => {
        const { keyspace, documents, physical, owner, target } = await halfMoved(name);
        const source = await at(owner);
        await source.dropCollection(physical);
        if (remade) await source.collection<{ _id: string }>(physical).insertOne({ _id: 'somebody else' });
        await expect(waitForMigration(the.control, keyspace, 'p0')).rejects.toThrow(
          /completed instead of rolled back: .* was dropped or renamed while .* owned a part of .* is lost/,
        );
        const partition = await the.control.catalog.partitions.get(keyspace, 'p0');
        expect(partition).toMatchObject({ handover: null, gates: [], route: { source: target, target: null } });
        const [record] = await the.control.catalog.migrations.list({ keyspace });
        expect(record).toMatchObject({ state: 'completed', sourceLost: true });
        expect(record!.error).toContain('nothing can be handed back');
        if (remade) expect(record!.error).toContain('Its documents are left as they are');
        // Served again, all of it.
        expect(await documents.countDocuments({})).toBe(100);
        for (let i = 0; i < 100; i++) await documents.updateOne({ _id: `${i}`, k: `k${i}` }, { $set: { seen: true } });
        expect(await (await at(target)).collection(physical).countDocuments({ seen: true })).toBe(100);
        const left = await source.collection(physical).find().toArray();
        expect(left).toEqual(remade ? [{ _id: 'somebody else' }] : []);
      },
    );

    it.each([
      ['is missing', 'swept', 'drop'],
      ['was renamed away and back', 'borrowed', 'rename'],
    ])('gets back what the target has lost when the collection there %s, and says so', async (_, name, how) => {
      const { keyspace, documents, physical, owner, target } = await halfMoved(name);
      for (let i = 0; i < 100; i++) await documents.updateOne({ _id: `${i}`, k: `k${i}` }, { $set: { seen: true } });
      const [source, lost] = [await at(owner), await at(target)];
      const seen = () => source.collection(physical).countDocuments({ seen: true });
      await until('all that to have flown back', async () => (await seen()) === 100);
      if (how === 'drop') await lost.dropCollection(physical);
      else await lost.renameCollection(physical, 'elsewhere').then(() => lost.renameCollection('elsewhere', physical));
      await expect(waitForMigration(the.control, keyspace, 'p0')).rejects.toThrow(
        /rolled back: .* was (dropped|renamed)/,
      );
      const partition = await the.control.catalog.partitions.get(keyspace, 'p0');
      expect(partition).toMatchObject({ handover: null, gates: [], route: { source: owner, target: null } });
      const [record] = await the.control.catalog.migrations.list({ keyspace });
      expect(record).toMatchObject({ state: 'rolledBack', targetLost: true });
      expect(record!.error).toContain('takes that back by its copy');
      // Served again, all of it.
      expect(await documents.countDocuments({ seen: true })).toBe(100);
      for (let i = 0; i < 100; i++) await documents.updateOne({ _id: `${i}`, k: `k${i}` }, { $set: { seen: false } });
      expect(await seen()).toBe(0);
      expect(await lost.collection(physical).countDocuments()).toBe(0);
    });
  });
});
