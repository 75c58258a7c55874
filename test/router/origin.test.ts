import { MongoInvalidArgumentError } from 'mongodb';
import { describe, expect, it } from 'vitest';
import { lower, upper, useCluster } from './cluster.js';

const cluster = useCluster();
const [customerId] = lower as [string];

describe('requests of other origins', () => {
  it('are recorded for the region and network that they come from', async () => {
    const client = await cluster.connect({ recordAccess: true, ip: '10.9.8.7' });
    const name = `shop.${cluster.name}`;
    const user = client.withOrigin({ ip: '192.0.2.7', region: 'us' });
    await using session = client.startSession({ origin: { ip: '198.51.100.9', region: 'asia' } });
    await using ofUser = user.startSession();
    const [own, theirs] = [cluster.orders(client), user.db('shop').collection(cluster.name)];
    await own.insertOne({ customerId });
    await theirs.insertOne({ customerId });
    await theirs.find({}).toArray();
    await theirs.findOne({ customerId }, { session: ofUser });
    await theirs.updateMany({}, { $set: { n: 1 } });
    await own.findOne({ customerId }, { session });
    await own.find({ customerId: { $in: [customerId, upper[0]] } }, { session }).toArray();
    await own.updateMany({}, { $set: { n: 2 } }, { session });
    await user.withOrigin({ ip: '203.0.113.1' }).db('shop').collection(cluster.name).insertOne({ customerId });
    await client.close();
    cluster.open.splice(cluster.open.indexOf(client), 1);

    const { access } = cluster.catalog;
    const requests = new Map<string, readonly [reads: number, writes: number]>();
    for (const { region, reads, writes } of await access.windows(name, 0, Date.now() + 60_000, 3_600_000)) {
      const [r, w] = requests.get(region) ?? [0, 0];
      requests.set(region, [r + reads, w + writes]);
    }
    expect(Object.fromEntries(requests)).toEqual({ eu: [0, 1], us: [3, 4], asia: [3, 2] });
    const networks = new Map<string, number>();
    for (const [network, count] of [...(await access.clients(name, 0)).values()].flat()) {
      networks.set(network, (networks.get(network) ?? 0) + count);
    }
    expect(Object.fromEntries(networks)).toEqual({
      '10.9.8.0/24': 1,
      '192.0.2.0/24': 6,
      '203.0.113.0/24': 1,
      '198.51.100.0/24': 5,
    });
  });

  it('must say where that is', async () => {
    const client = await cluster.connect();
    expect(() => client.withOrigin({ ip: 7 as never })).toThrow(MongoInvalidArgumentError);
    expect(() => client.startSession({ origin: { region: '' } })).toThrow(/"region" must be a text/);
  });
});
