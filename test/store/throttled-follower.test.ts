import { expect, it } from 'vitest';
import type { FollowerProgress } from '../../store/follower.js';
import { follow } from '../../store/follower.js';
import { Throttle } from '../../store/throttle.js';
import { until, useServers } from './servers.js';
import { sourceAndTarget, storedBytes } from './source-and-target.js';

const { clients } = useServers(2);

const DOCUMENTS = 4_000;

/** Follows what was written before it began. @returns milliseconds */
async function catchUp(throttle: Throttle): Promise<number> {
  const { database, orders, copy } = await sourceAndTarget(clients);
  const documents = Array.from({ length: DOCUMENTS }, (_, i) => ({ _id: i as never, customerId: `customer-${i}` }));
  await orders.insertMany(documents);
  const abort = new AbortController();
  let progress: FollowerProgress | undefined;
  const begunAt = performance.now();
  const followed = follow({
    migration: 'm',
    direction: 'forward',
    ...{ origin: clients[0]!, destination: clients[1]!, database, collection: 'orders', keyField: 'customerId' },
    throttle,
    signal: abort.signal,
    onProgress: (now) => (progress = now),
  });
  await until('all are applied', () => Promise.resolve(progress?.applied === DOCUMENTS));
  const ms = performance.now() - begunAt;
  abort.abort();
  await followed;
  expect(await storedBytes(copy)).toEqual(await storedBytes(orders));
  return ms;
}

it('works a backlog off no faster than the limit of its move', async () => {
  // Parts of 500, each of which is paid for before the next one; within the first second nothing is known of who writes on.
  expect(await catchUp(new Throttle(0, 4_000))).toBeGreaterThan(750);
});
