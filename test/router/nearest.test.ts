import { setTimeout as delay } from 'node:timers/promises';
import type { CommandStartedEvent, MongoClient } from 'mongodb';
import { MongoInvalidArgumentError } from 'mongodb';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Direction } from '../../domain/partition.js';
import { tokensOf } from '../../domain/partition.js';
import type { DroverClient, DroverCollection, DroverSession, NearestReads } from '../../router/index.js';
import { operationTime } from '../../store/change-log.js';
import { Checkpoint } from '../../store/checkpoint.js';
import { follow } from '../../store/follower.js';
import { tokenOfKey } from '../../store/key-token.js';
import { until } from '../store/servers.js';
import type { Node } from './cluster.js';
import { lower, upper, useCluster } from './cluster.js';

const cluster = useCluster();
const [key, moving] = lower as [string, string];
const [onB] = upper as [string];
/** More than replication is ever behind here. */
const nearest = { maxStalenessMS: 60_000 } as const;
const running: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  await cluster.catalog.nodes.put({ _id: 'b', region: 'us', address: 'x' }, new Date());
});
beforeEach(async () => {
  await cluster.stored('a').insertOne({ _id: 'where' as never, customerId: key, node: 'a' });
  await cluster.announce();
  const here = { _id: 'where' as never, customerId: key, node: 'b' };
  // Replication knows nothing of it: so it tells where a read went.
  await cluster.stored('b').insertOne(here, { bypassDocumentValidation: true });
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((stop) => stop()));
  for (const node of ['a', 'b'] as const) await cluster.db(node).collection('drover.checkpoints').deleteMany({});
});

/** As a migration has it by the time that its target is published. @returns what ends it */
async function replicate(direction: Direction = 'forward'): Promise<() => Promise<unknown>> {
  const [origin, copy]: Node[] = direction === 'forward' ? ['a', 'b'] : ['b', 'a'];
  const partition = await cluster.partition();
  const checkpoint = new Checkpoint(cluster.db(copy!), 'm', direction);
  await checkpoint.create(tokensOf(partition), await operationTime(cluster.db(origin!)));
  if (direction === 'forward') await checkpoint.endCopy((await checkpoint.get()).attempt, { documents: 0, bytes: 0 });
  else await checkpoint.receive({ epoch: partition.epoch, interval: tokensOf(partition), since: 0n });
  const abort = new AbortController();
  const [from, to] = [cluster.db(origin!).client, cluster.db(copy!).client];
  const followed = follow({
    migration: 'm',
    direction,
    origin: from,
    destination: to,
    database: 'shop',
    collection: partition.collection,
    keyField: 'customerId',
    signal: abort.signal,
    onProgress: () => undefined,
  });
  // Of an origin that stands still replication would tell its position once in a second or two.
  const ticking = async () => {
    while (!abort.signal.aborted) {
      await cluster
        .stored(origin!)
        .updateOne({ _id: 'tick' as never }, { $set: { customerId: key }, $inc: { tick: 1 } }, { upsert: true });
      await delay(50);
    }
  };
  const end = Promise.all([followed, ticking()]);
  const stop = () => {
    abort.abort();
    return end;
  };
  running.push(stop);
  return stop;
}

interface Options {
  readonly nearest?: NearestReads | false;
  readonly session?: DroverSession;
}
const where = async (orders: DroverCollection, options: Options = nearestOnly) =>
  (await orders.findOne({ customerId: key, _id: 'where' as never }, options))!['node'] as Node;
const nearestOnly = { nearest };
const readFrom = (node: Node, orders: DroverCollection, options?: Options) =>
  until(`a read from ${node}`, async () => (await where(orders, options)) === node, 30_000);

function finds(client: DroverClient, node: Node): { readonly collection: string; readonly level: string }[] {
  const { nodes } = client as unknown as { nodes: { peek(node: string): MongoClient } };
  const seen: { collection: string; level: string }[] = [];
  nodes.peek(node).on('commandStarted', ({ commandName, command }: CommandStartedEvent) => {
    if (commandName === 'find') seen.push({ collection: command['find'], level: command['readConcern']?.level });
  });
  return seen;
}

describe('reads that may go to the nearest copy', () => {
  it('go there while it is as fresh as asked for, and to the owner otherwise', async () => {
    const client = await cluster.connect({ region: 'us' });
    const orders = cluster.orders(client);
    const elsewhere = cluster.orders(await cluster.connect({ region: 'eu' }));
    expect(await where(orders)).toBe('a');
    const stop = await replicate();
    await readFrom('b', orders);

    expect(await where(orders, {})).toBe('a');
    expect(await where(orders, { nearest: { maxStalenessMS: 1 } })).toBe('a');
    expect(await where(elsewhere)).toBe('a');
    const strict = { readConcern: { level: 'linearizable' }, nearest } as const;
    expect(await orders.findOne({ customerId: key }, strict)).toMatchObject({ node: 'a' });
    await using session = client.startSession();
    await session.withTransaction(async () => expect(await where(orders, { nearest, session })).toBe('a'));

    await stop();
    await readFrom('a', orders, { nearest: { maxStalenessMS: 1_000 } });
    expect(await where(orders)).toBe('b');
    await replicate();
    await readFrom('b', orders, { nearest: { maxStalenessMS: 15_000 } });

    // Nobody waits any more for a client that does not answer before the copy is removed.
    await cluster.feed(client).close();
    await readFrom('a', orders);
  });

  it('see all partitions, each once', async () => {
    const client = await cluster.connect({ region: 'us', nearest });
    const orders = cluster.orders(client);
    const stop = await replicate();
    const documentsOnly = { tick: { $exists: false } };
    const documents = [key, moving, onB].map((customerId, n) => ({ customerId, n }));
    await orders.insertMany(documents);
    await readFrom('b', orders, {});
    const found = async (options?: Options) => {
      const all = await orders.find(documentsOnly, { ...options, sort: { n: 1 } }).toArray();
      return all.map((document) => (document['n'] as number | undefined) ?? (document['node'] as Node));
    };
    await until('replication', async () => (await found()).length === 4);
    expect(await found()).toEqual(['b', 0, 1, 2]);
    expect(await found({ nearest: false })).toEqual(['a', 0, 1, 2]);
    expect(await orders.find(documentsOnly).count()).toBe(4);
    expect((await orders.find({ _id: 'where' as never }).toArray())[0]).toMatchObject({ node: 'b' });
    expect(await orders.findOne({ node: { $exists: true } })).toMatchObject({ node: 'b' });
    const fromOwner = client.db('shop').collection(cluster.name, { nearest: false });
    expect(await where(fromOwner, {})).toBe('a');
    await stop();
    // Half of it: what the target owns by now it is asked for as its owner.
    const { low } = tokensOf(await cluster.partition());
    await cluster.advance({ kind: 'begin', boundary: low / 2n }, { kind: 'own', since: 1n }, { kind: 'settle' });
    const handedOver = lower.find((each) => tokenOfKey(each) < low / 2n)!;
    await until('the route', async () => (await client.ownerOf(`shop.${cluster.name}`, handedOver)) === 'b');
    expect(await found()).toEqual(['b', 0, 1, 2]);
    // Writes go to owners, whatever reads do.
    await orders.deleteMany({ n: { $gte: 0 } });
    expect(await orders.find({ n: { $gte: 0 } }, { nearest: false }).toArray()).toEqual([]);
    await expect(orders.findOne({}, { nearest: { maxStalenessMS: 0 } })).rejects.toThrow(MongoInvalidArgumentError);
    expect(() => client.startSession({ nearest: {} as never })).toThrow(/maxStalenessMS/);
  });

  it('go to the source while it is nearer, and the target the owner', async () => {
    await cluster.advance({ kind: 'begin', boundary: 0n }, { kind: 'own', since: 1n }, { kind: 'settle' });
    await replicate('back');
    const client = await cluster.connect({ region: 'eu' });
    expect(await where(cluster.orders(client), {})).toBe('b');
    await readFrom('a', cluster.orders(client));
  });

  it('never give what is older than the bound, whatever becomes of replication', async () => {
    const client = await cluster.connect({ region: 'us', driver: { monitorCommands: true } });
    const writer = cluster.orders(await cluster.connect({ region: 'eu' }));
    const reader = cluster.orders(client);
    const fromCopy = finds(client, 'b');
    const maxStalenessMS = 2_000;
    const history: { readonly n: number | undefined; ackedAt: number }[] = [{ n: undefined, ackedAt: 0 }];
    let over = false;
    const done = async (n: number | undefined, write: () => Promise<unknown>) => {
      const entry = { n, ackedAt: Infinity };
      history.push(entry);
      await write();
      entry.ackedAt = performance.now();
    };
    const write = async () => {
      const filter = { customerId: moving };
      for (let n = 0; !over; n++) {
        if (n % 10 === 0) await done(undefined, () => writer.deleteOne(filter));
        await done(n, () => writer.updateOne(filter, { $set: { n } }, { upsert: true }));
        await delay(20);
      }
    };
    const tooOld: unknown[] = [];
    let reads = 0;
    const read = async () => {
      while (!over) {
        const since = performance.now() - maxStalenessMS;
        const found = await reader.findOne({ customerId: moving }, { nearest: { maxStalenessMS } });
        const oldest = history.findLastIndex(({ ackedAt }) => ackedAt < since);
        reads += 1;
        const n = found?.['n'] as number | undefined;
        if (!history.slice(Math.max(0, oldest)).some((state) => state.n === n)) tooOld.push([n, history[oldest]]);
        await delay(10);
      }
    };
    const copied = () => fromCopy.filter(({ collection }) => collection.endsWith('.p0')).length;
    const work = Promise.all([write(), read(), read()]);
    try {
      const stop = await replicate();
      await until('reads from the copy', () => Promise.resolve(copied() > 20), 40_000);
      await stop();
      await delay(maxStalenessMS + 200);
      const now = copied();
      await delay(300);
      expect(copied()).toBe(now);
      await replicate();
      await until('reads from the copy again', () => Promise.resolve(copied() > now + 20), 40_000);
    } finally {
      over = true;
      await work;
    }
    expect(reads).toBeGreaterThan(copied());
    expect(tooOld).toEqual([]);
  });
});

describe('nearest reads of a session', () => {
  it('never go back, nor behind its own writes', async () => {
    const client = await cluster.connect({ region: 'us', driver: { monitorCommands: true } });
    const orders = cluster.orders(client);
    await replicate();
    await readFrom('b', orders);
    await using session = client.startSession({ nearest });
    for (let n = 0; n < 5; n++) {
      await orders.updateOne({ customerId: moving }, { $set: { n } }, { upsert: true, session });
      expect(await orders.findOne({ customerId: moving }, { session })).toMatchObject({ n });
    }
    // Whatever it has read from the owner, the copy has to have, too: so it pauses.
    await where(orders, { nearest: { maxStalenessMS: 400 } });
    let served: Node = 'a';
    for (let pause = 1_500; served === 'a' && pause < 10_000; pause *= 1.5) {
      await delay(pause);
      served = await where(orders, { session });
    }
    expect(served).toBe('b');
    // The copy may be ahead of members of the owner.
    const atOwner = finds(client, 'a');
    expect(await where(orders, { session, nearest: false })).toBe('a');
    expect(await where(orders, { session, nearest: false })).toBe('a');
    const levels = atOwner.filter(({ collection }) => collection.endsWith('.p0')).map(({ level }) => level);
    expect(levels.slice(-3)).toEqual(['linearizable', 'majority', 'majority']);
  });

  it('stay where the first one was served, if it is sticky', async () => {
    const client = await cluster.connect({ region: 'us' });
    const orders = cluster.orders(client);
    const stop = await replicate();
    await readFrom('b', orders);
    await using session = client.startSession({ sticky: true });
    expect(await where(orders, { session, nearest: { maxStalenessMS: 1 } })).toBe('a');
    expect(await where(orders, { session, nearest })).toBe('a');
    expect(await where(orders)).toBe('b');
    await using other = client.startSession({ sticky: true, nearest });
    await readFrom('b', orders, { session: other });
    await stop();
    await readFrom('a', orders, { session: other, nearest: { maxStalenessMS: 1_000 } });
    expect(await where(orders)).toBe('b');
    expect(await where(orders, { session: other })).toBe('a');
  });
});
