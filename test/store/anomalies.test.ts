import type { Document } from 'mongodb';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { AnomalyDocument } from '../../store/catalog/anomalies.js';
import { Catalog } from '../../store/catalog/catalog.js';
import { useServers } from './servers.js';

const { uris, clients } = useServers(1);
const DAY_MS = 24 * 3_600_000;
/** As in a replay of what was long ago. */
const AT = new Date('2020-01-01');
let catalog: Catalog;
beforeAll(async () => {
  const old = { _id: 'old', keyspace: 'shop.orders', at: AT };
  await clients[0]!.db(NAME).collection<Document & { _id: string }>('anomalies').insertOne(old);
  catalog = await Catalog.open(uris[0]!);
});
afterAll(() => catalog.close());

const NAME = 'drover';
const finding: AnomalyDocument = {
  ...{ _id: 'shop.orders/p0/x', keyspace: 'shop.orders', subject: 'p0', of: 'partition', partitions: ['p0'] },
  ...{ kind: 'spike', direction: 'up', value: 9, expected: 1, windows: 1, score: 9, at: AT, foundAt: AT },
};
const collection = () => clients[0]!.db(NAME).collection('anomalies');

it('findings expire, by the real clock, and nobody is told when', async () => {
  await catalog.anomalies.record([finding]);
  expect(await catalog.anomalies.list({ keyspace: 'shop.orders' })).toContainEqual(finding);
  const stored = await collection().find().toArray();
  expect(stored).toHaveLength(2);
  for (const { expireAt } of stored) expect(((expireAt as Date).getTime() - Date.now()) / DAY_MS).toBeCloseTo(90, 1);
  expect(await collection().indexes()).toContainEqual(
    expect.objectContaining({ key: { expireAt: 1 }, expireAfterSeconds: 0 }),
  );
});

it('findings are looked up by indexes, sorted ones too', async () => {
  const looks = [
    collection().find({ keyspace: 'shop.orders' }).sort({ at: -1, _id: 1 }),
    collection()
      .find({ keyspace: 'shop.orders', at: { $gte: AT } })
      .sort({ at: -1, _id: 1 }),
    collection().find().sort({ at: -1, _id: 1 }),
    collection().find({ keyspace: 'shop.orders', reevaluation: { $type: 'string' }, reevaluatedAt: { $gte: AT } }),
  ];
  for (const look of looks) {
    const plan = JSON.stringify((await look.explain('queryPlanner')).queryPlanner.winningPlan);
    expect(plan).toContain('IXSCAN');
    expect(plan).not.toContain('"SORT"');
  }
});
