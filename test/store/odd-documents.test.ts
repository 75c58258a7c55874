import type { Db, Document } from 'mongodb';
import { Binary, BSON, BSONRegExp, Decimal128, Double, Int32, Long, MaxKey, MinKey, Timestamp } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { backfill } from '../../store/backfill.js';
import { createLanes } from '../../store/copy-lane.js';
import { ping } from '../../store/follower.js';
import { PackedDocuments } from '../../store/packed-documents.js';
import type { RawValue } from '../../store/raw-bson.js';
import { compose, field, idOf } from '../../store/raw-bson.js';
import { writeRaw } from '../../store/raw-documents.js';
import { Throttle } from '../../store/throttle.js';
import { verify } from '../../store/verify.js';
import { useServers } from './servers.js';
import { followed, sourceAndTarget } from './source-and-target.js';

const { clients } = useServers(2);

const value = (given: unknown): RawValue => field(BSON.serialize({ given }), 'given')!;
const key: readonly [string, RawValue] = ['customerId', value('c')];
type Fields = readonly (readonly [string, RawValue])[];
const document = (_id: unknown, fields: Fields = []): Buffer => compose([['_id', value(_id)], key, ...fields]);
const nan = (bits: bigint): RawValue => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(bits);
  return { type: 0x01, bytes };
};
const rest = 16 * 1024 * 1024 - document('16 MB', [['padding', value('')]]).length;
const nested = Array.from({ length: 88 }).reduce<Document>((inner) => ({ d: [inner] }), {});

/** All that a server stores. */
const DOCUMENTS: readonly (readonly [string, Buffer])[] = [
  ...[
    null, true, new Date(-62_135_596_800_000), new Double(-0), new Double(NaN), Decimal128.fromString('1.10'),
    Decimal128.fromString('-Infinity'), new Int32(5), Long.fromString('9007199254740993'), new Double(2 ** 60), new MinKey(),
    new MaxKey(), new Timestamp(0n), '', 'text', {}, { a: [1, null] }, { 2: 1, 1: 2 }, new Binary(Buffer.from('b'), 0x80),
    new Binary(Buffer.alloc(16, 7), 4),
  ].map((_id) => [`an _id ${BSON.EJSON.stringify({ _id })}`, document(_id)] as const),
  ['an _id whose fields stand in an order of their own', compose([['_id', { type: 3, bytes: compose([['9', value(1)], ['10', value(1)]]) }], key])],
  ['names with dots and dollars, empty, and of whole numbers', document('names', [['a.b', value(1)], ['$c', value(1)], ['', value(1)], ['10', value(1)], ['9', value(1)], ['__proto__', value(1)]])],
  ['a name twice', document('twice', [['a', value(1)], ['a', value('other')]])],
  ['a negative zero, and numbers of each type that are equal', document('numbers', [['a', value(new Double(-0))], ['b', value(new Int32(1))], ['c', value(Long.ONE)], ['d', value(new Double(1))], ['e', value(Decimal128.fromString('1.0'))], ['f', value(Decimal128.fromString('1.00'))]])],
  ['NaN with a payload', document('NaN', [['a', nan(0x7ff8000000000001n)], ['b', nan(0xfff8000000000000n)]])],
  ['types that are no longer made', document('old', [['undefined', { type: 0x06, bytes: Buffer.alloc(0) }], ['symbol', { ...value('s'), type: 0x0e }], ['code', { ...value('f'), type: 0x0d }], ['regex', value(new BSONRegExp('a', 'i'))]])],
  ['text that is not well-formed', document('text?', [['a', { type: 0x02, bytes: Buffer.from('\x03\0\0\0\xff\xfe\0', 'latin1') }]])],
  ['timestamps of zero', document('zero', [['at', value(new Timestamp(0n))], ['n', value(new Double(0))], ['in', value({ at: new Timestamp(0n) })]])],
  ['the same beside names with dollars', document('zero$', [['$at', value(new Timestamp(0n))], ['a.b', value(new Timestamp(0n))]])],
  ['nearly all the depth there may be', document('deep', [['deep', value(nested)]])],
  ['16 MB to the byte', document('16 MB', [['padding', value('x'.repeat(rest))]])],
]; // prettier-ignore

/** As it is sent to be stored again: with one more field, or without it. */
const sizeOf = (bytes: Uint8Array): string => `${bytes.length} bytes`;

describe('every document', () => {
  let [source, target]: [Db, Db] = [undefined as never, undefined as never];
  let database = '';
  const abort = new AbortController();
  let following: Promise<unknown> = Promise.resolve();
  const signal = new AbortController().signal;
  const bulk = () => ({
    source: clients[0]!,
    target: clients[1]!,
    database,
    collection: 'orders',
    throttle: new Throttle(0),
    signal,
    onProgress: () => undefined,
  });
  const caughtUp = async () => {
    expect(await ping({ migration: 'm', direction: 'forward', origin: source, destination: target }, 20_000)).toBe(
      true,
    );
  };
  const compare = () => verify({ ...bulk(), settle: caughtUp });

  const insertAll = async (documents: readonly Buffer[]) => {
    const session = clients[0]!.startSession();
    for (const each of documents)
      expect(await writeRaw(source, 'insert', 'orders', PackedDocuments.of([each]), session)).toBeUndefined();
    await session.endSession();
  };
  const stored = async (db: Db): Promise<Map<string, Buffer>> => {
    const found = (await db.collection('orders').find({}, { raw: true }).toArray()) as unknown as Buffer[];
    return new Map(found.map((each) => [JSON.stringify(idOf(each)), Buffer.from(each)]));
  };
  const expectStored = async (db: Db, documents: readonly (readonly [string, Buffer])[]) => {
    const found = await stored(db);
    expect(found.size).toBe(documents.length);
    for (const [what, each] of documents) {
      const there = found.get(JSON.stringify(idOf(each)));
      expect([what, there?.equals(each) ?? 'missing']).toEqual([what, true]);
    }
  };

  beforeAll(async () => {
    ({ database, source, target } = await sourceAndTarget(clients));
    await createLanes(target, 'm');
    await insertAll(DOCUMENTS.map(([, each]) => each));
    await expectStored(source, DOCUMENTS);
  });
  afterAll(async () => {
    abort.abort();
    await following;
  });

  it('is copied as it is', async () => {
    await backfill({ ...bulk(), migration: 'm' });
    await expectStored(target, DOCUMENTS);
  });

  it('is found the same, and found different when it is', async () => {
    following = followed(clients, database, abort.signal);
    await caughtUp();
    expect(await compare()).toEqual({ compared: DOCUMENTS.length, different: [] });
    const copy = target.collection('orders');
    await copy.updateMany({}, { $set: { customerId: 'd' } }, { bypassDocumentValidation: true });
    expect((await compare()).different).toHaveLength(20);
    await copy.updateMany({}, { $set: { customerId: 'c' } }, { bypassDocumentValidation: true });
    expect((await compare()).different).toEqual([]);
  });

  it('is followed as it is when it is changed, deleted and inserted', async () => {
    const orders = source.collection('orders');
    await orders.updateMany({ _id: { $ne: '16 MB' as never } }, { $set: { changed: 1 } });
    await orders.updateOne({ _id: '16 MB' as never }, [{ $set: { padding: { $substrBytes: ['$padding', 1, -1] } } }]);
    await caughtUp();
    await expectStored(
      target,
      [...(await stored(source)).values()].map((each) => [sizeOf(each), each]),
    );
    await orders.updateMany({}, { $unset: { changed: 1 } });
    await orders.updateOne({ _id: '16 MB' as never }, [{ $set: { padding: { $concat: ['x', '$padding'] } } }]);
    await caughtUp();
    await expectStored(target, DOCUMENTS);
    await orders.deleteMany({});
    await caughtUp();
    expect(await target.collection('orders').countDocuments()).toBe(0);
    await insertAll(DOCUMENTS.map(([, each]) => each));
    await caughtUp();
    await expectStored(target, DOCUMENTS);
  });
});
