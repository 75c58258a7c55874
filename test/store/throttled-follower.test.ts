import { expect, it } from 'vitest';
import type { FollowerProgress } from '../../store/follower.js';
import { Throttle } from '../../store/throttle.js';
import { until, useServers } from './servers.js';
import { followed, sourceAndTarget, storedBytes } from './source-and-target.js';

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
  const end = followed(clients, database, abort.signal, { throttle, onProgress: (now) => (progress = now) });
  await until('all are applied', () => Promise.resolve(progress?.applied === DOCUMENTS));
  const ms = performance.now() - begunAt;
  abort.abort();
  await end;
  expect(await storedBytes(copy)).toEqual(await storedBytes(orders));
  return ms;
}

it('that rests for long ends as soon as it is stopped', async () => {
  const { database, orders, copy } = await sourceAndTarget(clients);
  await orders.insertMany(Array.from({ length: 1_000 }, (_, i) => ({ _id: i as never, customerId: `customer-${i}` })));
  const abort = new AbortController();
  const rests: number[] = [];
  const throttle = Object.assign(new Throttle(1e12), {
    due: (_: number, documents: number) => (rests.push(documents), 900),
  });
  const end = followed(clients, database, abort.signal, { throttle });
  await until('it rests', () => Promise.resolve(rests.length > 0));
  abort.abort();
  const stoppedAt = performance.now();
  await end;
  expect(performance.now() - stoppedAt).toBeLessThan(700);
  expect(rests).toEqual([500]);
  expect(await copy.countDocuments()).toBe(500);
});

it('works a backlog off no faster than the limit of its move', async () => {
  // Parts of 500, each of which is paid for before the next one; within the first second nothing is known of who writes on.
  expect(await catchUp(new Throttle(0, 4_000))).toBeGreaterThan(750);
});
