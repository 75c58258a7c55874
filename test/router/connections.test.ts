import { afterEach, describe, expect, it } from 'vitest';
import { acceptedTokens } from '../../domain/partition.js';
import { createFenced, setAccepted } from '../store/fences.js';
import { lower, upper, useCluster } from './cluster.js';

const cluster = useCluster();
const customerId = lower[0]!;

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
