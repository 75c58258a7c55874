import type { Collection, Db, Document } from 'mongodb';
import { Binary, Decimal128, Double, Int32, Long, MinKey, ObjectId, Timestamp } from 'mongodb';
import { beforeEach, describe, expect, it } from 'vitest';
import type { BackfillOptions } from '../../store/backfill.js';
import { backfill } from '../../store/backfill.js';
import { Checkpoint } from '../../store/checkpoint.js';
import { createLanes } from '../../store/copy-lane.js';
import { inspect } from '../../store/fenced-collection.js';
import { Throttle } from '../../store/throttle.js';
import { PackedDocuments } from '../../store/packed-documents.js';
import type { RawValue } from '../../store/raw-bson.js';
import { compose } from '../../store/raw-bson.js';
import { writeRaw } from '../../store/raw-documents.js';
import { useServers } from './servers.js';
import { sourceAndTarget, storedBytes } from './source-and-target.js';

const { clients } = useServers(2);

let database: string;
let [source, target]: [Db, Db] = [undefined as never, undefined as never];
let [orders, copy]: [Collection<Document>, Collection<Document>] = [undefined as never, undefined as never];

beforeEach(async () => {
  ({ database, source, target, orders, copy } = await sourceAndTarget(clients));
  await createLanes(target, 'm');
});

const unlimited = () => new Throttle(0);
const expectSame = async () =>
  expect((await storedBytes(copy)).join('\n') === (await storedBytes(orders)).join('\n')).toBe(true);

describe('the backfill', () => {
  const copyAll = (options: Partial<Pick<BackfillOptions, 'signal' | 'throttle' | 'onProgress' | 'copyUuid'>> = {}) =>
    backfill({
      migration: 'm',
      source: clients[0]!,
      target: clients[1]!,
      database,
      collection: 'orders',
      throttle: options.throttle ?? unlimited(),
      signal: options.signal ?? new AbortController().signal,
      onProgress: options.onProgress ?? (() => undefined),
      copyUuid: options.copyUuid,
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
    expect(seen.at(-1)).toBe(2_500);
  });

  it('ends when its copy is dropped and made again by somebody, and writes nothing there', async () => {
    await fill();
    const { uuid } = await inspect(target, 'orders');
    let batches = 0;
    // Two are under way at most, and more than that are left.
    const remake = async () => {
      await copy.drop();
      await copy.insertOne({ _id: 'somebody else' as never });
    };
    let remade: Promise<void> | undefined;
    const slow = new Throttle(0);
    const take = slow.take.bind(slow);
    slow.take = async (...amount) => {
      if (++batches > 2) await (remade ??= remake());
      await take(...amount);
    };
    await expect(copyAll({ copyUuid: uuid!, throttle: slow })).rejects.toMatchObject({ code: 'SourceChanged' });
    expect(remade).toBeDefined();
    expect(await copy.find().toArray()).toEqual([{ _id: 'somebody else' }]);
  });

  it('that is aborted while it may read no faster ends at once', async () => {
    await fill();
    const stop = new AbortController();
    let batches = 0;
    const copying = copyAll({
      signal: stop.signal,
      throttle: new Throttle(1_000),
      onProgress: () => {
        batches += 1;
        setTimeout(() => stop.abort(new Error('given up')), 50);
      },
    });
    await expect(copying).rejects.toThrow('given up');
    expect(batches).toBe(1);
  });

  it('of nothing is done at once', async () => {
    expect(await copyAll()).toEqual({ documents: 0, bytes: 0, documentsInAll: 0, read: 0, toRead: 0 });
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
    const last = (await copy.find().hint({ $natural: -1 }).limit(1).toArray())[0]!;
    await orders.deleteOne({ _id: last._id });
    await copyAll();
    // That the document went is for the change log to tell.
    await copy.deleteOne({ _id: last._id });
    await expectSame();
  });

  it('begins anew, and inserts only what is missing, where another member of the source is read', async () => {
    await fill();
    const abort = new AbortController();
    await copyAll({ signal: abort.signal, onProgress: () => abort.abort() }).catch(() => undefined);
    const copied = await copy.countDocuments();
    expect(copied).toBeLessThan(IDS.length);
    await target
      .collection('drover.checkpoints')
      .updateMany({ positions: { $exists: true } }, { $set: { 'positions.$[].member': 'elsewhere:1' } });
    expect(await copyAll()).toMatchObject({ documents: IDS.length });
    await expectSame();
  });

  it('copies documents that a driver can’t make: a name twice, whole-number names out of order', async () => {
    const value = (n: number): RawValue => ({ type: 0x10, bytes: Buffer.from([n, 0, 0, 0]) });
    const inner = compose([
      ['10', value(1)],
      ['9', value(2)],
    ]);
    const document = compose([
      ['_id', { type: 0x03, bytes: inner }],
      ['customerId', { type: 0x02, bytes: Buffer.from('\x02\0\0\0c\0', 'latin1') }],
      ['a', value(1)],
      ['a', value(2)],
      ['2', value(3)],
      ['1', value(4)],
      ['$dollar', value(5)],
      ['do.t', value(6)],
    ]);
    const session = clients[0]!.startSession();
    expect(await writeRaw(source, 'insert', 'orders', PackedDocuments.of([document]), session)).toBeUndefined();
    await session.endSession();
    await copyAll();
    const [stored] = (await copy.find({}, { raw: true }).toArray()) as unknown as Buffer[];
    expect(Buffer.from(stored!).equals(document)).toBe(true);
  });

  it('passes over what was deleted and inserted again, or has taken another one’s unique value, while it read', async () => {
    await orders.createIndex({ email: 1 }, { unique: true });
    await copy.createIndex({ email: 1 }, { unique: true });
    await orders.insertMany(
      Array.from({ length: 12 }, (_, i) => ({ _id: i as never, customerId: `c${i}`, email: `e${i}`, padding })),
    );
    let changed = false;
    await copyAll({
      throttle: Object.assign(unlimited(), {
        take: async () => {
          // Both lanes come by here.
          if ((await copy.countDocuments()) === 0 || changed) return;
          changed = true;
          // Of the first batch, which has been copied; both come again at the end of the natural order.
          await orders.deleteOne({ _id: 0 as never });
          await orders.insertOne({ _id: 0 as never, customerId: 'c0', email: 'e0', padding });
          await orders.updateOne({ _id: 1 as never }, { $set: { email: 'none' } });
          await orders.insertOne({ _id: 99 as never, customerId: 'c99', email: 'e1', padding });
        },
      }),
    });
    expect(changed).toBe(true);
    // What was inserted under a value that the copy still has is for the change log to bring.
    expect(await copy.countDocuments()).toBe(12);
    expect(await copy.findOne({ _id: 1 as never })).toMatchObject({ email: 'e1' });
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
    const before = await storedBytes(copy);
    wake();
    expect(await zombie).toMatchObject({ code: 'Superseded' });
    expect(await storedBytes(copy)).toEqual(before);
    await expectSame();
  });
});
