import type { CommandStartedEvent, Document, MongoClient, Timestamp } from 'mongodb';
import { Long, MongoAPIError, MongoCompatibilityError, MongoInvalidArgumentError, Timestamp as Time } from 'mongodb';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { DroverClient, DroverCollection } from '../../router/index.js';
import type { SeenRoute } from '../../router/session-token.js';
import { decodeToken, encodeToken } from '../../router/session-token.js';
import { until } from '../store/servers.js';
import type { Node } from './cluster.js';
import { lower, upper, useCluster } from './cluster.js';

const cluster = useCluster();
const [customerId] = lower as [string];
const [onB] = upper as [string];
let client: DroverClient;
let orders: DroverCollection;
const finds: Record<Node, Document[]> = { a: [], b: [] };

beforeAll(async () => {
  client = await cluster.connect({ driver: { monitorCommands: true } });
  const { nodes } = client as unknown as { nodes: { peek(node: string): MongoClient } };
  for (const node of ['a', 'b'] as const) {
    nodes.peek(node).on('commandStarted', ({ commandName, command }: CommandStartedEvent) => {
      if (commandName === 'find') finds[node].push(command);
    });
  }
});
beforeEach(async () => {
  orders = cluster.orders(client);
  await orders.insertOne({ customerId, n: 0 });
  await orders.insertOne({ customerId: onB, n: 0 });
  finds.a.splice(0);
  finds.b.splice(0);
});

const levels = (node: Node) => finds[node].map((command) => command['readConcern']?.level as string | undefined);
const after = (command: Document | undefined) => command?.['readConcern']?.afterClusterTime as Timestamp | undefined;
const move = async () => {
  await cluster.announce();
  await cluster.handOver();
  const { epoch } = await cluster.partition();
  await until(
    'the router to know',
    async () => (await ownerOf()) === 'b' && (await cluster.partition()).epoch === epoch,
  );
};
const ownerOf = () => client.ownerOf(`shop.${cluster.name}`, customerId);
const local = { readConcern: 'local' } as const;

describe('a causally consistent session, after a partition has moved', () => {
  it('asks the new owner for its time once, and reads nothing there that is older', async () => {
    await using session = client.startSession();
    await orders.findOne({ customerId }, { session });
    await move();
    finds.b.splice(0);
    expect(await orders.findOne({ customerId }, { session })).toMatchObject({ n: 0 });
    await orders.findOne({ customerId }, { session });
    await orders.find({ customerId: { $gt: '' } }, { session }).toArray();
    expect(levels('b').filter((level) => level === 'linearizable')).toHaveLength(1);
    expect(levels('b')[0]).toBe('linearizable');
    for (const find of finds.b.slice(1)) expect(after(find)).toBeInstanceOf(Time);
  });

  it('does not where the answer of the primary, or of a write, has all of it', async () => {
    await using reading = client.startSession();
    await using writing = client.startSession();
    for (const session of [reading, writing]) await orders.findOne({ customerId }, { session });
    await move();
    finds.b.splice(0);
    await orders.findOne({ customerId }, { session: reading, ...local });
    await orders.updateOne({ customerId }, { $inc: { n: 1 } }, { session: writing });
    for (const session of [reading, writing]) await orders.findOne({ customerId }, { session });
    expect(levels('b')).toEqual(['local', 'majority', 'majority']);
    expect(finds.b.slice(1).map(after)).toEqual([expect.any(Time), expect.any(Time)]);
  });

  it('asks again when a cursor has gone on at the node that lost what it reads', async () => {
    await orders.insertOne({ customerId, n: 1 });
    await using session = client.startSession();
    await using cursor = orders.find({ customerId }, { session, batchSize: 1 });
    await cursor.next();
    await move();
    finds.b.splice(0);
    for (let i = 0; i < 2; i++) await orders.findOne({ customerId }, { session });
    const asked = () => levels('b').filter((level) => level === 'linearizable').length;
    expect(asked()).toBe(1);
    expect(await cursor.next()).not.toBeNull();
    for (let i = 0; i < 2; i++) await orders.findOne({ customerId }, { session });
    expect(asked()).toBe(2);
  });

  it('does not where it has seen nothing of the partition before, nor when it is not to be consistent', async () => {
    await using session = client.startSession();
    await using loose = client.startSession({ causalConsistency: false });
    await orders.findOne({ customerId: onB }, { session });
    await orders.findOne({ customerId }, { session: loose });
    await move();
    finds.b.splice(0);
    await orders.findOne({ customerId }, { session });
    await orders.findOne({ customerId }, { session: loose });
    expect(levels('b')).toEqual(['majority', 'majority']);
    expect(finds.b.map(after)).toEqual([expect.any(Time), undefined]);
  });
});

describe('the driver’s session', () => {
  it('has an id and times of each node', async () => {
    await using session = client.startSession();
    expect([session.id, session.operationTime, session.clusterTime]).toEqual([undefined, undefined, undefined]);
    await orders.findOne({ customerId }, { session });
    const { operationTime } = session;
    expect(operationTime).toBeInstanceOf(Time);
    expect(session.id).toEqual(session.idAt('a'));
    session.advanceOperationTime(new Time(Long.fromNumber(1)));
    expect(session.operationTime).toEqual(operationTime);
    await orders.findOne({ customerId: onB }, { session });
    expect(() => session.operationTime).toThrow(MongoAPIError);
    expect(() => session.advanceOperationTime(operationTime!)).toThrow(/token\(\)/);
    expect(session.operationTimeAt('a')).toEqual(operationTime);
    expect(session.operationTimeAt('b')).toBeInstanceOf(Time);
    expect(session.idAt('b')).not.toEqual(session.idAt('a'));
  });

  it('with a snapshot reads one node, and nothing that came to it later', async () => {
    const read = { readPreference: 'primary' } as const;
    await using one = client.startSession({ snapshot: true });
    await orders.findOne({ customerId }, { session: one, ...read });
    await orders.updateOne({ customerId }, { $inc: { n: 1 } });
    expect(await orders.findOne({ customerId }, { session: one })).toMatchObject({ n: 0 });
    await expect(orders.findOne({ customerId: onB }, { session: one })).rejects.toThrow(/reads from one node/);
    await using other = client.startSession({ snapshot: true });
    await orders.findOne({ customerId: onB }, { session: other });
    await move();
    const moved = orders.findOne({ customerId }, { session: other });
    await expect(moved).rejects.toThrow(MongoCompatibilityError);
    await expect(moved).rejects.toThrow(/came to "b"/);
    expect(() => client.startSession({ snapshot: true, causalConsistency: true })).toThrow(MongoInvalidArgumentError);
  });
});

describe('a transaction', () => {
  it('refuses requests without the key that concern two nodes, before anything of them is done', async () => {
    await using session = client.startSession();
    const everywhere = [
      () => orders.updateMany({}, { $inc: { n: 1 } }, { session }),
      () => orders.deleteMany({}, { session }),
      () => orders.find({}, { session }).toArray(),
      () => orders.findOne({}, { session, sort: { n: 1 } }),
    ];
    for (const request of everywhere) {
      session.startTransaction();
      await expect(request()).rejects.toThrow(/must go to one node/);
      await session.abortTransaction();
    }
    await session.withTransaction(async () => {
      await orders.updateOne({ customerId }, { $inc: { n: 1 } }, { session });
      await expect(orders.updateMany({ n: { $gte: 0 } }, { $inc: { n: 1 } }, { session })).rejects.toThrow(
        /runs on "a", but the request concerns "b"/,
      );
    });
    expect(await orders.findOne({ customerId })).toMatchObject({ n: 1 });
    expect(await orders.findOne({ customerId: onB })).toMatchObject({ n: 0 });
  });

  it('begins again where a partition has come to its node since: it would see it in part', async () => {
    await using session = client.startSession();
    let [runs, found] = [0, undefined as Document | null | undefined];
    await session.withTransaction(async () => {
      runs += 1;
      await orders.findOne({ customerId: onB }, { session });
      if (runs === 1) await move();
      found = await orders.findOne({ customerId }, { session });
    });
    expect(found).toMatchObject({ n: 0 });
    expect(runs).toBe(2);
  });
});

describe('a session’s token', () => {
  it('lets another client see what the session has seen, by routes as new', async () => {
    const behind = await cluster.connect();
    await cluster.feed(behind).close();
    await using session = client.startSession();
    await orders.findOne({ customerId }, { session });
    await move();
    await orders.updateOne({ customerId }, { $set: { n: 7 } }, { session });
    const token = session.token();
    expect(await behind.ownerOf(`shop.${cluster.name}`, customerId)).toBe('a');

    await using next = behind.startSession({ continueFrom: token });
    expect(next.operationTimeAt('b')).toEqual(session.operationTimeAt('b'));
    expect(await cluster.orders(behind).findOne({ customerId }, { session: next })).toMatchObject({ n: 7 });
    expect(await behind.ownerOf(`shop.${cluster.name}`, customerId)).toBe('b');
    expect(next.operationTime!.greaterThanOrEqual(session.operationTimeAt('b')!)).toBe(true);
    // And so on.
    await using third = client.startSession({ continueFrom: next.token() });
    expect(third.operationTimeAt('a')).toEqual(session.operationTimeAt('a'));
  });

  it('says what its times do not cover', async () => {
    await using session = client.startSession();
    await orders.findOne({ customerId }, { session });
    await move();
    finds.b.splice(0);
    await using next = client.startSession({ continueFrom: session.token() });
    await orders.findOne({ customerId }, { session: next });
    await orders.findOne({ customerId }, { session: next });
    await using same = client.startSession({ continueFrom: next.token() });
    await orders.findOne({ customerId }, { session: same });
    expect(levels('b')).toEqual(['linearizable', 'majority', 'majority', 'majority']);
  });

  it('keeps the times of nodes that this client does not know yet, and drops those of nodes that have gone', async () => {
    await using session = client.startSession();
    await orders.findOne({ customerId }, { session });
    await cluster.catalog.nodes.put({ _id: 'later', region: 'eu', address: 'x' }, new Date());
    const times = { operationTime: session.operationTime!, clusterTime: session.clusterTime! };
    const before = { keyspaces: new Set<string>(), routes: new Map<string, SeenRoute>() };
    const both = new Map(['later', 'gone'].map((node) => [node, times] as const));
    await using next = client.startSession({ continueFrom: encodeToken({ ...before, times: both }) });
    expect(await orders.findOne({ customerId }, { session: next })).toMatchObject({ n: 0 });
    const nodes = () => [...decodeToken(next.token()).times.keys()].sort();
    await until('the other one to be dropped', () => Promise.resolve(nodes().length === 2));
    expect(nodes()).toEqual(['a', 'later']);
    expect(next.operationTimeAt('later')).toEqual(times.operationTime);
    await cluster.catalog.nodes.remove('later');
  });

  it('is refused where it is not one, or nothing could be made of it', async () => {
    await using session = client.startSession();
    await orders.findOne({ customerId }, { session });
    const token = session.token();
    const wrong: [unknown, RegExp][] = [
      ['', /cut off or damaged/],
      ['none', /cut off or damaged/],
      [token.slice(0, -1), /cut off or damaged/],
      [token.replace(/.{9}$/, 'AAAAAAAAA'), /cut off or damaged/],
      [7, /no text/],
    ];
    for (const [continueFrom, message] of wrong) {
      const start = () => client.startSession({ continueFrom: continueFrom as string });
      expect(start).toThrow(MongoInvalidArgumentError);
      expect(start).toThrow(message);
    }
    for (const options of [{ snapshot: true }, { causalConsistency: false }]) {
      expect(() => client.startSession({ ...options, continueFrom: token })).toThrow(/causally consistent/);
      expect(() => client.startSession(options).token()).toThrow(/causally consistent/);
    }
    const times = { operationTime: session.operationTime!, clusterTime: session.clusterTime! };
    const none = { keyspaces: new Set<string>(), routes: new Map<string, SeenRoute>() };
    const ahead = { ...times, operationTime: new Time({ t: 4_000_000_000, i: 1 }) };
    const future = encodeToken({ ...none, times: new Map([['a', ahead]]) });
    expect(() => client.startSession({ continueFrom: future })).toThrow(/ahead of its node’s clock/);

    const { id } = await cluster.partition();
    for (const [name, message] of [
      [id, /had the epoch 99 there, and has 1 here/],
      [`${id}x`, /no partition/],
    ] as const) {
      const routes = new Map([[name, { epoch: 99, behind: false }]]);
      await using lost = client.startSession({ continueFrom: encodeToken({ ...none, times: new Map(), routes }) });
      await expect(orders.findOne({ customerId }, { session: lost })).rejects.toThrow(message);
      await expect(orders.find({}, { session: lost }).toArray()).rejects.toThrow(message);
    }
  });
});
