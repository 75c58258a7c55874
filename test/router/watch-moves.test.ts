import type { ChangeStream, Document } from 'mongodb';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Partition } from '../../domain/partition.js';
import { acceptedBy } from '../../domain/partition.js';
import { TOKEN_END, TOKEN_MIN } from '../../domain/token.js';
import { random } from '../../examples/random.js';
import type { DroverClient, DroverCollection } from '../../router/index.js';
import { createFenced } from '../store/fences.js';
import { changesIn, insertLast, LedgerWriters, Told } from './change-ledger.js';
import { keys, lower, upper, useCluster } from './cluster.js';
import { ReplicatedMove } from './replicated-move.js';

const cluster = useCluster();
const QUARTER = 2n ** 61n;
const AWAIT = { maxAwaitTimeMS: 100 };
/** Changes of one document in a transaction of the writers. */
const MOST_AT_ONCE = 3;
type Changes = ChangeStream<Document, Document>;

let clients: DroverClient[];
beforeAll(async () => {
  clients = [await cluster.connect({ holdTimeoutMS: 30_000 }), await cluster.connect({ holdTimeoutMS: 30_000 })];
});

const orders = (client = 0): DroverCollection => cluster.orders(clients[client]!);
const soon = (ms = 100) => new Promise((resolve) => setTimeout(resolve, ms));

/** The first half of the keyspace moves to the other node. */
async function moving(): Promise<ReplicatedMove> {
  const both = { a: cluster.db('a').client, b: cluster.db('b').client };
  return new ReplicatedMove(cluster.catalog, both, 'shop', await cluster.partition(), 'b');
}

/** A stream from now on. */
async function watching(options: object = {}): Promise<Changes> {
  const changes = orders().watch<Document, Document>([], { ...AWAIT, ...options });
  expect(await changes.tryNext()).toBeNull();
  return changes;
}

/** Makes the keyspace one that was adopted on node `a`: its partitions are in one collection there. */
async function adopted(): Promise<void> {
  const name = `shared${cluster.name}`;
  const shared = { node: 'a', collection: name };
  const partition = (part: string, low: bigint, high: bigint): Partition => ({
    ...{ id: `shop.${name}/${part}`, keyspace: `shop.${name}`, name: part, box: [{ low, high }] as const, shared },
    ...{ collection: `${name}.${part}`, epoch: 1, attempt: 0, gates: [], handover: null, lastMovedAt: null },
    route: { source: 'a', target: null, boundary: low, fence: null },
  });
  const partitions = [partition('p0', TOKEN_MIN, 0n), partition('p1', 0n, TOKEN_END)];
  await createFenced(cluster.db('a'), name, 'customerId', acceptedBy(partitions, 'a'));
  await cluster.db('a').collection(name).createIndex({ customerId: 'hashed' });
  await cluster.catalog.keyspaces.insert({
    ...{ _id: `shop.${name}`, database: 'shop', collection: name, createdAt: new Date() },
    dimensions: [{ kind: 'hashed', field: 'customerId' }],
  });
  await cluster.catalog.partitions.insert(partitions);
  cluster.name = name;
}

describe('every change is told once, in the order of each document, while partitions move', () => {
  it.each([
    ['in collections of their own', 1],
    ['in a collection that was adopted', 2],
  ])('%s (seed %i)', async (where, seed) => {
    if (where.includes('adopted')) await adopted();
    const stored = keys.slice(0, 20).map((customerId) => ({ _id: `old ${customerId}` as never, customerId }));
    await orders().insertMany(stored);
    const live = await watching();
    const start = live.resumeToken;
    const [told, resumed, afterwards] = [new Told(), new Told(), new Told()];

    const writers = new LedgerWriters(clients[0]!, orders(), keys, 6, seed);
    let running = true;
    const reading = (async () => {
      while (running) {
        const event = await live.tryNext();
        if (event !== null) told.add(event);
      }
    })();
    // Another client takes over after every few changes, in the middle of transactions, too.
    let token = start;
    const resume = async (read: (changes: Changes) => Promise<void>, client: number) => {
      const changes = orders(client).watch<Document, Document>([], { ...AWAIT, batchSize: 7, resumeAfter: token });
      await read(changes);
      token = changes.resumeToken;
      await changes.close();
    };
    const next = random(seed);
    const resuming = (async () => {
      for (let client = 0; running; client = 1 - client) {
        await resume(async (changes) => {
          for (let i = next() * 40; i > 0 && running; i--) {
            const event = await changes.tryNext();
            if (event !== null) resumed.add(event);
          }
        }, client);
      }
    })();

    // Others begin now and then.
    const lengths = () => new Map([...writers.stories].map(([id, { length }]) => [id, length]));
    const begin = async () => {
      await soon(next() * 300);
      const [before, begun] = [lengths(), orders(1).watch<Document, Document>([], AWAIT)];
      const heard = new Told();
      const event = await begun.tryNext();
      if (event !== null) heard.add(event);
      return { before, begun, heard, after: lengths() };
    };
    const later: ReturnType<typeof begin>[] = [];

    const move = await moving();
    await move.begin();
    for (const boundary of [-3n * QUARTER, -QUARTER, -2n * QUARTER, 0n, -3n * QUARTER, TOKEN_MIN, 0n]) {
      later.push(begin());
      await move.to(boundary);
      await soon();
    }
    await move.complete();
    await soon();
    await writers.stop();
    running = false;
    await Promise.all([reading, resuming]);

    expect(changesIn(writers.stories)).toBeGreaterThan(100);
    // In either partition: at every node behind all that was changed there.
    const last = await insertLast(orders(), [lower[0]!, upper[0]!]);
    await told.readTo(live, last);
    await resume((changes) => resumed.readTo(changes, last), 1);
    // All at once: node by node the logs are far apart.
    token = start;
    await resume((changes) => afterwards.readTo(changes, last), 1);
    await live.close();
    for (const each of [told, resumed, afterwards]) expect(each.stories).toEqual(writers.stories);
    for (const { before, begun, heard, after } of await Promise.all(later)) {
      await heard.readTo(begun, last);
      await begun.close();
      for (const [id, story] of writers.stories) {
        const end = heard.stories.get(id) ?? [];
        expect(end).toEqual(story.slice(story.length - end.length));
        expect(end.length).toBeLessThanOrEqual(story.length - (before.get(id) ?? 0));
        // One may have been under way.
        expect(end.length).toBeGreaterThanOrEqual(story.length - (after.get(id) ?? 0) - MOST_AT_ONCE);
      }
    }
  });
});

describe('the present document of an update', () => {
  it('is found where it is by now, when it has moved and the old copy is gone', async () => {
    const [one, two] = lower as [string, string];
    await orders().insertMany([
      { _id: 1 as never, customerId: one, n: 0 },
      { _id: 2 as never, customerId: two, n: 0 },
    ]);
    const changes = await watching({ fullDocument: 'updateLookup' });
    await orders().updateMany({ customerId: { $in: [one, two] } }, { $inc: { n: 1 } });
    const move = await moving();
    await move.begin();
    await move.to(0n);
    await orders().updateOne({ customerId: one, _id: 1 as never }, { $inc: { n: 1 } });
    await orders().deleteOne({ customerId: two });
    await move.complete();
    const events = [await changes.next(), await changes.next(), await changes.next(), await changes.next()];
    expect(events.map(({ documentKey, fullDocument }) => [documentKey._id, fullDocument?.n ?? null])).toEqual([
      [1, 2],
      [2, null],
      [1, 2],
      [2, null],
    ]);
    await changes.close();
  });
});
