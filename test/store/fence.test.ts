import type { Collection, Document } from 'mongodb';
import { Long } from 'mongodb';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import type { Dependencies } from '../../activities/index.js';
import type { PartitionContext } from '../../activities/move-context.js';
import { fencingWorld } from '../../activities/world.js';
import type { Partition } from '../../domain/partition.js';
import { TOKEN_END, TOKEN_MIN } from '../../domain/token.js';
import * as fences from '../../store/fenced-collection.js';
import {
  inspect,
  isFenced,
  isFencedBy,
  isValidationFailure,
  replaceByClosed,
  TOUCH_FIELD,
} from '../../store/fenced-collection.js';
import { dropGates, gatesOf, indexBuilds, makeGates, newGates } from '../../store/gates.js';
import { tokenOfKey } from '../../store/key-token.js';
import { endTransactions, openTransactions } from '../../store/transactions.js';
import { connect } from '../../store/connect.js';
import { createFenced, setAccepted } from './fences.js';
import { until, useServers } from './servers.js';

const { clients, uris } = useServers(1);
const db = () => clients[0]!.db('shop');

const keys = Array.from({ length: 50 }, (_, i) => `customer-${i}`);
const kept = keys.filter((key) => tokenOfKey(key) >= 0n);
const lost = keys.filter((key) => tokenOfKey(key) < 0n);
const UPPER_HALF = [{ low: 0n, high: TOKEN_END }];
const EVERYTHING = [{ low: TOKEN_MIN, high: TOKEN_END }];

describe('a fenced collection', () => {
  let orders: Collection<Document>;

  beforeAll(async () => {
    await createFenced(db(), 'orders', 'customerId', EVERYTHING);
    orders = db().collection('orders');
    await orders.insertMany(keys.map((customerId, i) => ({ _id: i as never, customerId, seq: 0 })));
    await setAccepted(db(), 'orders', 'customerId', UPPER_HALF);
  });

  const refused: readonly (readonly [string, () => Promise<unknown>])[] = [
    ['an insert', () => orders.insertOne({ customerId: lost[0] })],
    ['an update', () => orders.updateOne({ customerId: lost[0] }, { $inc: { seq: 1 } })],
    ['an update of many', () => orders.updateMany({ customerId: lost[0] }, { $inc: { seq: 1 } })],
    ['an update by a pipeline', () => orders.updateOne({ customerId: lost[0] }, [{ $set: { seq: -1 } }])],
    ['a replacement', () => orders.replaceOne({ customerId: lost[0] }, { customerId: lost[0], seq: 9 })],
    [
      'an upsert',
      () => orders.updateOne({ customerId: lost[0], _id: 'new' as never }, { $set: { seq: 1 } }, { upsert: true }),
    ],
    ['a findOneAndUpdate', () => orders.findOneAndUpdate({ customerId: lost[0] }, { $inc: { seq: 1 } })],
    ['a findOneAndReplace', () => orders.findOneAndReplace({ customerId: lost[0] }, { customerId: lost[0], seq: 9 })],
    [
      'a $merge',
      () =>
        orders.aggregate([{ $match: { customerId: lost[0] } }, { $set: { seq: 7 } }, { $merge: 'orders' }]).toArray(),
    ],
    [
      'a change of the key from a kept interval into a lost one',
      () => orders.updateOne({ customerId: kept[0] }, { $set: { customerId: lost[0] } }),
    ],
    ['a missing key', () => orders.insertOne({ seq: 1 })],
    ['an array as key', () => orders.insertOne({ customerId: [kept[0]] })],
    ['an empty array as key', () => orders.insertOne({ customerId: [] })],
  ];
  it.each(refused)('refuses %s of a token that its node does not own', async (_what, write) => {
    const before = await orders.find().sort({ _id: 1 }).toArray();
    const error: unknown = await write().catch((reason: unknown) => reason);
    expect(isFenced(error)).toBe(true);
    expect(await orders.find().sort({ _id: 1 }).toArray()).toEqual(before);
  });

  it('refuses the same writes inside of a transaction', async () => {
    const session = clients[0]!.startSession();
    session.startTransaction();
    const error: unknown = await orders
      .insertOne({ customerId: lost[0] }, { session })
      .catch((reason: unknown) => reason);
    await session.abortTransaction();
    await session.endSession();
    expect(isFenced(error)).toBe(true);
  });

  it('tells in a bulk write which ones were refused, and takes the others', async () => {
    const documents = [kept[0], lost[0], kept[1], lost[1]].map((customerId) => ({ customerId, bulk: true }));
    const error = (await orders.insertMany(documents, { ordered: false }).catch((reason: unknown) => reason)) as {
      writeErrors: { index: number; code: number }[];
    };
    expect(error.writeErrors.map(({ index, code }) => [index, code])).toEqual([
      [1, 121],
      [3, 121],
    ]);
    expect(await orders.countDocuments({ bulk: true })).toBe(2);
    await orders.deleteMany({ bulk: true });
  });

  const accepted: readonly (readonly [string, () => Promise<unknown>])[] = [
    ['writes of tokens that the node owns', () => orders.updateOne({ customerId: kept[0] }, { $inc: { seq: 1 } })],
    [
      'an update of a lost token that changes nothing',
      () => orders.updateOne({ customerId: lost[0] }, { $set: { seq: 0 } }),
    ],
    ['an update that matches nothing', () => orders.updateOne({ customerId: 'nobody' }, { $set: { seq: 0 } })],
    [
      'replication, which passes by the fence',
      () => orders.updateOne({ customerId: lost[1] }, { $inc: { seq: 1 } }, { bypassDocumentValidation: true }),
    ],
    ['every delete, which is why the router guards its own', () => orders.deleteOne({ customerId: lost[2] })],
    [
      'a change of the key from a lost interval into a kept one, which the router refuses',
      () => orders.updateOne({ customerId: lost[3] }, { $set: { customerId: kept[3] } }),
    ],
  ];
  it.each(accepted)('does not see, or lets through: %s', async (_what, write) => {
    await expect(write()).resolves.toMatchObject({ acknowledged: true });
  });

  it('that accepts nothing refuses everything; one that accepts everything, nothing but what has no key', async () => {
    await createFenced(db(), 'closed', 'customerId', []);
    for (const customerId of [...keys, null, 5, true]) {
      const error: unknown = await db()
        .collection('closed')
        .insertOne({ customerId })
        .catch((reason: unknown) => reason);
      expect(isFenced(error)).toBe(true);
    }
    await setAccepted(db(), 'closed', 'customerId', EVERYTHING);
    for (const customerId of [...keys, null, 5, true]) await db().collection('closed').insertOne({ customerId });
    const noKey: unknown = await db()
      .collection('closed')
      .insertOne({})
      .catch((reason: unknown) => reason);
    expect(isFenced(noKey)).toBe(true);
  });

  it('decides at the bounds of its intervals as the domain does, the last token included', async () => {
    const customerId = kept[0]!;
    const token = tokenOfKey(customerId);
    const tryWith = async (low: bigint, high: bigint) => {
      await setAccepted(db(), 'closed', 'customerId', [{ low, high }]);
      return db()
        .collection('closed')
        .insertOne({ customerId })
        .then(
          () => true,
          (error: unknown) => !isFenced(error),
        );
    };
    expect(await tryWith(token, token + 1n)).toBe(true);
    expect(await tryWith(token + 1n, TOKEN_END)).toBe(false);
    expect(await tryWith(TOKEN_MIN, token)).toBe(false);
    expect(await tryWith(token, TOKEN_END)).toBe(true);
  });

  it('works by a key that lies in a sub-document', async () => {
    await createFenced(db(), 'nested', 'customer.id', UPPER_HALF);
    const nested = db().collection('nested');
    await nested.insertOne({ customer: { id: kept[0] } });
    for (const document of [{ customer: { id: lost[0] } }, { customer: {} }, {}, { customer: [{ id: kept[0] }] }]) {
      expect(isFenced(await nested.insertOne(document).catch((reason: unknown) => reason))).toBe(true);
    }
  });
});

describe('a gate', () => {
  const fence = { keyField: 'customerId', accepted: EVERYTHING };

  it('lets its own attempt set the fence, and no longer when it was dropped', async () => {
    await createFenced(db(), 'gated', 'customerId', []);
    const [mine, next, ...spare] = newGates('p0', 1);
    await makeGates(db(), 'gated', [mine!, next!, ...spare]);
    expect(await fences.setAccepted(db(), 'gated', fence, mine!)).toBe(true);
    await dropGates(db(), 'gated', ({ name }) => name !== next);
    expect(await gatesOf(db(), 'gated')).toMatchObject([{ name: next, partition: 'p0', attempt: 1 }]);
    await expect(fences.setAccepted(db(), 'gated', { ...fence, accepted: [] }, mine!)).rejects.toMatchObject({
      code: 'Superseded',
    });
    // Nothing of the refused command was done.
    await db().collection('gated').insertOne({ customerId: lost[0] });
    expect(await fences.setAccepted(db(), 'gated', { ...fence, accepted: [] }, next!)).toBe(true);
    await dropGates(db(), 'gated', () => true);
    expect(await gatesOf(db(), 'gated')).toEqual([]);
  });

  it('is no index that a query uses, and holds nothing', async () => {
    const [gate] = newGates('p0', 1);
    await makeGates(db(), 'orders', [gate!]);
    const [stats] = await db()
      .collection('orders')
      .aggregate([{ $collStats: { storageStats: {} } }])
      .toArray();
    expect(stats!['storageStats'].indexSizes[gate!]).toBeLessThan(20_000);
    const index = (await db().collection('orders').indexes()).find(({ name }) => name === gate);
    expect(index).toMatchObject({ hidden: true, sparse: true });
    await dropGates(db(), 'orders', () => true);
  });

  it('that is being made is seen to be, also when its maker is gone, and dropped like any other', async () => {
    const large = db().collection('large');
    await createFenced(db(), 'large', 'customerId', EVERYTHING);
    for (let batch = 0; batch < 60; batch++) {
      const documents = Array.from({ length: 10_000 }, (_, i) => ({ customerId: `${batch}-${i}` }));
      await large.insertMany(documents, { writeConcern: { w: 1 } });
    }
    const [ready] = newGates('p0', 6);
    await makeGates(db(), 'large', [ready!]);
    const gates = newGates('p0', 7);
    const maker = await connect(uris[0]!, 'maker');
    const made = makeGates(maker.db('shop'), 'large', gates).catch((error: unknown) => error);
    await until('the build', async () => (await indexBuilds(db(), 'large')).length > 0);
    await maker.close(true);
    await made;
    expect((await indexBuilds(db(), 'large')).sort()).toEqual([...gates].sort());
    // Old ones and unfinished ones together are no list that the server drops.
    await until('the drop', () => dropGates(db(), 'large', () => true));
    expect(await gatesOf(db(), 'large')).toEqual([]);
    expect(await indexBuilds(db(), 'large')).toEqual([]);

    // An index of anybody's keeps every fence as it is for as long as it is being built: no step begins meanwhile.
    const built = large.createIndex({ customerId: 1 });
    await until('the build', async () => (await indexBuilds(db(), 'large')).length > 0);
    const context = { partition: { collection: 'large' }, sharing: [], client: () => clients[0], db };
    const log = { warn: vi.fn() };
    const world = fencingWorld({ log } as unknown as Dependencies, context as unknown as PartitionContext);
    const partition = { route: { source: 'a', target: null } } as unknown as Partition;
    await world.awaitTransactions({ do: 'awaitTransactions', partition });
    expect(await indexBuilds(db(), 'large')).toEqual([]);
    expect(log.warn).toHaveBeenCalledOnce();
    await built;
  });

  it('of a collection that is not there is dropped already', async () => {
    await dropGates(db(), 'nowhere', () => true);
    expect(await gatesOf(db(), 'nowhere')).toEqual([]);
  });

  it('waits for no transaction for long: the fence stays as it was, and says so', async () => {
    await createFenced(db(), 'busy', 'customerId', EVERYTHING);
    const gates = newGates('p0', 1);
    await makeGates(db(), 'busy', gates);
    const session = clients[0]!.startSession();
    session.startTransaction();
    await db().collection('busy').findOne({}, { session });
    const startedAt = performance.now();
    expect(await fences.setAccepted(db(), 'busy', { ...fence, accepted: [] }, gates[0]!)).toBe(false);
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    expect(await dropGates(db(), 'busy', () => true)).toBe(false);
    await db().collection('busy').insertOne({ customerId: lost[0] });

    // The transaction of a client that is gone is found, also while it is idle, and ended.
    await new Promise((resolve) => setTimeout(resolve, 60));
    const open = await openTransactions(clients[0]!, 50);
    expect(open.map(({ appName }) => appName)).toEqual(['drover']);
    await endTransactions(clients[0]!, open);
    expect(await fences.setAccepted(db(), 'busy', { ...fence, accepted: [] }, gates[0]!)).toBe(true);
    await expect(session.commitTransaction()).rejects.toMatchObject({ errorLabels: expect.anything() as unknown });
    await session.endSession();
  });
});

describe('a fence that somebody else has changed', () => {
  it('is told from one that is as it should be', async () => {
    const fence = { keyField: 'customerId', accepted: UPPER_HALF, validator: { total: { $gte: 0 } } };
    await fences.createFenced(db(), 'watched', fence);
    const options = async () => (await inspect(db(), 'watched')).options;
    expect(isFencedBy(await options(), fence)).toBe(true);
    expect(isFencedBy(await options(), { ...fence, accepted: EVERYTHING })).toBe(false);
    await db().command({ collMod: 'watched', validationAction: 'warn' });
    expect(isFencedBy(await options(), fence)).toBe(false);
    await db().command({ collMod: 'watched', validationAction: 'error', validationLevel: 'moderate' });
    expect(isFencedBy(await options(), fence)).toBe(false);
    await db().command({ collMod: 'watched', validationLevel: 'strict' });
    expect(isFencedBy(await options(), fence)).toBe(true);
    await db().command({ collMod: 'watched', validator: {} });
    expect(isFencedBy(await options(), fence)).toBe(false);
  });
});

describe('a refusal by a validator of the user', () => {
  it('is no fence', async () => {
    await db().createCollection('checked', { validator: { $expr: { $gte: ['$total', 0] } } });
    const error: unknown = await db()
      .collection('checked')
      .insertOne({ total: -1 })
      .catch((reason: unknown) => reason);
    expect(isValidationFailure(error)).toBe(true);
    expect(isFenced(error)).toBe(false);
  });

  it('beside a fence is told apart from the fence', async () => {
    await fences.createFenced(db(), 'both', {
      keyField: 'customerId',
      accepted: UPPER_HALF,
      validator: {
        $jsonSchema: { properties: { _id: {}, customerId: {}, total: { minimum: 0 } }, additionalProperties: false },
      },
    });
    const both = db().collection('both');
    const failure = (document: Document) => both.insertOne(document).catch((reason: unknown) => reason);
    expect(isFenced(await failure({ customerId: lost[0], total: 1 }))).toBe(true);
    const byUser = await failure({ customerId: kept[0], total: -1 });
    expect(isValidationFailure(byUser)).toBe(true);
    expect(isFenced(byUser)).toBe(false);
  });

  it('lets the touch before a delete pass, which the fence does not', async () => {
    const both = db().collection('both');
    await both.insertOne({ customerId: kept[0], total: 1 });
    await both.insertOne({ customerId: lost[0], total: 1 }, { bypassDocumentValidation: true });
    const touch = { $set: { [TOUCH_FIELD]: 1 } };
    expect((await both.updateOne({ customerId: kept[0] }, touch)).modifiedCount).toBe(1);
    const late: unknown = await both.updateOne({ customerId: lost[0] }, touch).catch((reason: unknown) => reason);
    expect(isFenced(late)).toBe(true);
  });

  it('no other error is a fence', () => {
    expect(
      [undefined, null, new Error('"droverToken"'), { code: 11000, errInfo: 'droverToken' }].map(isFenced),
    ).toEqual([false, false, false, false]);
  });
});

describe('inspecting what stands under a name', () => {
  it('tells a fenced collection from another one, an empty one from one with documents, and a view', async () => {
    await createFenced(db(), 'seen', 'customerId', []);
    expect(await inspect(db(), 'seen')).toMatchObject({ exists: true, type: 'collection', fenced: true, empty: true });
    expect(await inspect(db(), 'orders')).toMatchObject({ fenced: true, empty: false });
    expect(await inspect(db(), 'checked')).toMatchObject({ fenced: false });
    expect(await inspect(db(), 'nothing')).toMatchObject({ exists: false, fenced: false, empty: true });
    await db().createCollection('view', { viewOn: 'orders', pipeline: [] });
    expect(await inspect(db(), 'view')).toMatchObject({ type: 'view' });
  });

  it('a name that is taken is refused', async () => {
    await expect(createFenced(db(), 'orders', 'customerId', [])).rejects.toMatchObject({ code: 'Refused' });
  });
});

describe('replacing a copy by a closed collection', () => {
  const mine = () => Promise.resolve();
  const gates = async (name: string) =>
    (await db().listCollections({}, { nameOnly: true }).toArray()).filter((each) =>
      each.name.startsWith(`${name}.closed-`),
    );

  it('leaves a closed empty collection under the name, which is never free in between', async () => {
    await createFenced(db(), 'retired', 'customerId', EVERYTHING);
    const retired = db().collection('retired');
    let inserted = 0;
    let stop = false;
    // A router with an old route: what it inserts must never make a collection of its own.
    const stale = (async () => {
      while (!stop) {
        const error: unknown = await retired.insertOne({ customerId: kept[0] }).then(
          () => void inserted++,
          (reason: unknown) => reason,
        );
        if (error !== undefined && !isFenced(error)) {
          const { code } = error as { code: number };
          // The rename may interrupt a write that is under way.
          expect([175, 11601, 112]).toContain(code);
        }
      }
    })();
    await new Promise((resolve) => setTimeout(resolve, 50));
    await replaceByClosed(db(), 'retired', { keyField: 'customerId' }, 'm-1', mine);
    await new Promise((resolve) => setTimeout(resolve, 50));
    stop = true;
    await stale;
    expect(inserted).toBeGreaterThan(0);
    expect(await inspect(db(), 'retired')).toMatchObject({ exists: true, fenced: true, empty: true });
    expect(await gates('retired')).toEqual([]);
  });

  it('can be repeated', async () => {
    await replaceByClosed(db(), 'retired', { keyField: 'customerId' }, 'm-1', mine);
    await replaceByClosed(db(), 'retired', { keyField: 'customerId' }, 'm-2', mine);
    expect(await inspect(db(), 'retired')).toMatchObject({ fenced: true, empty: true });
  });

  it('an attempt that was taken over replaces nothing and leaves no gate', async () => {
    await createFenced(db(), 'live', 'customerId', EVERYTHING);
    await db().collection('live').insertOne({ customerId: kept[0] });
    const notMine = () => Promise.reject(new Error('another attempt has taken over'));
    await expect(replaceByClosed(db(), 'live', { keyField: 'customerId' }, 'm-1', notMine)).rejects.toThrow(
      'taken over',
    );
    expect(await inspect(db(), 'live')).toMatchObject({ empty: false });
    expect(await gates('live')).toEqual([]);
  });

  it('an attempt that sleeps before its last step finds its gate gone, and replaces nothing', async () => {
    await createFenced(db(), 'moved', 'customerId', EVERYTHING);
    let wake!: () => void;
    const asleep = new Promise<void>((resolve) => (wake = resolve));
    const zombie = replaceByClosed(db(), 'moved', { keyField: 'customerId' }, 'm-1', () => asleep).catch(
      (reason: unknown) => reason,
    );
    await new Promise((resolve) => setTimeout(resolve, 100));
    await replaceByClosed(db(), 'moved', { keyField: 'customerId' }, 'm-2', mine);
    // By now the name belongs to something that is alive again.
    await setAccepted(db(), 'moved', 'customerId', EVERYTHING);
    await db()
      .collection('moved')
      .insertOne({ customerId: kept[0], big: Long.fromNumber(1) });
    wake();
    expect(await zombie).toBeInstanceOf(Error);
    expect(await inspect(db(), 'moved')).toMatchObject({ empty: false });
  });
});
