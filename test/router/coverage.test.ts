import { expect, it } from 'vitest';
import { until } from '../store/servers.js';
import { lower, useCluster } from './cluster.js';

const cluster = useCluster();
const HOUR = 3_600_000;

it('the catalog knows from when until when a client has counted requests', async () => {
  const { accessCoverage } = cluster.catalog;
  const name = `shop.${cluster.name}`;
  const begun = Date.now();
  const from = begun - HOUR;
  const later = begun + HOUR;
  const connected = () => cluster.connect({ recordAccess: true, accessFlushMS: 20 });
  const first = await connected();
  expect(await accessCoverage.gaps(name, from, later)).toEqual([]);
  await cluster.orders(first).insertOne({ customerId: lower[0]! });
  await first.close();
  cluster.open.splice(cluster.open.indexOf(first), 1);
  // Before it, nobody has kept who did.
  const [gap, ...none] = await accessCoverage.gaps(name, from, later);
  expect(none).toEqual([]);
  expect(gap!.from).toBeGreaterThan(begun);
  expect(gap!.from).toBeLessThanOrEqual(Date.now());
  expect(gap!.until).toBe(later);

  const second = await connected();
  await cluster.orders(second).findOne({ customerId: lower[0]! });
  await until('the next one to say so', async () => (await accessCoverage.gaps(name, from, later))[0]?.until !== later);
  // As long as it is there, it counts.
  const [between] = await accessCoverage.gaps(name, from, later);
  expect(between!.until).toBeGreaterThanOrEqual(between!.from);
  expect(between!.until).toBeLessThanOrEqual(Date.now());
});
