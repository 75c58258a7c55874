import { setTimeout as delay } from 'node:timers/promises';
import type { MongoClient } from 'mongodb';
import { DroverError } from '../domain/errors.js';
import { hasRunOut } from '../domain/lease.js';
import type { Partition } from '../domain/partition.js';
import { routerOfApp } from '../store/catalog/routers.js';
import { endTransactions, openTransactions } from '../store/transactions.js';
import type { Dependencies } from './dependencies.js';

/** Between two looks at what routers have acknowledged: writes may be held for it, so that the wait decides. */
const LOOK_AGAIN_MS = 3;
const LOOK_LATER = 1.2;
const LOOK_AT_LEAST_EVERY_MS = 50;

/**
 * Waits until every router has acknowledged the partition's epoch, or has been expelled as its lease has run out: none
 * works by an older route any more, or relies on one.
 *
 * @throws DroverError `StepUndone` when one does not, in time
 */
export async function routersAcknowledge(
  { catalog }: Dependencies,
  partition: Partition,
  timeoutMs: number,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  let pause = LOOK_AGAIN_MS;
  const renewed = new Map<string, { readonly renewals: number; readonly seenAt: number }>();
  for (;;) {
    const missing = await catalog.routers.missing(partition.id, partition.epoch);
    if (missing.length === 0) return;
    for (const { id, renewals } of missing) {
      const seen = renewed.get(id);
      const now = performance.now();
      if (seen?.renewals !== renewals) renewed.set(id, { renewals, seenAt: now });
      else if (hasRunOut(seen.seenAt, now)) await catalog.routers.expel(id, renewals);
    }
    if (performance.now() > deadline) {
      const some = missing.slice(0, 5).map(({ id }) => id);
      throw new DroverError('StepUndone', `${missing.length} routers did not acknowledge: ${some.join(', ')}`);
    }
    await delay(pause);
    pause = Math.min(LOOK_AT_LEAST_EVERY_MS, pause * LOOK_LATER);
  }
}

/**
 * Ends the transactions that routers left open which are gone: each would hold up every `collMod` for a minute.
 *
 * @returns how many transactions of others are open for longer than `longerThanMs`
 */
export async function endOrphanedTransactions(
  { catalog }: Dependencies,
  client: MongoClient,
  longerThanMs: number,
): Promise<number> {
  const open = await openTransactions(client, longerThanMs);
  if (open.length === 0) return 0;
  const registered = new Set((await catalog.routers.list()).map(({ _id }) => _id));
  const orphaned = open.filter(({ appName }) => {
    const router = routerOfApp(appName);
    return router !== undefined && !registered.has(router);
  });
  await endTransactions(client, orphaned);
  return open.length - orphaned.length;
}
