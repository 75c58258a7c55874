import type { Collection, Db, Document } from 'mongodb';
import { Binary, Decimal128, Int32, Long, MinKey, ObjectId, Timestamp, UUID } from 'mongodb';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { Checkpoint, CHECKPOINTS, Markers } from '../../store/checkpoint.js';
import { markerRead } from '../../store/follower.js';
import { Throttle } from '../../store/throttle.js';
import type { VerifyOptions } from '../../store/verify.js';
import { verify } from '../../store/verify.js';
import { useServers } from './servers.js';
import { followed, sourceAndTarget, storedBytes } from './source-and-target.js';

const { clients } = useServers(2);

let database: string;
let [source, target]: [Db, Db] = [undefined as never, undefined as never];
let [orders, copy]: [Collection<Document>, Collection<Document>] = [undefined as never, undefined as never];

beforeEach(async () => {
  ({ database, source, target, orders, copy } = await sourceAndTarget(clients));
});

const unlimited = () => new Throttle(0);
const expectSame = async () =>
  expect((await storedBytes(copy)).join('\n') === (await storedBytes(orders)).join('\n')).toBe(true);

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
    const following = followed(clients, database, abort.signal);
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

  it('compares copies in another order by _id', async () => {
    const documents = Array.from({ length: 3_000 }, (_, i) => ({ _id: i as never, customerId: 'c' }));
    await orders.insertMany(documents);
    await copy.insertMany(documents.toReversed(), past);
    await copy.updateOne({ _id: 1_500 as never }, { $set: { customerId: 'd' } }, past);
    expect(await compare({ mostAhead: 2_000 })).toEqual({ compared: 3_000, different: ['{"id":1500}'] });
  });

  it('stops when there are enough differences to tell of', async () => {
    await orders.insertMany(Array.from({ length: 30_000 }, (_, i) => ({ _id: i as never, customerId: 'c' })));
    const { different, compared } = await compare({ mostAhead: 2_000 });
    expect(different).toHaveLength(20);
    expect(compared).toBeLessThan(30_000);
  });

  it('compares documents of all sizes, and _ids of all kinds', async () => {
    const ids = [
      null, 1.5, 'text', { b: 1, a: [1] }, new Binary(Buffer.from('bytes')), new ObjectId(), false, new Date(0),
      new Int32(7), Long.fromNumber(8), new Decimal128('1.10'), new Timestamp({ t: 1, i: 2 }), NaN, new MinKey(), new UUID(),
    ]; // prettier-ignore
    const documents = ids.map((_id, i) => ({ _id: _id as never, customerId: 'c', padding: 'x'.repeat(i * 500_000) }));
    for (const document of documents) await orders.insertOne(document);
    for (const document of documents.toReversed()) await copy.insertOne(document, past);
    expect(await compare()).toEqual({ compared: ids.length, different: [] });
    for (const { _id } of documents) await copy.updateOne({ _id: { $eq: _id } }, { $set: { padding: '' } }, past);
    const { different } = await compare();
    // The first one had no padding before.
    expect(different).toHaveLength(ids.length - 1);
  });

  const noted = () => target.collection(CHECKPOINTS).findOne({ _id: 'm/verify' as never });

  /** Ends when it has noted a position after a few batches; its clock says that it took its time. */
  async function compareUntilNoted(options: Partial<VerifyOptions> = {}): Promise<void> {
    const abort = new AbortController();
    let batches = 0;
    const slowly = Object.assign(unlimited(), {
      take: async () => {
        if (++batches < 4) return;
        vi.spyOn(performance, 'now').mockReturnValue(performance.now() + 10_000 * batches);
        if ((await noted()) !== null) abort.abort(new Error('told to stop'));
      },
    });
    const compared = compare({ migration: 'm', throttle: slowly, signal: abort.signal, ...options });
    await expect(compared).rejects.toThrow('told to stop');
    vi.restoreAllMocks();
  }

  describe('whose attempt has ended behind a noted position', () => {
    beforeEach(async () => {
      const documents = Array.from({ length: 60_000 }, (_, i) => ({ _id: i as never, customerId: 'c'.repeat(150) }));
      await orders.insertMany(documents);
      await copy.insertMany(documents, past);
      await copy.updateOne({ _id: 5 as never }, { $set: { customerId: 'd' } }, past);
      await compareUntilNoted();
    });

    it('goes on there, and forgets none of its suspects', async () => {
      const before = Number((await noted())!['compared']);
      expect(before).toBeGreaterThan(10_000);
      const seen: number[] = [];
      const result = await compare({ migration: 'm', onProgress: ({ compared }) => seen.push(compared) });
      expect(seen[0]).toBeGreaterThanOrEqual(before);
      expect(result).toEqual({ compared: 60_000, different: ['{"id":5}'] });
      expect(await noted()).toBeNull();
    });

    it.each([
      ['another member is read', 'source', { member: 'elsewhere:1' }],
      ['the document there has moved', 'target', { record: { $recordId: Long.fromNumber(7) } }],
    ])('begins anew where %s', async (_, side, change) => {
      const position = (await noted())!;
      const places = position['places'] as Document;
      const changed = { ...position, places: { ...places, [side]: { ...(places[side] as Document), ...change } } };
      await target.collection(CHECKPOINTS).replaceOne({ _id: 'm/verify' as never }, changed);
      const seen: number[] = [];
      const result = await compare({ migration: 'm', onProgress: ({ compared }) => seen.push(compared) });
      expect(seen[0]).toBeLessThan(Number(position['compared']));
      expect(result).toEqual({ compared: 60_000, different: ['{"id":5}'] });
    });
  });

  it('in the order of _id goes on at a noted one, whatever its type, and forgets none of its suspects', async () => {
    // Both sides of each border between two types of _id.
    const ids = (i: number) => [i, `id-${String(i).padStart(6, '0')}`, new Date(i)][Math.floor(i / 20_000)];
    const documents = Array.from({ length: 60_000 }, (_, i) => ({ _id: ids(i) as never, customerId: 'c'.repeat(150) }));
    await orders.insertMany(documents);
    await copy.insertMany(documents.toReversed(), past);
    await copy.updateOne({ _id: 5 as never }, { $set: { customerId: 'd' } }, past);
    const mostAhead = 20_000;
    await compareUntilNoted({ mostAhead });
    const before = await noted();
    expect(before).toMatchObject({ ids: {} });

    const seen: number[] = [];
    const result = await compare({ migration: 'm', mostAhead, onProgress: ({ compared }) => seen.push(compared) });
    expect(seen[0]).toBeGreaterThanOrEqual(Number(before!['compared']));
    expect(result.different).toEqual(['{"id":5}']);
    // Both sides begin with the document that they had read last.
    expect(result.compared - 60_000).toBeLessThanOrEqual(2);
    expect(result.compared).toBeGreaterThanOrEqual(60_000);
    expect(await noted()).toBeNull();
  });

  it('ends when it is told to', async () => {
    await orders.insertOne({ customerId: 'c' });
    const abort = new AbortController();
    abort.abort(new Error('told to stop'));
    await expect(compare({ signal: abort.signal })).rejects.toThrow('told to stop');
  });
});
