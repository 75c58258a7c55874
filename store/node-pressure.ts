import type { Document, MongoClient } from 'mongodb';
import { cacheShare, DIRTY, number } from './server-status.js';
import type { Throttle } from './throttle.js';

/** What a node says of how hard it works, at one moment. Undefined is what it does not tell, or not to this user. */
export interface Pressure {
  /** Writes since it started, and the time that they took, microseconds. */
  readonly writes?: { readonly count: number; readonly micros: number } | undefined;
  /** Operations that wait for a lock, or for a ticket of the storage engine. */
  readonly queued?: number | undefined;
  readonly cacheDirtyShare?: number | undefined;
  /** How far a majority of its members is behind, seconds. */
  readonly majorityLagSeconds?: number | undefined;
}

/** From a fifth on the storage engine makes writers evict pages themselves. */
const MOST_DIRTY = 0.17;
const MOST_QUEUED = 16;
const MOST_LAG_S = 3;
/** Fewer writes say nothing about how long they usually take. */
const ENOUGH_WRITES = 10;
const SLOW = { times: 3, andMs: 3 };
/** What was usual a while ago may not be any more: per look. */
const FORGET = 1.01;
const LOOK_MS = 500;

export async function readPressure(client: MongoClient): Promise<Pressure> {
  const admin = client.db('admin');
  const [status, hello] = await Promise.all([
    admin.command({ serverStatus: 1, repl: 0, metrics: 0, tcmalloc: 0, locks: 0, network: 0 }),
    admin.command({ hello: 1 }),
  ]);
  return pressureFrom(status, hello);
}

function pressureFrom(status: Document, { lastWrite }: Document): Pressure {
  const [count, micros] = ['ops', 'latency'].map((what) => number(status, 'opLatencies', 'writes', what));
  const { lastWriteDate, majorityWriteDate } = (lastWrite ?? {}) as { lastWriteDate?: Date; majorityWriteDate?: Date };
  const isTold = lastWriteDate !== undefined && majorityWriteDate !== undefined;
  return {
    writes: count === undefined || micros === undefined ? undefined : { count, micros },
    queued: number(status, 'globalLock', 'currentQueue', 'total'),
    cacheDirtyShare: cacheShare(status, DIRTY),
    majorityLagSeconds: isTold ? (lastWriteDate.getTime() - majorityWriteDate.getTime()) / 1000 : undefined,
  };
}

/** Follows one node, and tells whether it has more to do than is good for its applications. */
export class PressureGauge {
  private before: Pressure | undefined;
  /** Mean time of a write when little is going on, milliseconds. */
  private usualMs = Infinity;

  /** @param ownWrites whether Drover's own writes, which are large, are among those of the node */
  constructor(private readonly ownWrites: boolean) {}

  /** @returns the reason, or undefined while all is well */
  look(now: Pressure): string | undefined {
    const took = this.ownWrites ? undefined : this.meanSince(now);
    this.before = now;
    if ((now.cacheDirtyShare ?? 0) > MOST_DIRTY) return 'its cache is full of changes that are not on disk yet';
    if ((now.queued ?? 0) > MOST_QUEUED) return `${now.queued} operations are waiting`;
    if ((now.majorityLagSeconds ?? 0) > MOST_LAG_S) return `a majority is ${now.majorityLagSeconds} s behind`;
    if (took === undefined) return undefined;
    const usual = this.usualMs;
    this.usualMs = Math.min(took, usual * FORGET);
    if (took <= usual * SLOW.times + SLOW.andMs) return undefined;
    return `writes take ${took.toFixed(1)} ms instead of ${usual.toFixed(1)} ms`;
  }

  private meanSince({ writes }: Pressure): number | undefined {
    const before = this.before?.writes;
    if (writes === undefined || before === undefined) return undefined;
    const count = writes.count - before.count;
    // After an election another process counts.
    return count < ENOUGH_WRITES ? undefined : (writes.micros - before.micros) / count / 1000;
  }
}

/**
 * Makes bulk work give way to the nodes' applications: slower as long as a node has too much to do, faster again when
 * it has not.
 *
 * @param onSlower told, at the first time and when the reason is another one
 */
export async function giveWay<T>(
  nodes: readonly { readonly name: string; readonly client: MongoClient; readonly ownWrites: boolean }[],
  throttle: Throttle,
  onSlower: (node: string, reason: string) => void,
  work: () => Promise<T>,
): Promise<T> {
  const watched = nodes.map((node) => ({ ...node, gauge: new PressureGauge(node.ownWrites), told: '' }));
  let ended = false;
  const watch = async () => {
    while (!ended) {
      let busy = false;
      for (const node of watched) {
        // A node that does not answer in time, or not to this user, is not hurried by being asked.
        const reason = await readPressure(node.client).then(
          (pressure) => node.gauge.look(pressure),
          () => undefined,
        );
        if (reason === undefined) continue;
        busy = true;
        const kind = reason.replaceAll(/[\d.]+/g, '');
        if (kind !== node.told) onSlower(node.name, reason);
        node.told = kind;
      }
      if (busy) throttle.slowDown();
      else throttle.speedUp();
      await new Promise<void>((resolve) => setTimeout(resolve, LOOK_MS).unref());
    }
  };
  // Not waited for: a node may take long to answer.
  void watch();
  try {
    return await work();
  } finally {
    ended = true;
  }
}
