import type { ChangeStream, ChangeStreamOptions, ClientSession, Document } from 'mongodb';
import { ChangeStream as DriversChangeStream, Long, Timestamp } from 'mongodb';
import { once } from 'node:events';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { handOver } from '../../domain/replication.js';
import { TOKEN_MIN } from '../../domain/token.js';
import type { DroverClient, DroverCollection, DroverSession } from '../../router/index.js';
import { positionOf, tokenOf } from '../../router/watch/position.js';
import { Checkpoint, CHECKPOINTS, Markers } from '../../store/checkpoint.js';
import { scopeFromBson } from '../../store/codec.js';
import { lower, upper, useCluster } from './cluster.js';
import { ReplyLosingProxy } from './reply-losing-proxy.js';

const cluster = useCluster();
const proxy = new ReplyLosingProxy();
const [customerId, other] = lower as [string, string];
const AWAIT = { maxAwaitTimeMS: 50 };
type Changes = ChangeStream<Document, Document>;

let client: DroverClient;
let orders: DroverCollection<Document>;
beforeAll(async () => {
  const a = await proxy.start(cluster.uris[0]!);
  client = await cluster.connect({ nodes: { a, b: cluster.uris[1]! }, holdTimeoutMS: 30_000 });
});
afterAll(() => proxy.stop());
beforeEach(() => {
  orders = cluster.orders(client);
});

const watch = (options: ChangeStreamOptions = {}, pipeline: Document[] = []): Changes =>
  orders.watch<Document, Document>(pipeline, { ...AWAIT, ...options } as never);

/** A stream from now on. */
async function watching(options?: ChangeStreamOptions, pipeline?: Document[]): Promise<Changes> {
  const changes = watch(options, pipeline);
  expect(await changes.tryNext()).toBeNull();
  return changes;
}

async function take(changes: Changes, count: number): Promise<Document[]> {
  const events: Document[] = [];
  while (events.length < count) events.push(await changes.next());
  return events;
}

const failure = async (changes: Changes): Promise<Document> => {
  try {
    for (let i = 0; i < 100; i++) await changes.tryNext();
  } catch (error) {
    return error as Document;
  } finally {
    await changes.close();
  }
  throw new Error('no error');
};

const kinds = (events: readonly Document[]) =>
  events.map(({ operationType, documentKey }) => [operationType, documentKey._id]);

describe('a change stream', () => {
  /** Every way to write, on either kind of collection. */
  async function writeInEveryWay(on: DroverCollection<Document>, session: DroverSession): Promise<void> {
    const document = (_id: number, more: Document = {}) => ({ _id: _id as never, customerId, n: _id, ...more });
    const one = (_id: number) => ({ _id: _id as never, customerId });
    await on.insertOne(document(1, { big: Long.fromString('9007199254740993'), list: [1, 2, 3], deep: { a: 1 } }));
    await on.insertMany([2, 3, 4, 5, 6, 7, 8].map((_id) => document(_id)));
    await on.updateOne(one(1), { $set: { 'deep.a': 2 }, $unset: { n: '' }, $push: { list: 4 } as never });
    await on.updateOne(one(1), [{ $set: { list: { $slice: ['$list', 2] } } }]);
    await on.updateOne(one(1), { $set: { 'deep.a': 2 } });
    await on.updateMany({ customerId, n: { $lt: 4 } }, { $inc: { n: 10 } });
    await on.updateOne(one(9), { $set: { n: 9 } }, { upsert: true });
    await on.replaceOne(one(2), { customerId, replaced: true });
    await on.findOneAndUpdate(one(3), { $inc: { n: 1 } });
    await on.findOneAndReplace(one(3), { customerId, n: 33 });
    await on.findOneAndDelete(one(3));
    await on.deleteOne(one(4));
    await on.deleteMany({ customerId, n: { $gte: 5, $lte: 6 } });
    await session.withTransaction(async () => {
      await on.updateOne(one(7), { $inc: { n: 1 } }, { session });
      await on.deleteOne(one(7), { session });
      await on.insertOne(document(10), { session });
      await on.deleteMany(one(8), { session });
    });
    await on.insertOne(document(99));
  }

  const exactly = { promoteValues: false, promoteLongs: false, promoteBuffers: false };
  it.each<[ChangeStreamOptions, Document[], number]>([
    [{}, [], 25],
    [{ fullDocument: 'updateLookup' }, [], 25],
    [{ fullDocument: 'updateLookup', ...exactly }, [], 25],
    [{ fullDocument: 'whenAvailable', fullDocumentBeforeChange: 'whenAvailable', showExpandedEvents: true }, [], 25],
    [{ fullDocument: 'required', fullDocumentBeforeChange: 'required', useBigInt64: true }, [], 25],
    [{}, [{ $match: { operationType: { $nin: ['delete', 'insert'] } } }], 8],
    [
      { fullDocument: 'updateLookup' },
      [{ $set: { type: { $type: '$fullDocument.big' } } }, { $unset: 'documentKey' }],
      25,
    ],
    [{ collation: { locale: 'en', strength: 2 }, batchSize: 2 }, [{ $match: { operationType: 'UPDATE' } }], 6],
  ])('tells what the driver’s tells, with %j and the stages %j', async (options, pipeline, count) => {
    await cluster.plainClient().db('plain').createCollection(cluster.name);
    const images = { changeStreamPreAndPostImages: { enabled: true } };
    await cluster
      .plainClient()
      .db('plain')
      .command({ collMod: cluster.name, ...images });
    await cluster.db('a').command({ collMod: `${cluster.name}.p0`, ...images });
    const [ours, theirs] = [
      watch(options, pipeline),
      cluster.plain().watch<Document, Document>(pipeline, { ...AWAIT, ...options }),
    ];
    for (const each of [ours, theirs]) await each.tryNext();

    await using session = client.startSession();
    await writeInEveryWay(orders, session);
    await cluster
      .plainClient()
      .withSession((driversSession: ClientSession) =>
        writeInEveryWay(cluster.plain() as never, driversSession as never),
      );
    const all = async (changes: Changes) => {
      const events: Document[] = [];
      for (let quiet = 0; quiet < (events.length < count ? 200 : 2);) {
        const event = await changes.tryNext();
        quiet = event === null ? quiet + 1 : 0;
        if (event !== null) events.push(event);
      }
      await changes.close();
      // Deletes are transactions of the router's.
      const others = ['_id', 'ns', 'clusterTime', 'wallTime', 'collectionUUID', 'lsid', 'txnNumber'];
      return events.map((event) => Object.entries(event).filter(([name]) => !others.includes(name)));
    };
    const [told, expected] = [await all(ours), await all(theirs)];
    expect(expected.length).toBe(count);
    expect(told).toEqual(expected);
  });

  it('tells of all nodes, as of one collection', async () => {
    const changes = await watching();
    await orders.insertOne({ _id: 1 as never, customerId });
    await orders.insertOne({ _id: 2 as never, customerId: upper[0] });
    const events = await take(changes, 2);
    expect(kinds(events).sort()).toEqual([
      ['insert', 1],
      ['insert', 2],
    ]);
    for (const { ns } of events) expect(ns).toEqual({ db: 'shop', coll: cluster.name });
    await changes.close();
  });

  it('begins at a moment at which nothing is changing hands', async () => {
    await cluster.announce();
    await cluster.advance({ kind: 'begin', boundary: 0n });
    await cluster.acknowledged();
    const changes = watch();
    let begun = false;
    const beginning = changes.tryNext().then(() => (begun = true));
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(begun).toBe(false);
    await cluster.advance({ kind: 'own', since: 1n }, { kind: 'settle' });
    expect(await beginning).toBe(true);
    await changes.close();
  });

  it('tells nothing of what Drover writes, however large, and everything of who goes past the router', async () => {
    const changes = await watching({ fullDocumentBeforeChange: 'whenAvailable' });
    const stored = cluster.stored('a');
    await stored.insertOne({ _id: 1 as never, customerId });
    await cluster.db('a').client.withSession((session) =>
      session.withTransaction(async () => {
        const checkpoints = cluster.db('a').collection(CHECKPOINTS);
        await checkpoints.updateOne({ _id: 'm/copy/0' as never }, { $inc: { n: 1 } }, { session, upsert: true });
        const big = Buffer.alloc(16 * 1024 * 1024 - 100);
        await stored.insertOne({ _id: 2 as never, customerId, big }, { session });
      }),
    );
    await stored.deleteOne({ _id: 1 as never });
    await using session = client.startSession();
    const largest = { _id: 3 as never, customerId, big: Buffer.alloc(16 * 1024 * 1024 - 100) };
    await session.withTransaction(() => orders.insertOne(largest, { session }));
    expect(kinds(await take(changes, 3))).toEqual([
      ['insert', 1],
      ['delete', 1],
      ['insert', 3],
    ]);
    expect(await changes.tryNext()).toBeNull();
    await changes.close();
  });

  it('goes on where it was when connections are lost', async () => {
    const changes = await watching();
    const events: Document[] = [];
    for (let i = 0; i < 20; i++) {
      // Of all commands only `getMore` has a field of this name.
      if (i % 5 === 0) proxy.lose('collection', 2);
      await orders.insertOne({ _id: i as never, customerId: i % 2 === 0 ? customerId : upper[0] });
      if (i % 3 === 0) events.push(await changes.next());
    }
    events.push(...(await take(changes, 20 - events.length)));
    expect(proxy.seen).toBeGreaterThan(0);
    proxy.lose('', 0);
    const ids = events.map(({ documentKey }) => documentKey._id as number);
    const of = (rest: number) => ids.filter((id) => id % 2 === rest);
    expect([of(0), of(1)]).toEqual([0, 1].map((rest) => Array.from({ length: 10 }, (_, i) => 2 * i + rest)));
    await changes.close();
  });
});

describe('it can be used', () => {
  it('as the driver’s: iterated, listened to, streamed, closed', async () => {
    expect(watch()).toBeInstanceOf(DriversChangeStream);
    const iterated = await watching();
    await orders.insertMany([1, 2, 3].map((_id) => ({ _id: _id as never, customerId })));
    expect(await iterated.hasNext()).toBe(true);
    const ids: number[] = [];
    for await (const { documentKey } of iterated) {
      ids.push(documentKey._id as number);
      if (ids.length === 2) break;
    }
    expect(ids).toEqual([1, 2]);
    expect(iterated.closed).toBe(true);

    const listened = watch({ resumeAfter: iterated.resumeToken });
    const [event] = (await once(listened, 'change')) as [Document];
    expect(event['documentKey']).toEqual({ _id: 3 });
    expect(listened.resumeToken).toEqual(expect.objectContaining({ _data: expect.any(String) as string }));
    await expect(listened.next()).rejects.toThrow(/cannot be used as an iterator/);
    const closed = once(listened, 'close');
    await listened.close();
    await closed;

    const streamed = watch({ startAfter: event['_id'] }).stream();
    await orders.insertOne({ _id: 4 as never, customerId: other });
    for await (const each of streamed) {
      expect(each['documentKey']).toEqual({ _id: 4 });
      break;
    }
    expect(streamed.destroyed).toBe(true);
  });

  it('and closed while somebody waits for the next change', async () => {
    const changes = watch({ maxAwaitTimeMS: 60_000 });
    const next = changes.next();
    setTimeout(() => void changes.close(), 200);
    await expect(next).rejects.toMatchObject({ name: 'MongoAPIError', message: 'ChangeStream is closed' });
    await expect(changes.next()).rejects.toMatchObject({ message: 'ChangeStream is closed' });
    const failing = watch({ resumeAfter: { _data: 'no' } });
    const failed = once(failing, 'error');
    failing.on('change', () => undefined);
    expect(await failed).toMatchObject([{ code: 260 }]);
  });

  it('but not from a time, or within a transaction, or by a token of something else', async () => {
    const startAtOperationTime = new Timestamp({ t: 1_700_000_000, i: 1 });
    expect(await failure(watch({ startAtOperationTime }))).toMatchObject({ name: 'MongoInvalidArgumentError' });
    const token = (await watching()).resumeToken;
    expect(await failure(watch({ resumeAfter: token, startAfter: token }))).toMatchObject({ code: 50865 });
    expect(await failure(watch({ resumeAfter: { no: 'token' } }))).toMatchObject({ code: 40647 });
    const drivers = cluster.stored('a').watch([], AWAIT);
    await drivers.tryNext();
    expect(await failure(watch({ resumeAfter: drivers.resumeToken }))).toMatchObject({ code: 260 });
    await drivers.close();
    const elsewhere = tokenOf('shop.else', positionOf(`shop.${cluster.name}`, token));
    expect(await failure(watch({ resumeAfter: elsewhere }))).toMatchObject({ code: 260 });
    await using session = client.startSession();
    session.startTransaction();
    expect(await failure(orders.watch<Document, Document>([], { session }))).toMatchObject({ code: 263 });
  });

  it.each<[string, Document[], ChangeStreamOptions]>([
    ['a stage that change streams don’t have', [{ $group: { _id: 1 } }], {}],
    ['a stage that nobody knows', [{ $foo: {} }], {}],
    ['a resume token that is taken away', [{ $unset: '_id' }], {}],
    ['an image that is required, and not kept', [], { fullDocumentBeforeChange: 'required' }],
    ['the other image', [], { fullDocument: 'required' }],
    ['an unknown image', [], { fullDocument: 'foo' }],
  ])('and fails as the driver’s does for %s', async (_what, pipeline, options) => {
    await cluster.plain().insertOne({ _id: 1 as never });
    await orders.insertOne({ _id: 1 as never, customerId });
    const ours = watch(options, pipeline);
    const theirs = cluster.plain().watch<Document, Document>(pipeline, { ...AWAIT, ...options });
    let waiting = true;
    const writing = (async () => {
      for (; waiting; await new Promise((resolve) => setTimeout(resolve, 20))) {
        await cluster.plain().updateOne({ _id: 1 as never }, { $inc: { n: 1 } });
        await orders.updateOne({ customerId }, { $inc: { n: 1 } });
      }
    })();
    const errors = await Promise.all([ours, theirs].map(failure));
    waiting = false;
    await writing;
    const [error, expected] = errors.map(({ name, code, codeName }) => ({ name, code, codeName }));
    expect(error).toEqual(expected);
  });
});

describe('a resume token', () => {
  const keyspace = () => `shop.${cluster.name}`;
  const edited = (token: unknown, edit: (nodes: Map<string, { behind: string; shown: number }>) => void) => {
    const { nodes, ...others } = positionOf(keyspace(), token);
    const all = new Map(nodes) as Map<string, { behind: string; shown: number }>;
    edit(all);
    return tokenOf(keyspace(), { nodes: all, ...others });
  };

  it('is good for nodes that were added since, and had nothing before', async () => {
    const changes = await watching();
    await orders.insertOne({ _id: 1 as never, customerId: upper[0] });
    await changes.close();
    const resumeAfter = edited(changes.resumeToken, (nodes) => nodes.delete('b'));
    const [event] = await take(watch({ resumeAfter }), 1);
    expect(event).toMatchObject({ documentKey: { _id: 1 } });
  });

  it('is good without a node that has gone, unless that may have had changes', async () => {
    const changes = await watching();
    await changes.close();
    const resumeAfter = edited(changes.resumeToken, (nodes) => nodes.set('gone', nodes.get('a')!));
    await (await watching({ resumeAfter })).close();
    const migration = {
      _id: 'to another place',
      keyspace: keyspace(),
      source: 'gone',
      target: 'a',
      startedAt: new Date(),
    };
    await cluster.catalog.migrations.insert(migration as never);
    expect(await failure(watch({ resumeAfter }))).toMatchObject({ code: 286, codeName: 'ChangeStreamHistoryLost' });
    await cluster.plainClient().db('drover').collection('migrations').deleteMany({});
  });

  it('is good where a hand-over has arrived in a transaction that is not known to be over', async () => {
    const [from, to] = [cluster.db('a'), cluster.db('b')];
    const forward = new Checkpoint(to, 'm', 'forward');
    const all = { low: TOKEN_MIN, high: 0n };
    await forward.create(all, 1n);
    const changes = await watching({ batchSize: 1 });
    await new Markers(from).write('m/forward/2', 'm', 'forward', { boundary: { epoch: 2, interval: all } });
    await to.client.withSession((session) =>
      session.withTransaction(async () => {
        const { scope } = await forward.advance(0, { marker: 'm/forward/2' }, session);
        await forward.setScope(0, handOver(scopeFromBson(scope), { epoch: 2, interval: all }), session);
      }),
    );
    for (let i = 0; i < 5; i++) expect(await changes.tryNext()).toBeNull();
    await orders.insertOne({ _id: 1 as never, customerId });
    const [before] = await take(changes, 1);
    await changes.close();
    await orders.insertOne({ _id: 2 as never, customerId: upper[0] });
    const again = watch({ resumeAfter: before!['_id'], batchSize: 1 });
    expect(kinds(await take(again, 1))).toEqual([['insert', 2]]);
    await again.close();
  });

  it('that a node does not have in its change log any more fails with its error', async () => {
    const changes = await watching();
    await changes.close();
    // Of an event that never was.
    const behind =
      '8263000000000000012B022C0100296E5A1004C8F1D6A4D5B84E0FA0C2B5C7F5D7A11446645F6964006463000000000000000000000004';
    const resumeAfter = edited(changes.resumeToken, (nodes) => nodes.set('a', { behind, shown: 0 }));
    const error = await failure(watch({ resumeAfter }));
    expect(error).toMatchObject({ name: 'MongoServerError', code: expect.any(Number) as number });
  });

  it('is what to go on with when documents have moved to a node that was added later', async () => {
    const changes = await watching();
    await cluster.catalog.nodes.put({ _id: 'later', region: 'eu', address: 'x' }, new Date());
    let now = await cluster.partition();
    for (const event of [
      { kind: 'claim', migration: 'm', target: 'later' } as const,
      { kind: 'publish' } as const,
      { kind: 'begin', boundary: 0n } as const,
      { kind: 'own', since: 1n } as const,
    ]) {
      now = await cluster.catalog.partitions.advance(now, event);
    }
    await expect(take(changes, 1)).rejects.toMatchObject({ code: 'InvalidConfiguration' });
    await cluster.catalog.nodes.remove('later');
  });
});
