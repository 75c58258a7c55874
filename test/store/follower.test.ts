import type { Collection, Db, Document } from 'mongodb';
import {
  BSONRegExp,
  Binary,
  Code,
  Decimal128,
  Double,
  Int32,
  Long,
  MaxKey,
  MinKey,
  ObjectId,
  Timestamp,
} from 'mongodb';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DroverError } from '../../domain/errors.js';
import type { Direction } from '../../domain/partition.js';
import { TOKEN_END, TOKEN_MIN } from '../../domain/token.js';
import { operationTime } from '../../store/change-log.js';
import { Checkpoint, Markers } from '../../store/checkpoint.js';
import { scopeFromBson } from '../../store/codec.js';
import { connect } from '../../store/connect.js';
import type { FollowerProgress } from '../../store/follower.js';
import { follow, markerRead, ping } from '../../store/follower.js';
import { PackedDocuments } from '../../store/packed-documents.js';
import type { RawValue } from '../../store/raw-bson.js';
import { compose, idHex, rawDocument } from '../../store/raw-bson.js';
import { writeRaw } from '../../store/raw-documents.js';
import { tokenOfKey } from '../../store/key-token.js';
import { until, useServers } from './servers.js';
import { sourceAndTarget, storedBytes } from './source-and-target.js';

const { clients, uris } = useServers(2, ['--setParameter', 'enableTestCommands=1']);

const EVERYTHING = { low: TOKEN_MIN, high: TOKEN_END };
const keys = Array.from({ length: 40 }, (_, i) => `customer-${i}`);
const upper = keys.filter((key) => tokenOfKey(key) >= 0n);
const lower = keys.filter((key) => tokenOfKey(key) < 0n);

interface Running {
  readonly progress: () => FollowerProgress | undefined;
  /** Ends as the follower ends: with nothing when it was stopped, else with its error. */
  readonly end: Promise<unknown>;
  stop(): Promise<unknown>;
}

describe('a follower', () => {
  let database: string;
  let [source, target]: [Db, Db] = [undefined as never, undefined as never];
  let [orders, copy]: [Collection<Document>, Collection<Document>] = [undefined as never, undefined as never];
  let running: Running[] = [];

  beforeEach(async () => {
    ({ database, source, target, orders, copy } = await sourceAndTarget(clients));
  });
  afterEach(async () => {
    await Promise.all(running.map((each) => each.stop()));
    running = [];
  });

  function start(direction: Direction = 'forward', from = clients[0]!): Running {
    const abort = new AbortController();
    let progress: FollowerProgress | undefined;
    const [origin, destination] = direction === 'forward' ? [from, clients[1]!] : [clients[1]!, clients[0]!];
    const end = follow({
      migration: 'm',
      direction,
      origin,
      destination,
      database,
      collection: 'orders',
      keyField: 'customerId',
      signal: abort.signal,
      onProgress: (now) => (progress = now),
    }).catch((error: unknown) => error);
    const each: Running = {
      progress: () => progress,
      end,
      stop: () => {
        abort.abort();
        return end;
      },
    };
    running.push(each);
    return each;
  }

  let markers = 0;
  /** Everything that was written before has been applied. */
  async function caughtUp(direction: Direction = 'forward'): Promise<void> {
    const [origin, destination] = direction === 'forward' ? [source, target] : [target, source];
    const id = `m/${direction}/ping/${markers++}`;
    await new Markers(origin).write(id, 'm', direction);
    const checkpoint = new Checkpoint(destination, 'm', direction);
    if (!(await markerRead(checkpoint, ({ marker }) => marker === id, 10_000))) throw new Error('not caught up');
  }

  const expectSame = async () => expect(await storedBytes(copy)).toEqual(await storedBytes(orders));

  it('carries over inserts, updates, replacements and deletes', async () => {
    start();
    await orders.insertMany(keys.map((customerId, i) => ({ _id: i as never, customerId, seq: 0 })));
    await orders.updateMany({ _id: { $lt: 10 as never } }, { $inc: { seq: 1 } });
    await orders.replaceOne({ _id: 20 as never }, { customerId: keys[20], replaced: true });
    await orders.deleteMany({ _id: { $gte: 30 as never } });
    await caughtUp();
    await expectSame();
    expect(await copy.countDocuments()).toBe(30);
  });

  it('ends as the source does after any sequence of writes, while it reads them', async () => {
    start();
    let seed = 7;
    const random = (n: number) => (seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31) % n;
    for (let i = 0; i < 600; i++) {
      const _id = random(25) as never;
      const present = await orders.findOne({ _id });
      const dice = random(10);
      // The key is part of what may differ between two lives of an `_id`.
      if (present === null) await orders.insertOne({ _id, customerId: keys[random(5)], i });
      else if (dice < 4) await orders.updateOne({ _id }, { $set: { i } });
      else if (dice < 6) await orders.replaceOne({ _id }, { customerId: present['customerId'] as string, replaced: i });
      else await orders.deleteOne({ _id });
    }
    await caughtUp();
    await expectSame();
  });

  it('carries over a document that was deleted and inserted again under another key', async () => {
    await orders.insertOne({ _id: 1 as never, customerId: lower[0] });
    start();
    await caughtUp();
    await orders.deleteOne({ _id: 1 as never });
    await orders.insertOne({ _id: 1 as never, customerId: upper[0] });
    await caughtUp();
    await expectSame();
  });

  it('and where it had been updated before, also when it reads the update before the rest', async () => {
    await orders.insertOne({ _id: 1 as never, customerId: lower[0], seq: 0 });
    const first = start();
    await caughtUp();
    await first.stop();
    await orders.updateOne({ _id: 1 as never }, { $inc: { seq: 1 } });
    // A marker ends a transaction of the follower, as does the end of a batch: what follows is in the next one.
    await new Markers(source).write('between', 'm', 'forward');
    await orders.deleteOne({ _id: 1 as never });
    await orders.insertOne({ _id: 1 as never, customerId: upper[0], seq: 2 });
    const second = start();
    const failed = await Promise.race([second.end, caughtUp()]);
    expect(failed).toBeUndefined();
    await expectSame();
  });

  it('keeps every BSON type byte for byte', async () => {
    const values: Record<string, unknown> = {
      int32: new Int32(5),
      int64: Long.fromNumber(5),
      bigInt64: Long.fromString('9007199254740993'),
      double: new Double(5),
      minusZero: new Double(-0),
      notANumber: new Double(Number.NaN),
      infinite: new Double(Number.NEGATIVE_INFINITY),
      decimal: Decimal128.fromString('5.00'),
      decimalNaN: Decimal128.fromString('NaN'),
      date: new Date(-62_135_596_800_001),
      binary: new Binary(Buffer.from([0, 255]), 0),
      oldBinary: new Binary(Buffer.from([1, 2]), 2),
      uuid: new Binary(Buffer.alloc(16, 7), 4),
      userDefined: new Binary(Buffer.from([9]), 128),
      regex: new BSONRegExp('^a(?i)b', 'imsx'),
      timestamp: new Timestamp({ t: 7, i: 9 }),
      objectId: new ObjectId('0123456789abcdef01234567'),
      code: new Code('function () {}'),
      scoped: new Code('x', { x: new Int32(1) }),
      minKey: new MinKey(),
      maxKey: new MaxKey(),
      null: null,
      true: true,
      text: 'ümläut \u{1f680} \u0000 end',
      empty: '',
      array: [new Int32(1), Long.fromNumber(1), new Double(1), [], {}],
      nested: { deep: { deeper: [{ long: Long.fromNumber(2) }] } },
    };
    await orders.insertOne({ _id: 'by insert' as never, customerId: keys[0], ...values });
    await orders.insertOne({ _id: 'by update' as never, customerId: keys[0] });
    await orders.updateOne({ _id: 'by update' as never }, { $set: values });
    for (const [i, _id] of Object.values(values).entries()) {
      if (Array.isArray(_id) || _id instanceof BSONRegExp) continue;
      await orders.insertOne({ _id: _id as never, customerId: keys[i % keys.length] }).catch((error: unknown) => {
        // Equal numbers of different types are one `_id`.
        expect(error).toMatchObject({ code: 11000 });
      });
    }
    start();
    await caughtUp();
    await expectSame();
    await orders.deleteMany({});
    await caughtUp();
    await expectSame();
  });

  it('carries over what a driver can’t make: a name twice, whole-number names out of order, names with dollar signs', async () => {
    const text = (value: string): RawValue => {
      const bytes = Buffer.alloc(5 + value.length);
      bytes.writeInt32LE(value.length + 1, 0);
      bytes.write(value, 4);
      return { type: 0x02, bytes };
    };
    const ids = [
      text('plain'),
      rawDocument(
        compose([
          ['10', text('a')],
          ['9', text('b')],
        ]),
      ),
      text('dollar'),
    ];
    const document = (i: number, note: string) =>
      compose([
        ['_id', ids[i]!],
        ['customerId', text(keys[i]!)],
        ['10', text('a')],
        ['9', text('b')],
        ['twice', text(note)],
        ['twice', text('b')],
        ...(i === 2
          ? ([
              ['$set', text('c')],
              ['a.b', text('d')],
            ] as const)
          : []),
      ]);
    const session = clients[0]!.startSession();
    const write = async (note: string) => {
      const documents = ids.map((_, i) => document(i, note));
      expect(await writeRaw(source, 'insert', 'orders', PackedDocuments.of(documents), session)).toBeUndefined();
    };
    start();
    await write('first');
    await caughtUp();
    await expectSame();
    await orders.deleteMany({});
    await write('second');
    await caughtUp();
    await expectSame();
    expect(await copy.countDocuments()).toBe(3);
    await orders.deleteMany({});
    await caughtUp();
    expect(await copy.countDocuments()).toBe(0);
    await session.endSession();
  });

  it('carries over documents of 16 MB, and updates of them', async () => {
    const size = 16 * 1024 * 1024 - 200;
    start();
    await orders.insertMany(
      [0, 1, 2].map((_id) => ({ _id: _id as never, customerId: keys[_id], big: Buffer.alloc(size) })),
    );
    await orders.updateMany({}, { $set: { customerId2: 'x' } });
    await orders.replaceOne({ _id: 1 as never }, { customerId: keys[1], big: Buffer.alloc(size, 1) });
    await caughtUp();
    await expectSame();
  });

  it('drops what its scope does not cover: the other node’s own, and the echo of what was copied there', async () => {
    const back = new Checkpoint(source, 'm', 'back');
    await back.create(EVERYTHING, await operationTime(target));
    await target.command({ collMod: 'orders', validator: {} });
    start('back');
    await copy.insertOne({ _id: 'not yet its own' as never, customerId: lower[0] });
    const since = await operationTime(target);
    await back.receive({ epoch: 5, interval: { low: TOKEN_MIN, high: 0n }, since });
    await copy.insertOne({ _id: 'its own' as never, customerId: lower[0] });
    await copy.insertOne({ _id: 'of the source' as never, customerId: upper[0] });
    await orders.insertMany([
      { _id: 'kept' as never, customerId: upper[0] },
      { _id: 'deleted' as never, customerId: lower[0] },
    ]);
    await copy.insertMany([
      { _id: 'kept' as never, customerId: upper[0] },
      { _id: 'deleted' as never, customerId: lower[0] },
    ]);
    await copy.deleteMany({ _id: { $in: ['kept', 'deleted'] as never[] } });
    await caughtUp('back');
    expect((await orders.find().sort({ _id: 1 }).toArray()).map(({ _id }) => _id as unknown)).toEqual([
      'its own',
      'kept',
    ]);
  });

  it('carries over a unique value that went from one document to another, also when it reads only one of them at first', async () => {
    for (const each of [orders, copy]) await each.createIndex({ email: 1 }, { unique: true, sparse: true });
    await orders.insertMany([
      { _id: 'A' as never, customerId: keys[0], email: 'x' },
      { _id: 'B' as never, customerId: keys[1], email: 'z' },
    ]);
    const first = start();
    await caughtUp();
    await first.stop();
    await orders.updateOne({ _id: 'B' as never }, { $set: { note: 1 } });
    // More than the follower reads at once.
    await orders.insertMany(Array.from({ length: 5_000 }, (_, i) => ({ customerId: keys[i % 40] })));
    await orders.updateOne({ _id: 'A' as never }, { $set: { email: 'y' } });
    await orders.updateOne({ _id: 'B' as never }, { $set: { email: 'x' } });
    start();
    await caughtUp();
    await expectSame();
  });

  it('looks documents up not before the time of their change', async () => {
    const times: Timestamp[] = [];
    const watched = await connect(uris[0]!, 'source', { monitorCommands: true });
    watched.on('commandStarted', ({ commandName, command }) => {
      if (commandName !== 'find' || command['find'] !== 'orders') return;
      times.push((command['readConcern'] as { afterClusterTime: Timestamp }).afterClusterTime);
    });
    await orders.insertOne({ _id: 1 as never, customerId: keys[0] });
    const written = await operationTime(source);
    start('forward', watched);
    await caughtUp();
    await expectSame();
    await Promise.all(running.map((each) => each.stop()));
    await watched.close();
    expect(times).toHaveLength(1);
    expect(BigInt.asUintN(64, times[0]!.toBigInt())).toBeLessThanOrEqual(written);
    expect(times[0]!.toBigInt()).toBeGreaterThan(0n);
  });

  it('applies what it learns to be its own between reading and writing it', async () => {
    const back = new Checkpoint(source, 'm', 'back');
    await back.create(EVERYTHING, await operationTime(target));
    await target.command({ collMod: 'orders', validator: {} });
    await copy.insertOne({ _id: 1 as never, customerId: lower[0], seq: 0 });
    start('back');
    await caughtUp('back');
    const since = await operationTime(target);
    // The follower knows of no token of its own when it reads this.
    await copy.updateOne({ _id: 1 as never }, { $inc: { seq: 1 } });
    await copy.insertOne({ _id: 2 as never, customerId: lower[1] });
    await back.receive({ epoch: 5, interval: { low: TOKEN_MIN, high: 0n }, since });
    await caughtUp('back');
    await expectSame();
  });

  it('hands an interval over at its marker, in the transaction of the changes before it', async () => {
    await orders.insertOne({ _id: 'before' as never, customerId: lower[0] });
    const interval = { low: TOKEN_MIN, high: 0n };
    await new Markers(source).write('step', 'm', 'forward', { boundary: { epoch: 7, interval } });
    await orders.insertMany([
      { _id: 'after' as never, customerId: lower[0] },
      { _id: 'elsewhere' as never, customerId: upper[0] },
    ]);
    start();
    await caughtUp();
    expect((await copy.find().sort({ _id: 1 }).toArray()).map(({ _id }) => _id as unknown)).toEqual([
      'before',
      'elsewhere',
    ]);
    const checkpoint = await new Checkpoint(target, 'm', 'forward').get();
    expect(scopeFromBson(checkpoint.scope)).toMatchObject({ handedOver: 7, owned: [{ low: 0n, high: TOKEN_END }] });
  });

  it('takes no notice of markers of other migrations and of the other direction', async () => {
    const interval = EVERYTHING;
    await new Markers(source).write('other', 'other', 'forward', { boundary: { epoch: 7, interval } });
    await new Markers(source).write('back', 'm', 'back', { boundary: { epoch: 7, interval } });
    await orders.insertOne({ _id: 1 as never, customerId: keys[0] });
    start();
    await caughtUp();
    await expectSame();
  });

  it('that was taken over changes nothing any more, and says so', async () => {
    const zombie = start();
    await orders.insertOne({ _id: 1 as never, customerId: keys[0] });
    await caughtUp();
    const session = clients[1]!.startSession();
    await new Checkpoint(target, 'm', 'forward').takeOver(session);
    await session.endSession();
    await orders.insertOne({ _id: 2 as never, customerId: keys[0] });
    expect(await zombie.end).toMatchObject({ code: 'Superseded' });
    expect(await copy.countDocuments()).toBe(1);
    // The one that took over goes on where it stood.
    start();
    await caughtUp();
    await expectSame();
  });

  it('tells everybody who asks at once that it is close', async () => {
    const following = start();
    const way = { migration: 'm', direction: 'forward', origin: source, destination: target } as const;
    const asked = await Promise.all(Array.from({ length: 10 }, () => ping(way, 10_000)));
    await following.stop();
    expect(asked).toEqual(Array(10).fill(true));
  });

  it('whose migration has ended stops', async () => {
    const late = start();
    await caughtUp();
    await new Checkpoint(target, 'm', 'forward').remove();
    await orders.insertOne({ _id: 1 as never, customerId: keys[0] });
    expect(await late.end).toMatchObject({ code: 'Superseded' });
    expect(await copy.countDocuments()).toBe(0);
    expect(await start().end).toMatchObject({ code: 'Superseded' });
  });

  it('that is stopped and started again applies nothing twice and leaves nothing out', async () => {
    let applied = 0;
    for (let round = 0; round < 4; round++) {
      const each = start();
      await orders.insertMany(Array.from({ length: 50 }, () => ({ customerId: keys[round] })));
      // Stopped somewhere in the middle, but for the last time.
      if (round === 3) await caughtUp();
      else await until('some of it', async () => (await copy.countDocuments()) > 50 * round);
      await each.stop();
      applied += each.progress()?.applied ?? 0;
    }
    await expectSame();
    expect(applied).toBe(200);
    const idle = start();
    await caughtUp();
    expect(idle.progress()?.applied ?? 0).toBe(0);
  });

  it('that dies without a word goes on where its last transaction stood', async () => {
    await orders.insertMany(Array.from({ length: 1_500 }, (_, i) => ({ _id: i as never, customerId: keys[i % 40] })));
    const first = start();
    await until('the first batch', async () => (await copy.countDocuments()) > 0);
    // Another attempt at once, without telling the first one.
    start();
    await caughtUp();
    await expectSame();
    expect([undefined, 'Superseded']).toContain(((await first.stop()) as DroverError | undefined)?.code);
  });

  const endings: readonly (readonly [string, () => Promise<unknown>])[] = [
    ['is dropped', () => orders.drop()],
    ['is renamed', () => orders.rename('elsewhere')],
    ['goes with its database', () => source.dropDatabase()],
    [
      'is replaced by another one of its name',
      async () => {
        await source.collection('other').insertOne({ customerId: keys[1] });
        await source.renameCollection('other', 'orders', { dropTarget: true });
      },
    ],
  ];
  it.each(endings)('fails for good when the source’s collection %s', async (_what, end) => {
    const each = start();
    await orders.insertOne({ _id: 1 as never, customerId: keys[0] });
    await caughtUp();
    await end();
    const failed = await Promise.race([each.end, new Promise((resolve) => setTimeout(resolve, 4_000, 'it goes on'))]);
    expect(failed).toMatchObject({ code: 'SourceChanged', retryable: false });
    expect(await copy.countDocuments()).toBe(1);
  });

  it('takes no notice of what happens to other collections', async () => {
    start();
    await source.collection('other').insertOne({ customerId: keys[0] });
    await source.collection('other').drop();
    await orders.insertOne({ _id: 1 as never, customerId: keys[0] });
    await caughtUp();
    await expectSame();
  });

  it('fails for good on a document whose _id the target has of its own, under another key', async () => {
    // The target owns the lower half.
    await new Markers(source).write('step', 'm', 'forward', {
      boundary: { epoch: 7, interval: { low: TOKEN_MIN, high: 0n } },
    });
    const each = start();
    await caughtUp();
    await copy.insertOne({ _id: 1 as never, customerId: lower[0] }, { bypassDocumentValidation: true });
    await orders.insertOne({ _id: 1 as never, customerId: upper[0] });
    expect(await each.end).toMatchObject({ code: 'DuplicateId', retryable: false });
    expect(await copy.find().toArray()).toEqual([{ _id: 1, customerId: lower[0] }]);
  });

  it('fails for good on a value that the target has already under a unique index', async () => {
    await copy.createIndex({ number: 1 }, { unique: true });
    await copy.insertOne({ _id: 1 as never, customerId: lower[0], number: 5 }, { bypassDocumentValidation: true });
    await orders.insertOne({ _id: 2 as never, customerId: upper[0], number: 5 });
    expect(await start().end).toMatchObject({ code: 'DuplicateId', retryable: false });
  });

  it('fails for good when the change log does not reach back to its position', async () => {
    const first = start();
    await caughtUp();
    await first.stop();
    // To roll over a real change log takes minutes: the server is told to answer as it would.
    await clients[0]!.db('admin').command({
      configureFailPoint: 'failCommand',
      mode: { times: 1 },
      data: { failCommands: ['aggregate'], errorCode: 286 },
    });
    expect(await start().end).toMatchObject({ code: 'ChangeLogLost', retryable: false });
  });

  it('goes on when a transaction has to be repeated, and when its connection is lost as it commits', async () => {
    start();
    await caughtUp();
    for (const [i, data] of [
      { failCommands: ['update', 'findAndModify'], errorCode: 112, errorLabels: ['TransientTransactionError'] },
      { failCommands: ['commitTransaction'], closeConnection: true },
    ].entries()) {
      await clients[1]!.db('admin').command({ configureFailPoint: 'failCommand', mode: { times: 1 }, data });
      await orders.insertMany(keys.map((customerId, j) => ({ _id: `${i}-${j}` as never, customerId })));
      await orders.deleteOne({ _id: `${i}-0` as never });
    }
    await caughtUp();
    await expectSame();
  });

  it('shows how far it is behind', async () => {
    const each = start();
    await orders.insertOne({ customerId: keys[0] });
    await caughtUp();
    await until('progress', () => Promise.resolve((each.progress()?.applied ?? 0) > 0));
    expect(each.progress()?.lagSeconds).toBeLessThanOrEqual(1);
  });

  it('knows two ids as one only when their bytes are the same', () => {
    expect(idHex(new Int32(5))).not.toBe(idHex(Long.fromNumber(5)));
    expect(idHex({ a: 1, b: 2 })).not.toBe(idHex({ b: 2, a: 1 }));
    expect(idHex(new ObjectId('0123456789abcdef01234567'))).toBe(idHex(new ObjectId('0123456789abcdef01234567')));
  });
});
