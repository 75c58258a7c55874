import type { Collection, Document } from 'mongodb';
import { Long } from 'mongodb';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { contains, TOKEN_END, TOKEN_MIN } from '../../domain/token.js';
import { backfill } from '../../store/backfill.js';
import { operationTime } from '../../store/change-log.js';
import { Checkpoint, CHECKPOINTS } from '../../store/checkpoint.js';
import { createLanes } from '../../store/copy-lane.js';
import { follow, ping } from '../../store/follower.js';
import { tokenOfKey } from '../../store/key-token.js';
import type { Part } from '../../store/part.js';
import { countIn } from '../../store/part-count.js';
import { countOf, isEmptyPart } from '../../store/part.js';
import type { PartRemoval } from '../../store/part-removal.js';
import { removePart } from '../../store/part-removal.js';
import { Throttle } from '../../store/throttle.js';
import { verify } from '../../store/verify.js';
import { createFenced } from './fences.js';
import { useServers } from './servers.js';

const { clients } = useServers(2);

const part: Part = { keyField: 'at.customer', tokens: { low: -(2n ** 61n), high: 2n ** 62n } };
const isOurs = ({ at }: Document) => contains(part.tokens, tokenOfKey((at as Document)['customer']));
const past = { bypassDocumentValidation: true } as const;
const key = (i: number) => ({ customer: `customer-${i}` });
const someOf = (ours: boolean, n: number) =>
  Array.from({ length: 200 }, (_, i) => key(i)).filter((at) => isOurs({ at }) === ours)[n]!;

/** A partition in a collection `orders` on one server that others are in, too; on the other one it is alone in `orders.p1`. */
describe('a part of a collection', () => {
  let database: string;
  let databases = 0;
  let orders: Collection<Document>;
  let copy: Collection<Document>;
  const work = () => ({
    source: clients[0]!,
    target: clients[1]!,
    database,
    collection: 'orders',
    copy: 'orders.p1',
    part,
    throttle: new Throttle(0),
    signal: new AbortController().signal,
    onProgress: () => undefined,
  });

  beforeEach(async () => {
    database = `shared${databases++}`;
    const [source, target] = [clients[0]!.db(database), clients[1]!.db(database)];
    [orders, copy] = [source.collection('orders'), target.collection('orders.p1')];
    await orders.insertMany(Array.from({ length: 1_000 }, (_, i) => ({ _id: i as never, at: key(i % 200), n: 0 })));
    await orders.createIndex({ 'at.customer': 'hashed' });
    await createFenced(target, 'orders.p1', part.keyField, []);
    await copy.createIndex({ 'at.customer': 'hashed' });
    await new Checkpoint(target, 'm', 'forward').create(part.tokens, await operationTime(source));
    await createLanes(target, 'm');
  });

  const ours = async () => (await orders.find().sort({ _id: 1 }).toArray()).filter(isOurs);
  const copied = () => copy.find().sort({ _id: 1 }).toArray();
  const settle = () => Promise.resolve();

  it('is counted by its index, exactly, within the time that there is for it', async () => {
    const limits = { maxTimeMS: 5_000, signal: new AbortController().signal };
    expect(await countIn(orders, part, limits)).toBe((await ours()).length);
    const whole = { keyField: part.keyField, tokens: { low: TOKEN_MIN, high: TOKEN_END } };
    expect(await countIn(orders, whole, limits)).toBe(1_000);
    await orders.insertMany(Array.from({ length: 50_000 }, (_, n) => ({ at: key(n % 200), n })));
    await expect(countIn(orders, whole, { ...limits, maxTimeMS: 1 })).rejects.toMatchObject({ code: 50 });
    const abort = new AbortController();
    const counting = countIn(orders, whole, { ...limits, signal: abort.signal });
    abort.abort(new Error('told to end'));
    await expect(counting).rejects.toThrow('told to end');
  });

  it('is copied alone, and an attempt goes on where the one before it stood', async () => {
    const padding = 'x'.repeat(100_000);
    await orders.updateMany({}, { $set: { padding } });
    let attempts = 0;
    for (let done = false; !done; attempts++) {
      const abort = new AbortController();
      const onProgress = () => abort.abort();
      done = await backfill({ ...work(), migration: 'm', signal: abort.signal, onProgress }).then(
        () => true,
        (error: unknown) => {
          if (!abort.signal.aborted) throw error;
          return false;
        },
      );
    }
    expect(attempts).toBeGreaterThan(3);
    expect(await copied()).toEqual(await ours());
    expect(await copy.countDocuments()).toBeGreaterThan(200);
    expect(Math.abs((await countOf(orders, part)) - (await copy.countDocuments()))).toBeLessThan(50);
  });

  it('is followed alone, and compared alone', async () => {
    await backfill({ ...work(), migration: 'm' });
    const abort = new AbortController();
    const following = follow({
      ...work(),
      migration: 'm',
      direction: 'forward',
      origin: clients[0]!,
      destination: clients[1]!,
      keyField: part.keyField,
      signal: abort.signal,
    });
    await orders.updateMany({}, { $inc: { n: 1 } });
    await orders.deleteMany({ _id: { $lt: 100 as never } });
    await orders.insertMany([true, false].map((own, i) => ({ _id: `new${i}` as never, at: someOf(own, i) })));
    const way = { migration: 'm', direction: 'forward', origin: orders.db, destination: copy.db } as const;
    expect(await ping(way, 10_000)).toBe(true);
    abort.abort();
    await following;
    expect(await copied()).toEqual(await ours());
    expect(await verify({ ...work(), settle })).toEqual({ compared: await copy.countDocuments(), different: [] });

    const wrong = (await ours())[0]!;
    await copy.updateOne({ _id: wrong._id }, { $set: { n: -1 } }, past);
    // What differs in another partition is no matter.
    await orders.updateOne({ at: someOf(false, 3) }, { $set: { n: -1 } });
    const { different } = await verify({ ...work(), settle });
    expect(different).toEqual([`{"id":${String(wrong._id)}}`]);
  });

  it('is compared on from where an attempt before it stood, which has noted what differed', async () => {
    await orders.updateMany({}, { $set: { padding: 'x'.repeat(20_000) } });
    await backfill({ ...work(), migration: 'm' });
    const [wrong] = await orders.find({}, { hint: { 'at.customer': 'hashed' }, min: { 'at.customer': Long.fromBigInt(part.tokens.low) }, limit: 1 }).toArray(); // prettier-ignore
    await copy.updateOne({ _id: wrong!._id }, { $set: { n: -1 } }, past);
    const position = () => copy.db.collection(CHECKPOINTS).findOne({ _id: 'm/verify' as never });

    const abort = new AbortController();
    let batches = 0;
    const slowly = Object.assign(new Throttle(0), {
      take: async () => {
        // Its clock says that it takes its time.
        vi.spyOn(performance, 'now').mockReturnValue(performance.now() + 10_000 * ++batches);
        if ((await position()) !== null) abort.abort(new Error('told to stop'));
      },
    });
    const attempt = verify({ ...work(), migration: 'm', settle, throttle: slowly, signal: abort.signal });
    await expect(attempt).rejects.toThrow('told to stop');
    vi.restoreAllMocks();
    const before = Number((await position())!['compared']);
    const all = await copy.countDocuments();
    expect(before).toBeGreaterThan(all / 5);

    const seen: number[] = [];
    const onProgress = ({ compared }: { compared: number }) => seen.push(compared);
    const { compared, different } = await verify({ ...work(), migration: 'm', settle, onProgress });
    expect(different).toEqual([`{"id":${String(wrong!._id)}}`]);
    expect(seen[0]).toBeGreaterThanOrEqual(before);
    // Read again is the entity at which it stood: five documents have one key.
    expect(compared - all).toBeLessThanOrEqual(5);
    expect(compared).toBeGreaterThanOrEqual(all);
    expect(await position()).toBeNull();
  });

  it('is not copied to where a document of another partition has an _id of its own', async () => {
    const target = clients[1]!.db(database);
    await target.collection('orders').createIndex({ 'at.customer': 'hashed' });
    const taken = (await ours())[7]!;
    await target.collection('orders').insertOne({ _id: taken._id, at: someOf(false, 0) });
    const copying = backfill({ ...work(), copy: 'orders', migration: 'm' });
    await expect(copying).rejects.toMatchObject({ code: 'DuplicateId', message: expect.stringContaining(`{"_id":${String(taken._id)}}`) as string }); // prettier-ignore
    expect(await target.collection('orders').findOne({ _id: taken._id })).toMatchObject({ at: someOf(false, 0) });
  });

  describe('is taken out', () => {
    const removal = (options: Partial<PartRemoval> = {}): PartRemoval => ({
      client: clients[0]!,
      database,
      collection: 'orders',
      part,
      migration: 'm',
      attempt: 1,
      throttle: new Throttle(0),
      confirm: () => Promise.resolve(),
      onProgress: () => undefined,
      ...options,
    });
    const theirs = async () => (await orders.find().sort({ _id: 1 }).toArray()).filter((each) => !isOurs(each));

    it('to the last document, and nothing else is', async () => {
      const [own, others] = [await ours(), await theirs()];
      expect(await removePart(removal())).toBe(own.length);
      expect(await isEmptyPart(orders, part)).toBe(true);
      expect(await orders.find().sort({ _id: 1 }).toArray()).toEqual(others);
      expect(await orders.db.collection(CHECKPOINTS).countDocuments()).toBe(0);
      expect(await removePart(removal({ attempt: 2 }))).toBe(0);
    });

    it('by the next attempt, when one was taken over: which deletes nothing more, not even when the partition is back', async () => {
      const own = await ours();
      const others = await theirs();
      let wake!: () => void;
      const asleep = new Promise<void>((resolve) => (wake = resolve));
      let deleted = 0;
      const throttle = Object.assign(new Throttle(0), { take: () => asleep });
      const zombie = removePart(removal({ throttle, onProgress: (n) => (deleted = n) })).catch(
        (error: unknown) => error,
      );
      while (deleted === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      expect(await removePart(removal({ attempt: 2 }))).toBe(own.length - deleted);
      await orders.insertMany(own);
      wake();
      expect(await zombie).toMatchObject({ code: 'Superseded' });
      expect(await ours()).toEqual(own);
      expect(await theirs()).toEqual(others);
    });

    it('not by an index with a collation, by which others would be found, whenever that came', async () => {
      const all = await orders.find().sort({ _id: 1 }).toArray();
      await orders.dropIndex('at.customer_hashed');
      await orders.createIndex({ 'at.customer': 'hashed' }, { collation: { locale: 'en', strength: 2 } });
      await expect(removePart(removal())).rejects.toMatchObject({ code: 'Unavailable' });
      await expect(backfill({ ...work(), migration: 'm' })).rejects.toMatchObject({ code: 'Unavailable' });
      await expect(verify({ ...work(), settle })).rejects.toMatchObject({ code: 'Unavailable' });
      await orders.createIndex({ 'at.customer': 'hashed' }, { name: 'plain' });
      await expect(removePart(removal({ attempt: 2 }))).rejects.toMatchObject({ code: 'Unavailable' });
      await orders.db.command({ collMod: 'orders', index: { name: 'plain', hidden: true } });
      await expect(removePart(removal({ attempt: 3 }))).rejects.toMatchObject({ code: 'Unavailable' });
      expect(await orders.find().sort({ _id: 1 }).toArray()).toEqual(all);
    });

    it('no further when it is told to end; the next attempt goes on', async () => {
      const own = await ours();
      const abort = new AbortController();
      let deleted = 0;
      const onProgress = (n: number) => {
        deleted = n;
        abort.abort();
      };
      await expect(removePart(removal({ signal: abort.signal, onProgress }))).rejects.toThrow(/abort/);
      expect(await removePart(removal({ attempt: 2 }))).toBe(own.length - deleted);
    });

    it('not by an attempt that the catalog does not confirm', async () => {
      const before = await orders.countDocuments();
      const confirm = () => Promise.reject(new Error('no'));
      await expect(removePart(removal({ confirm }))).rejects.toThrow('no');
      expect(await orders.countDocuments()).toBe(before);
      expect(await orders.db.collection(CHECKPOINTS).countDocuments()).toBe(0);
    });
  });
});
