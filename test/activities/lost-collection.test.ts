import type { Collection, Db } from 'mongodb';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createLifecycleActivities } from '../../activities/lifecycle.js';
import { definitionToCopy, keepDefinition } from '../../activities/definition.js';
import { fenceAnew, isTargetLost, noteLeftOut, noWayBack } from '../../activities/lost-collection.js';
import type { MoveContext } from '../../activities/move-context.js';
import { openHandover } from '../../activities/move-context.js';
import { handoverWorld, ping } from '../../activities/world.js';
import { makeGates as gated } from '../../domain/boundary-step.js';
import type { Partition } from '../../domain/partition.js';
import { run } from '../../domain/step.js';
import { TOKEN_MIN } from '../../domain/token.js';
import { operationTime } from '../../store/change-log.js';
import { Markers } from '../../store/checkpoint.js';
import type { LeftOut } from '../../store/copy-conflict.js';
import { scopeFromBson } from '../../store/codec.js';
import { createFenced, inspect } from '../../store/fenced-collection.js';
import { follow } from '../../store/follower.js';
import { gatesOf, makeGates, newGates } from '../../store/gates.js';
import { tokenOfKey } from '../../store/key-token.js';
import { half, KEYSPACE, keyspaceDocument, record, useNodes } from './nodes.js';

interface Parcel {
  _id: string;
  customerId: string;
  seen?: boolean;
}

const NAME = 'parcels.p0';
const MIDDLE = -(2n ** 62n);
const WHOLE = { low: TOKEN_MIN, high: 0n };
/** Of these tokens the target is the owner. */
const MOVED = { low: TOKEN_MIN, high: MIDDLE };
const keys = Array.from({ length: 40 }, (_, i) => `customer-${i}`).filter((key) => tokenOfKey(key) < MIDDLE);
const PAST = { bypassDocumentValidation: true } as const;

describe("a move whose source's collection is gone", () => {
  const the = useNodes();
  let moves = 0;
  let migration = '';
  let [source, target]: [Db, Db] = [undefined as never, undefined as never];
  let copy: Collection<Parcel>;
  let context: MoveContext;
  let stopping: AbortController;
  let following: Promise<unknown>[] = [];

  beforeAll(() => the.catalog.addKeyspace(keyspaceDocument(), [half('p0'), half('p1')]));

  /** The target owns a part, which was handed over in the step of epoch 2. */
  beforeEach(async () => {
    migration = `m${moves++}`;
    [source, target] = [await the.db('n0'), await the.db('n1')];
    await Promise.all([source.dropDatabase(), target.dropDatabase()]);
    await createFenced(source, NAME, { keyField: 'customerId', accepted: [{ low: MIDDLE, high: 0n }] });
    await createFenced(target, NAME, { keyField: 'customerId', accepted: [MOVED] });
    copy = target.collection<Parcel>(NAME);
    const state = { kind: 'idle' } as const;
    const route = { source: 'n0', target: 'n1', boundary: MIDDLE, fence: null };
    const partition = half('p0', { epoch: 3, attempt: 1, route, handover: { migration, target: 'n1', state } });
    await the.catalog.migrations.insert(record(migration));
    context = await openHandover(the.dependencies(), partition);
    await keepDefinition(the.dependencies(), context, await definitionToCopy(the.dependencies(), context), undefined);
    const documents = keys.map((customerId, i) => ({ _id: `${i}`, customerId }));
    for (const db of [source, target]) await db.collection<Parcel>(NAME).insertMany(documents, PAST);
    const since = await operationTime(target);
    await context.checkpoint('forward').create(WHOLE, await operationTime(source));
    await context.checkpoint('back').create(WHOLE, since);
    await context.checkpoint('back').receive({ epoch: 2, interval: MOVED, since });
    stopping = new AbortController();
  });
  afterEach(async () => {
    stopping.abort();
    await Promise.all(following);
    following = [];
  });

  const followBack = async () => {
    const copyUuid = (await inspect(source, NAME)).uuid;
    const [origin, destination] = [await the.nodes.get('n1'), await the.nodes.get('n0')];
    const end = follow({
      ...{ migration, direction: 'back', origin, destination, database: 'shop', collection: NAME, copyUuid },
      ...{ keyField: 'customerId', signal: stopping.signal, onProgress: () => undefined },
    }).catch((error: unknown) => error);
    following.push(end);
    return end;
  };
  const arrived = () => ping(context, 'back', 10_000);
  const lost = (partition?: Partition) =>
    noWayBack(the.dependencies(), partition === undefined ? context : { ...context, partition });
  const atSource = (): Partition => ({
    ...context.partition,
    route: { ...context.partition.route, boundary: TOKEN_MIN },
  });

  it.each([
    ['an update and a delete', async () => copy.updateOne({ _id: '0' }, { $set: { seen: true } }, PAST)],
    ['a delete alone', () => Promise.resolve()],
  ])('gets nothing handed back when it was renamed away and back meanwhile, with %s', async (_, update) => {
    const end = followBack();
    expect(await arrived()).toBe(true);
    await source.renameCollection(NAME, 'elsewhere');
    await update();
    await copy.deleteOne({ _id: '1' });
    expect(await arrived()).toBe(true);
    await source.renameCollection('elsewhere', NAME);
    // Also who has not seen it be away knows it.
    stopping.abort();
    expect(await end).toBeUndefined();
    stopping = new AbortController();
    const second = followBack();
    await copy.updateOne({ _id: '2' }, { $set: { seen: true } }, PAST);
    expect(await arrived()).toBe(true);
    expect(await source.collection<Parcel>(NAME).findOne({ _id: '2' })).not.toHaveProperty('seen');

    await new Markers(target).write(`${migration}/step`, migration, 'back', {
      boundary: { epoch: 4, interval: MOVED },
    });
    expect(await second).toMatchObject({ code: 'SourceChanged' });
    const { scope } = await context.checkpoint('back').get();
    expect(scopeFromBson(scope).owned).toMatchObject([MOVED]);
    expect(await lost()).toContain('"n0" was dropped or renamed while "n1" owned a part');
    expect(await the.catalog.migrations.find(migration)).toMatchObject({ sourceLost: true });
    expect(await copy.countDocuments()).toBe(keys.length - 1);
  });

  it('is one as before when nothing was written while it was away', async () => {
    void followBack();
    await source.renameCollection(NAME, 'elsewhere');
    expect(await arrived()).toBe(true);
    await source.renameCollection('elsewhere', NAME);
    await copy.updateOne({ _id: '2' }, { $set: { seen: true } }, PAST);
    expect(await arrived()).toBe(true);
    expect(await source.collection<Parcel>(NAME).findOne({ _id: '2' })).toMatchObject({ seen: true });
    expect(await lost()).toBeUndefined();
  });

  it('stays one that is lost, whatever is there later', async () => {
    await the.catalog.migrations.update(migration, { $set: { sourceLost: true, error: 'it was dropped' } });
    expect(await lost()).toBe('it was dropped');
    expect(await lost(atSource())).toBe('it was dropped');
  });

  it('keeps the copy also when the last step back had been made, unless the target never owned anything', async () => {
    await source.dropCollection(NAME);
    expect(await lost(atSource())).toBeUndefined();
    await context.checkpoint('forward').takeBack({ begun: 1, undone: 2 });
    expect(await lost(atSource())).toContain('was dropped or renamed');
  });

  it('is not the owner of what a step hands back, although its marker was read', async () => {
    void followBack();
    await source.dropCollection(NAME);
    const marker = { epoch: 4, interval: MOVED };
    const passing = handoverWorld(the.dependencies({ stepTimeout: 10_000 }), context).passMarker({
      ...{ do: 'passMarker', direction: 'back', marker },
    });
    await expect(passing).rejects.toMatchObject({
      code: 'StepUndone',
      message: expect.stringContaining('dropped') as string,
    });
  });

  it('gets one gate, and the copy keeps those that it has', async () => {
    const world = (at: Partition) =>
      openHandover(the.dependencies(), at).then((found) => handoverWorld(the.dependencies(), found));
    const { catalog } = the;
    const idle = await catalog.partitions.get(KEYSPACE, 'p0');
    const claimed = await catalog.partitions.advance(idle, { kind: 'claim', migration, target: 'n1' });
    const published = await catalog.partitions.advance(claimed, { kind: 'publish' });
    const { gates } = await run(gated(published), await world(published));
    await source.dropDatabase();
    for (const used of [1, 2]) {
      const moving = await openHandover(the.dependencies(), await catalog.partitions.get(KEYSPACE, 'p0'));
      const fenced = await fenceAnew(moving, await world(moving.partition), 'n0');
      expect(fenced.gates).toEqual(gates.slice(used));
      expect((await gatesOf(target, NAME)).map(({ name }) => name).sort()).toEqual(gates.slice(used));
      expect((await gatesOf(source, NAME)).map(({ name }) => name)).toEqual([gates[used]]);
      expect(await inspect(source, NAME)).toMatchObject({ fenced: true, empty: true });
      expect(await moving.checkpoint('back').find()).toBeDefined();
    }
    // And so does the copy, when it is that which is gone.
    await target.dropDatabase();
    const moving = await openHandover(the.dependencies(), await catalog.partitions.get(KEYSPACE, 'p0'));
    const fenced = await fenceAnew(moving, await world(moving.partition), 'n1');
    expect(fenced.gates).toEqual(gates.slice(3));
    for (const db of [source, target]) expect((await gatesOf(db, NAME)).map(({ name }) => name)).toEqual([gates[3]]);
    expect(await inspect(target, NAME)).toMatchObject({ fenced: true, empty: true });
    expect(await moving.checkpoint('forward').find()).toBeDefined();
  });

  it('is followed behind the end of its database', async () => {
    const [origin, destination] = [await the.nodes.get('n0'), await the.nodes.get('n1')];
    const forward = (originWasDropped: boolean) =>
      follow({
        ...{
          migration,
          direction: 'forward',
          origin,
          destination,
          database: 'shop',
          collection: NAME,
          originWasDropped,
        },
        ...{ keyField: 'customerId', signal: stopping.signal, onProgress: () => undefined },
      });
    await source.dropDatabase();
    await source.collection<Parcel>(NAME).insertOne({ _id: 'since', customerId: keys[0]! });
    await expect(forward(false)).rejects.toMatchObject({ code: 'SourceChanged' });
    await forward(true);
    const second = forward(true);
    following.push(second.catch((error: unknown) => error));
    expect(await Promise.race([second, ping(context, 'forward', 10_000)])).toBe(true);
    expect(await copy.findOne({ _id: 'since' })).not.toBeNull();
    // What was dropped with the old one is not taken for deleted.
    expect(await copy.countDocuments()).toBe(keys.length + 1);
  });

  describe('and is followed behind that', () => {
    let since: Collection<Parcel | { _id: string }>;
    let leftOut: LeftOut[];
    const followOn = async () => {
      const [origin, destination] = [await the.nodes.get('n0'), await the.nodes.get('n1')];
      const end = follow({
        ...{ migration, direction: 'forward', origin, destination, database: 'shop', collection: NAME },
        ...{ keyField: 'customerId', signal: stopping.signal, onProgress: () => undefined, originWasDropped: true },
        onLeftOut: async (what) => {
          leftOut.push(what);
          await noteLeftOut(the.dependencies(), context.move, what);
        },
      });
      following.push(end.catch((error: unknown) => error));
    };
    const followed = async () => expect(await ping(context, 'forward', 10_000)).toBe(true);
    const begunAnew = async () => {
      stopping.abort();
      await Promise.all(following);
      stopping = new AbortController();
      await followOn();
    };

    beforeEach(async () => {
      leftOut = [];
      await source.dropCollection(NAME);
      since = source.collection(NAME);
      await followOn();
    });

    it.each([
      ['at once', () => Promise.resolve()],
      ['later', () => followed()],
      ['after the follower was begun anew', () => followed().then(begunAnew)],
    ])('keeps what has the id of a document that somebody else has inserted, and deletes %s', async (_, wait) => {
      // Without a key, and with one of another document: of another partition, and of this one.
      const upper = Array.from({ length: 40 }, (_, i) => `customer-${i}`).find((key) => tokenOfKey(key) >= 0n)!;
      await since.insertMany([{ _id: '0' }, { _id: '1', customerId: upper }, { _id: '2', customerId: keys[2]! }]);
      await wait();
      await since.deleteMany({});
      await followed();
      // The last one is the same document, by its key.
      expect((await copy.find().toArray()).map(({ _id }) => _id).sort()).toEqual(
        keys.map((_key, i) => `${i}`).filter((id) => id !== '2').sort(), // prettier-ignore
      );
      // What is written to the document itself counts again.
      await since.insertOne({ _id: '0', customerId: keys[0]!, seen: true });
      await followed();
      expect(await copy.findOne({ _id: '0' })).toMatchObject({ seen: true });
      await since.deleteOne({ _id: '0' });
      await followed();
      expect(await copy.findOne({ _id: '0' })).toBeNull();
    });

    it('takes what the owner has accepted last in the place of what has its unique value, and says so', async () => {
      const [MINE, THEIRS] = [
        { _id: 'mine', email: 'a' },
        { _id: 'theirs', email: 'b' },
      ];
      const upper = Array.from({ length: 40 }, (_, i) => `customer-${i}`).find((key) => tokenOfKey(key) >= 0n)!;
      await copy.createIndex({ email: 1 }, { unique: true, sparse: true, collation: { locale: 'en', strength: 2 } });
      await copy.createIndex({ number: 1 }, { unique: true, partialFilterExpression: { number: { $gt: 0 } } });
      await copy.insertMany([{ ...MINE, customerId: keys[0]! }, { ...THEIRS, customerId: upper }], PAST); // prettier-ignore
      await copy.insertOne({ _id: 'numbered', customerId: keys[0]!, number: 2n ** 60n } as never, PAST);
      const made = [
        { _id: 'new', customerId: keys[1]!, email: 'A' },
        // That one is the other side's.
        { _id: 'refused', customerId: keys[1]!, email: 'B' },
        // One of them only.
        { _id: 'twin 1', customerId: keys[2]!, email: 'c' },
        { _id: 'twin 2', customerId: keys[3]!, email: 'c' },
        { _id: 'other number', customerId: keys[4]!, number: 2n ** 60n },
        { _id: 'free', customerId: keys[5]!, email: 'd' },
      ];
      await since.insertMany(made);
      expect(await ping(context, 'forward', 20_000)).toBe(true);
      const ids = (await copy.find({ customerId: { $exists: true }, _id: /[a-z]/ }).toArray()).map(({ _id }) => _id);
      expect(ids.sort()).toEqual(['free', 'new', 'other number', 'theirs', 'twin 1']);
      const { leftOut: noted, error } = (await the.catalog.migrations.find(migration))!;
      expect(noted).toEqual(leftOut);
      expect(error).toMatch(/not all of them could be taken over/);
      expect(noted!.map(({ what, document }) => `${what} ${String((JSON.parse(document) as Parcel)._id)}`).sort()).toEqual([
        'leftOut refused',
        'leftOut twin 2',
        'removed mine',
        'removed numbered',
      ]); // prettier-ignore
      expect(noted!.map(({ fields }) => fields)).toContainEqual(['email']);
      // What comes later is followed.
      await since.updateOne({ _id: 'new' }, { $set: { seen: true } });
      await since.deleteOne({ _id: 'refused' });
      await followed();
      expect(await copy.findOne({ _id: 'new' })).toMatchObject({ seen: true });
      expect(await copy.countDocuments({ email: /b/i })).toBe(1);
    });

    it('takes what somebody else has inserted for the document as soon as it has its key', async () => {
      await since.insertOne({ _id: '0' });
      await followed();
      await since.updateOne({ _id: '0' }, { $set: { customerId: keys[0]!, seen: true } });
      await followed();
      expect(await copy.findOne({ _id: '0' })).toMatchObject({ seen: true });
      await since.deleteOne({ _id: '0' });
      await followed();
      expect(await copy.findOne({ _id: '0' })).toBeNull();
    });

    it('says so when another document of the owner takes an id', async () => {
      await since.insertOne({ _id: '0', customerId: keys[1]! });
      await followed();
      expect(await copy.findOne({ _id: '0' })).toEqual({ _id: '0', customerId: keys[1] });
      const document = JSON.stringify({ _id: '0', key: keys[0] });
      expect(leftOut).toEqual([{ what: 'removed', document, fields: ['_id'] }]);
    });
  });

  it('leaves what somebody has to look at in the record of a rollback', async () => {
    await the.catalog.migrations.update(migration, { $set: { error: 'rename it, or drop it' } });
    const { releaseClaim } = createLifecycleActivities(the.dependencies());
    await releaseClaim({ migration, keyspace: KEYSPACE, partition: 'p1', reason: 'asked for' });
    const error = 'asked for; rename it, or drop it';
    expect(await the.catalog.migrations.find(migration)).toMatchObject({ state: 'rolledBack', error });
  });

  it('is not lost when it is the target’s that is gone: the source takes that back', async () => {
    const dependencies = the.dependencies();
    expect(await isTargetLost(dependencies, context)).toBe(false);
    const { catalog } = the;
    await target.dropDatabase();
    // As long as it owns nothing, the rollback needs nothing else.
    expect(await isTargetLost(dependencies, { ...context, partition: atSource() })).toBe(false);
    expect(await isTargetLost(dependencies, context)).toBe(true);
    const { targetLost, error } = (await catalog.migrations.find(migration))!;
    expect(targetLost).toBe(true);
    expect(error).toContain('on "n1" was dropped or renamed while "n1" owned a part');
    expect(await lost()).toBeUndefined();
  });

  it('is not made anew by a gate', async () => {
    await source.dropCollection(NAME);
    await expect(makeGates(source, NAME, newGates('p0', 1))).rejects.toMatchObject({ code: 'SourceChanged' });
    expect((await inspect(source, NAME)).exists).toBe(false);
  });
});
