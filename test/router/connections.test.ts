import type { CommandStartedEvent, Document } from 'mongodb';
import { Long } from 'mongodb';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { acceptedTokens } from '../../domain/partition.js';
import type { DroverClient } from '../../router/index.js';
import type { NodePool } from '../../store/node-pool.js';
import { createFenced, setAccepted } from '../store/fences.js';
import { lower, upper, useCluster } from './cluster.js';

const cluster = useCluster();
const customerId = lower[0]!;

describe('a collection with options', () => {
  let client: DroverClient;
  let commands: Document[] = [];

  beforeAll(async () => {
    client = await cluster.connect({ driver: { monitorCommands: true } });
    for (const node of ['a', 'b']) {
      const connected = (client as unknown as { nodes: NodePool }).nodes.peek(node)!;
      connected.on('commandStarted', ({ command }: CommandStartedEvent) => commands.push(command));
    }
  });

  const of = (name: string) => commands.filter((command) => name in command);

  it('is read, wherever that is, as they say, unless a request says otherwise', async () => {
    const options = { readConcern: { level: 'majority' }, readPreference: 'secondaryPreferred', promoteLongs: false } as const;
    const orders = client.db('shop').collection(cluster.name, options);
    await orders.insertMany([lower[0], upper[0]].map((each) => ({ customerId: each, n: Long.fromNumber(1) })));
    commands = [];
    expect((await orders.findOne({ customerId }))!['n']).toEqual(Long.fromNumber(1));
    expect((await orders.find().toArray()).map(({ n }) => n as unknown)).toEqual([Long.fromNumber(1), Long.fromNumber(1)]);
    expect(of('find')).toHaveLength(3);
    for (const command of of('find')) {
      expect(command).toMatchObject({ readConcern: { level: 'majority' }, $readPreference: { mode: 'secondaryPreferred' } });
    }
    commands = [];
    expect(await orders.findOne({ customerId }, { readConcern: { level: 'local' }, promoteLongs: true })).toMatchObject({ n: 1 });
    expect(of('find')).toMatchObject([{ readConcern: { level: 'local' } }]);
    expect(orders.readConcern?.level).toBe('majority');
    expect(orders.readPreference?.mode).toBe('secondaryPreferred');
    expect(orders.bsonOptions.promoteLongs).toBe(false);
  }); // prettier-ignore

  it('is written as its own options say, but acknowledged by a majority', async () => {
    const options = { ignoreUndefined: true, writeConcern: { w: 1 } } as const;
    const orders = client.db('shop').collection(cluster.name, options);
    commands = [];
    await orders.insertOne({ _id: 1 as never, customerId, none: undefined });
    await orders.bulkWrite([{ updateOne: { filter: { customerId }, update: { $set: { n: 1, m: undefined } } } }]);
    expect(await cluster.stored('a').findOne()).toEqual({ _id: 1, customerId, n: 1 });
    expect([...of('insert'), ...of('update')].map(({ writeConcern }) => writeConcern as Document)).toEqual([
      { w: 'majority' },
      { w: 'majority' },
    ]);
    expect(orders.writeConcern.w).toBe('majority');
    // A transaction has a read concern of its own.
    const linearizable = client.db('shop').collection(cluster.name, { readConcern: { level: 'majority' } });
    await using session = client.startSession();
    const found = await session.withTransaction(() => linearizable.findOne({ customerId }, { session }));
    expect(found).toMatchObject({ n: 1 });
  });

  it('takes no request that would pass the validators', async () => {
    const orders = cluster.orders(client);
    await expect(orders.insertOne({ customerId }, { bypassDocumentValidation: true })).rejects.toThrow(/validators/);
  });
});

describe('a node that is added after a client has connected', () => {
  let added = 0;
  const variables: string[] = [];
  const nodes = () => ({ a: cluster.uris[0]!, b: cluster.uris[1]! });
  /** Added by other tests. */
  const earlier: Record<string, string> = {};
  afterEach(() => {
    for (const name of variables.splice(0)) delete process.env[name];
  });

  /** The partition's keys have moved to a node that the client has not heard of: the second server by another name. */
  const moved = async () => {
    const client = await cluster.connect({ nodes: { ...nodes(), ...earlier } });
    await cluster.orders(client).insertOne({ _id: 1 as never, customerId });
    const name = `added-${added++}`;
    earlier[name] = cluster.uris[1]!;
    await cluster.catalog.nodes.put({ _id: name, region: 'eu', address: 'x' }, new Date());
    await createFenced(cluster.db('b'), `${cluster.name}.p0`, 'customerId', []);
    let now = await cluster.catalog.partitions.advance(await cluster.partition(), { kind: 'claim', migration: 'm', target: name });
    for (const event of [{ kind: 'publish' }, { kind: 'begin', boundary: 0n }, { kind: 'own', since: 1n }, { kind: 'settle' }] as const) {
      now = await cluster.catalog.partitions.advance(now, event);
    }
    await cluster.stored('b').insertMany(await cluster.stored('a').find().toArray(), { bypassDocumentValidation: true });
    await setAccepted(cluster.db('a'), now.collection, 'customerId', acceptedTokens(now, 'a'));
    await setAccepted(cluster.db('b'), now.collection, 'customerId', acceptedTokens(now, name));
    return { orders: cluster.orders(client), name };
  }; // prettier-ignore

  it('is found by its address in the environment', async () => {
    const { orders, name } = await moved();
    const variable = `DROVER_NODE_${name.toUpperCase().replaceAll('-', '_')}`;
    variables.push(variable);
    process.env[variable] = cluster.uris[1]!;
    expect(await orders.findOne({ customerId })).toMatchObject({ _id: 1 });
    await orders.updateOne({ customerId }, { $set: { n: 1 } });
    await orders.deleteOne({ customerId });
    await orders.insertMany([{ customerId }, { customerId: upper[0] }]);
    expect(await orders.find().toArray()).toHaveLength(2);
    expect(await cluster.stored('b').countDocuments()).toBe(1);
  });

  it('fails requests, with what to do, as long as no address is known', async () => {
    const { orders, name } = await moved();
    const error = { code: 'InvalidConfiguration', message: expect.stringContaining(`for node "${name}": set DROVER_NODE_`) };
    await expect(orders.findOne({ customerId })).rejects.toMatchObject(error);
    await expect(orders.updateOne({ customerId }, { $set: { n: 1 } })).rejects.toMatchObject(error);
    await expect(orders.find().toArray()).rejects.toMatchObject(error);
    // What is elsewhere does not need it.
    await orders.insertOne({ customerId: upper[0] });
    const variable = `DROVER_NODE_${name.toUpperCase().replaceAll('-', '_')}`;
    variables.push(variable);
    process.env[variable] = cluster.uris[1]!;
    expect(await orders.findOne({ customerId })).toMatchObject({ _id: 1 });
  }); // prettier-ignore
});
