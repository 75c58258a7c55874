import { MongoInvalidArgumentError } from 'mongodb';
import { describe, expect, it } from 'vitest';
import { tokenOfKey } from '../../store/key-token.js';
import { keys, lower, upper, useCluster } from './cluster.js';

const cluster = useCluster();
const [customerId] = lower as [string];
const tokenText = (key: string) => String(tokenOfKey(key));

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

  it('tell which keys are used together: of one address, or in one session, and not of the application itself', async () => {
    // However long it takes, it is the same minute.
    const now = Date.parse('2026-06-01T10:00:00Z');
    const client = await cluster.connect({ recordAccess: true, ip: '10.9.8.7', now: () => now });
    const name = `shop.${cluster.name}`;
    // Half of them of either partition.
    const [a, b, c, d, e] = lower as [string, string, string, string, string];
    const [f, g, h, i, j] = upper as [string, string, string, string, string];
    const own = cluster.orders(client);
    // A user is known by the address, however often the application says it.
    const from = (ip: string) => client.withOrigin({ ip }).db('shop').collection(cluster.name);
    await own.insertMany([a, b, c, d, e, f, g, h, i, j].map((customerId) => ({ customerId })));
    for (let n = 0; n < 5; n++) {
      await from(`192.0.2.${n}`).findOne({ customerId: a });
      await from(`192.0.2.${n}:${4_000 + n}`).updateOne({ customerId: f }, { $set: { n } });
      await from(`198.51.100.${n}`)
        .find({ customerId: { $in: [b, g] } })
        .toArray();
      await from(`198.51.100.1${n}`).updateMany({ customerId: { $in: [c, h] } }, { $set: { n } });
      await from(`203.0.113.${n}`).insertMany([{ customerId: d }, { customerId: e }]);
      await using session = client.startSession();
      await own.findOne({ customerId: i }, { session });
      await session.withTransaction(() => own.updateOne({ customerId: j }, { $set: { n } }, { session }));
      await own.findOne({ customerId: a });
      await client.withOrigin({ region: 'us' }).db('shop').collection(cluster.name).findOne({ customerId: b });
    }
    await client.close();
    cluster.open.splice(cluster.open.indexOf(client), 1);

    const span = { keyspace: name, from: now, to: now + 1 };
    const { pairs } = await cluster.catalog.entityPairs.top(span, 10);
    const known = new Map(keys.map((key) => [tokenOfKey(key), key]));
    const found = pairs.map((pair) => ({ ...pair, a: known.get(pair.a), b: known.get(pair.b) }));
    const used = (x: string, y: string) => {
      const [first, second] = tokenText(x) < tokenText(y) ? [x, y] : [y, x];
      return { a: first, b: second, sessions: 5, jaccard: 1, lift: 5 };
    };
    expect(found).toHaveLength(5);
    expect(found).toEqual(expect.arrayContaining([used(a, f), used(b, g), used(c, h), used(d, e), used(i, j)]));
    const stored = await cluster.plainClient().db('drover').collection('entityPairs').find({}).toArray();
    // Neither users nor what stands for them.
    for (const document of stored) {
      expect(Object.keys(document).sort()).toEqual(['_id', 'entities', 'pairs', 'sessions', 'writtenAt']);
    }
  });

  it('must say where that is', async () => {
    const client = await cluster.connect();
    expect(() => client.withOrigin({ ip: 7 as never })).toThrow(MongoInvalidArgumentError);
    expect(() => client.startSession({ origin: { region: '' } })).toThrow(/"region" must be a text/);
  });
});
