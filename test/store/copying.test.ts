import type { Collection, Db, Document } from 'mongodb';
import { Binary, Decimal128, Double, Int32, Long, MinKey, ObjectId, Timestamp } from 'mongodb';
import { beforeEach, describe, expect, it } from 'vitest';
import { TOKEN_END, TOKEN_MIN } from '../../domain/token.js';
import type { CopyProgress } from '../../store/backfill.js';
import { backfill } from '../../store/backfill.js';
import { operationTime } from '../../store/change-log.js';
import { Checkpoint, Markers } from '../../store/checkpoint.js';
import { createFenced } from './fences.js';
import { follow, markerRead } from '../../store/follower.js';
import { Throttle } from '../../store/throttle.js';
import type { VerifyOptions } from '../../store/verify.js';
import { verify } from '../../store/verify.js';
import { useServers } from './servers.js';

const { clients } = useServers(2);

let databases = 0;
let database: string;
let [source, target]: [Db, Db] = [undefined as never, undefined as never];
let [orders, copy]: [Collection<Document>, Collection<Document>] = [undefined as never, undefined as never];

beforeEach(async () => {
  database = `shop${databases++}`;
  [source, target] = [clients[0]!.db(database), clients[1]!.db(database)];
  [orders, copy] = [source.collection('orders'), target.collection('orders')];
  await source.createCollection('orders');
  await createFenced(target, 'orders', 'customerId', []);
  const startAt = await operationTime(source);
  await new Checkpoint(target, 'm', 'forward').create({ low: TOKEN_MIN, high: TOKEN_END }, startAt);
});

const unlimited = () => new Throttle(0);
const bytes = async (collection: Collection<Document>) => {
  const raw = (await collection.find({}, { raw: true, sort: { _id: 1 } }).toArray()) as unknown as Buffer[];
  return raw.map((document) => Buffer.from(document).toString('base64'));
};
const expectSame = async () => expect((await bytes(copy)).join('\n') === (await bytes(orders)).join('\n')).toBe(true);

describe('the backfill', () => {
  const copyAll = (
    options: { signal?: AbortSignal; throttle?: Throttle; onProgress?: (now: CopyProgress) => void } = {},
  ) =>
    backfill({
      migration: 'm',
      source: clients[0]!,
      target: clients[1]!,
      database,
      collection: 'orders',
      throttle: options.throttle ?? unlimited(),
      signal: options.signal ?? new AbortController().signal,
      onProgress: options.onProgress ?? (() => undefined),
    });

  /** Ids of every type, in their order, and documents so big that a batch holds two or three of them. */
  const IDS: readonly unknown[] = [
    new MinKey(),
    ...[
      new Int32(-5),
      Long.fromNumber(1),
      new Double(1.5),
      Decimal128.fromString('2.50'),
      7,
      Long.fromString('9007199254740993'),
    ],
    ...[new Double(Number.POSITIVE_INFINITY), '', 'a', 'ä', '\u{1f680}', { a: 1 }, { a: Long.fromNumber(2), b: 'x' }],
    ...[new Binary(Buffer.from('b'), 0), new Binary(Buffer.alloc(16, 3), 4), new ObjectId('0123456789abcdef01234567')],
    ...[false, true, new Date(-1), new Date('2020-01-01'), new Timestamp({ t: 5, i: 1 })],
  ];
  const padding = 'x'.repeat(1_700_000);
  const fill = () =>
    orders.insertMany(
      IDS.map((_id, i) => ({ _id: _id as never, customerId: `c${i}`, value: Long.fromNumber(i), padding })),
    );

  it('copies every document byte for byte, past the fence', async () => {
    await orders.insertMany(Array.from({ length: 2_500 }, (_, i) => ({ customerId: `c${i % 7}`, i, at: new Date(i) })));
    const seen: number[] = [];
    const result = await copyAll({ onProgress: ({ documents }) => seen.push(documents) });
    await expectSame();
    expect(result).toMatchObject({ documents: 2_500, documentsInAll: 2_500 });
    expect(seen).toEqual([1_000, 2_000, 2_500]);
  });

  it('of nothing is done at once', async () => {
    expect(await copyAll()).toEqual({ documents: 0, bytes: 0, documentsInAll: 0 });
    expect((await new Checkpoint(target, 'm', 'forward').get()).copyDone).toBe(true);
  });

  it('that is aborted after any batch goes on behind it, across all types of _id, and copies nothing twice', async () => {
    await fill();
    const attempts: number[] = [];
    for (;;) {
      const abort = new AbortController();
      const outcome: unknown = await copyAll({
        signal: abort.signal,
        onProgress: ({ documents }) => {
          attempts.push(documents);
          abort.abort();
        },
      }).catch((error: unknown) => error);
      if (!(outcome instanceof Error)) break;
      expect(abort.signal.aborted).toBe(true);
    }
    expect(attempts.length).toBeGreaterThan(8);
    expect(attempts.at(-1)).toBe(IDS.length);
    await expectSame();
  });

  it('goes on where the document it had copied last was deleted in the meantime', async () => {
    await fill();
    const abort = new AbortController();
    await copyAll({ signal: abort.signal, onProgress: () => abort.abort() }).catch(() => undefined);
    const last = (await copy.find().sort({ _id: -1 }).limit(1).toArray())[0]!;
    await orders.deleteOne({ _id: last._id });
    await copyAll();
    // That the document went is for the change log to tell.
    await copy.deleteOne({ _id: last._id });
    await expectSame();
  });

  it('that is done does nothing when it is repeated', async () => {
    await fill();
    const first = await copyAll();
    await copy.deleteMany({});
    const again = await copyAll();
    expect(again).toMatchObject({ documents: first.documents, bytes: first.bytes });
    expect(await copy.countDocuments()).toBe(0);
  });

  it('of an attempt that was taken over while it waited writes nothing more', async () => {
    await fill();
    let wake!: () => void;
    let waiting = 0;
    const asleep = new Promise<void>((resolve) => (wake = resolve));
    /** Lets the first batch pass, and sleeps before the second one. */
    const throttle = Object.assign(unlimited(), { take: () => (waiting++ === 0 ? Promise.resolve() : asleep) });
    const zombie = copyAll({ throttle }).catch((error: unknown) => error);
    while (waiting < 2) await new Promise((resolve) => setTimeout(resolve, 5));
    await copyAll();
    const before = await bytes(copy);
    wake();
    expect(await zombie).toMatchObject({ code: 'Superseded' });
    expect(await bytes(copy)).toEqual(before);
    await expectSame();
  });
});

describe('the verification', () => {
  const compare = (options: Partial<VerifyOptions> = {}) =>
    verify({
      source: clients[0]!,
      target: clients[1]!,
      database,
      collection: 'orders',
      throttle: unlimited(),
      signal: new AbortController().signal,
      onProgress: () => undefined,
      settle: () => Promise.resolve(),
      ...options,
    });
  const past = { bypassDocumentValidation: true } as const;

  it('finds equal copies equal, and compares every document', async () => {
    const documents = Array.from({ length: 2_100 }, (_, i) => ({ _id: i as never, customerId: `c${i}` }));
    await orders.insertMany(documents);
    await copy.insertMany(documents, past);
    expect(await compare()).toEqual({ compared: 2_100, different: [] });
  });

  it('finds one changed byte, one missing and one extra document, and a number of another type', async () => {
    const documents = Array.from({ length: 1_200 }, (_, i) => ({ _id: i as never, customerId: `c${i}`, note: 'abc' }));
    await orders.insertMany([...documents, { _id: 'missing' as never, customerId: 'c' }]);
    await copy.insertMany([...documents, { _id: 'extra' as never, customerId: 'c' }], past);
    await copy.updateOne({ _id: 700 as never }, { $set: { note: 'abd' } }, past);
    await orders.updateOne({ _id: 800 as never }, { $set: { n: new Int32(5) } });
    await copy.updateOne({ _id: 800 as never }, { $set: { n: Long.fromNumber(5) } }, past);
    const rechecks: number[] = [];
    const { different } = await compare({ onProgress: ({ recheck }) => rechecks.push(recheck) });
    expect([...different].sort()).toEqual(['{"id":"extra"}', '{"id":"missing"}', '{"id":700}', '{"id":800}']);
    expect(rechecks.at(-1)).toBe(4);
  });

  it('looks again at what differed, once replication has caught up', async () => {
    await orders.insertOne({ _id: 1 as never, customerId: 'c', late: true });
    let settled = 0;
    const settle = async () => {
      if (++settled === 2) await copy.insertOne({ _id: 1 as never, customerId: 'c', late: true }, past);
    };
    expect((await compare({ settle })).different).toEqual([]);
    expect(settled).toBe(2);
  });

  it('settles on documents that are written all the time', async () => {
    const abort = new AbortController();
    const following = follow({
      migration: 'm',
      direction: 'forward',
      origin: clients[0]!,
      destination: clients[1]!,
      database,
      collection: 'orders',
      keyField: 'customerId',
      signal: abort.signal,
      onProgress: () => undefined,
    });
    await orders.insertMany(Array.from({ length: 5 }, (_, i) => ({ _id: i as never, customerId: 'hot', n: 0 })));
    let writing = true;
    const writer = (async () => {
      while (writing) await orders.updateMany({}, { $inc: { n: 1 } });
    })();
    let markers = 0;
    const settle = async () => {
      const id = `m/ping/${markers++}`;
      await new Markers(source).write(id, 'm', 'forward');
      expect(await markerRead(new Checkpoint(target, 'm', 'forward'), ({ marker }) => marker === id, 10_000)).toBe(
        true,
      );
    };
    await settle();
    const { different } = await compare({ settle });
    writing = false;
    await writer;
    await settle();
    abort.abort();
    await following;
    expect(different).toEqual([]);
    await expectSame();
  });

  it('does not take a hot document for followed when its copy stands still', async () => {
    await orders.insertOne({ _id: 'hot' as never, customerId: 'c', n: 0 });
    await copy.insertOne({ _id: 'hot' as never, customerId: 'c', n: -1 }, past);
    let writing = true;
    const writer = (async () => {
      while (writing) await orders.updateOne({ _id: 'hot' as never }, { $inc: { n: 1 } });
    })();
    // Long enough for a write to fall in between.
    const settle = () => new Promise<void>((resolve) => setTimeout(resolve, 20));
    const { different } = await compare({ settle });
    writing = false;
    await writer;
    expect(different).toEqual(['{"id":"hot"}']);
  });

  it('ends when it is told to', async () => {
    await orders.insertOne({ customerId: 'c' });
    const abort = new AbortController();
    abort.abort(new Error('told to stop'));
    await expect(compare({ signal: abort.signal })).rejects.toThrow('told to stop');
  });
});
