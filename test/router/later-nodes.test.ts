import type { ChangeStream, CommandStartedEvent, Document, MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Partition } from '../../domain/partition.js';
import { TOKEN_END, TOKEN_MIN } from '../../domain/token.js';
import type { DroverCollection } from '../../router/index.js';
import { DroverClient } from '../../router/index.js';
import { Catalog } from '../../store/catalog/catalog.js';
import { createFenced } from '../store/fences.js';
import { until, useServers } from '../store/servers.js';
import { lower, upper } from './cluster.js';
import { ReplicatedMove } from './replicated-move.js';

const { clients, uris } = useServers(2);
const [moved] = lower as [string];
const [stayed] = upper as [string];
const whole: Partition = {
  ...{ id: 'shop.orders/p0', keyspace: 'shop.orders', name: 'p0', collection: 'orders.p0' },
  ...{ box: [{ low: TOKEN_MIN, high: TOKEN_END }], epoch: 1, attempt: 0, gates: [], handover: null, lastMovedAt: null },
  route: { source: 'a', target: null, boundary: TOKEN_MIN, fence: null },
};
const connected: DroverClient[] = [];
let catalog: Catalog;
let move: ReplicatedMove;
let early: DroverClient;
let behind: DroverClient;
let changes: ChangeStream<Document, Document>;

async function connect(): Promise<DroverClient> {
  const nodes = { a: uris[0]!, b: uris[1]! };
  const settings = { holdTimeoutMS: 30_000, recordAccess: false, driver: { monitorCommands: true } };
  const client = await DroverClient.connect(uris[0]!, { region: 'eu', nodes, ...settings });
  connected.push(client);
  return client;
}
const orders = (client: DroverClient): DroverCollection => client.db('shop').collection('orders');

/** Clients are there, and a change stream; then a node is added, and half of the documents move there. */
beforeAll(async () => {
  catalog = await Catalog.open(uris[0]!);
  await catalog.nodes.put({ _id: 'a', region: 'us', address: 'x' }, new Date());
  await createFenced(clients[0]!.db('shop'), 'orders.p0', 'customerId', [{ low: TOKEN_MIN, high: TOKEN_END }]);
  await catalog.keyspaces.insert({
    ...{ _id: 'shop.orders', database: 'shop', collection: 'orders', createdAt: new Date() },
    dimensions: [{ kind: 'hashed', field: 'customerId' }],
  });
  await catalog.partitions.insert([whole]);
  [early, behind] = [await connect(), await connect()];
  changes = orders(early).watch<Document, Document>([], { maxAwaitTimeMS: 100 });
  await changes.tryNext();
  await orders(early).insertMany([moved, stayed].map((customerId, i) => ({ _id: i as never, customerId })));

  await catalog.nodes.put({ _id: 'b', region: 'eu', address: 'x' }, new Date());
  move = new ReplicatedMove(catalog, { a: clients[0]!, b: clients[1]! }, 'shop', whole, 'b');
  await move.begin();
  await move.to(0n);
});
afterAll(async () => {
  await changes.close();
  await move.stop();
  await Promise.all(connected.map((client) => client.close()));
  await catalog.close();
});

describe('to a node that was added after a client connected', () => {
  it('nearest reads go, when it is the nearer one', async () => {
    const seen: string[] = [];
    const { nodes } = early as unknown as { nodes: { peek(node: string): MongoClient | undefined } };
    const read = () => orders(early).findOne({ customerId: stayed }, { nearest: { maxStalenessMS: 60_000 } });
    await until('the client to be connected', async () => (await read()) !== null && nodes.peek('b') !== undefined);
    nodes.peek('b')!.on('commandStarted', ({ commandName, command }: CommandStartedEvent) => {
      if (commandName === 'find') seen.push(command['find'] as string);
    });
    const isThere = async () => (await read()) !== null && seen.includes('orders.p0');
    await until('a read from the nearer copy', isThere, 30_000);
    expect(await read()).toMatchObject({ customerId: stayed });
  });

  it('a change stream goes on, and the next one with its token', async () => {
    const ids = async (stream: ChangeStream<Document, Document>, count: number) => {
      const events: Document[] = [];
      while (events.length < count) events.push(await stream.next());
      return events.map(({ operationType, documentKey }) => [operationType, documentKey._id] as [string, number]);
    };
    await orders(early).updateOne({ customerId: moved }, { $set: { n: 1 } });
    const told = await ids(changes, 3);
    expect(told.filter(([, id]) => id === 0)).toEqual([
      ['insert', 0],
      ['update', 0],
    ]);
    const resumeAfter = changes.resumeToken;
    await orders(early).deleteOne({ customerId: moved });
    const next = orders(await connect()).watch<Document, Document>([], { resumeAfter });
    expect(await ids(next, 1)).toEqual([['delete', 0]]);
    await next.close();
  });

  it('a session goes on that was begun by a client that knew it', async () => {
    await using session = early.startSession();
    await orders(early).insertOne({ customerId: moved, n: 2 }, { session });
    await using next = behind.startSession({ continueFrom: session.token() });
    expect(await orders(behind).findOne({ customerId: moved, n: 2 }, { session: next })).toMatchObject({ n: 2 });
    expect(next.operationTimeAt('b')!.greaterThanOrEqual(session.operationTimeAt('b')!)).toBe(true);
  });
});
