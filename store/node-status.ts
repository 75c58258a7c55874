import { performance } from 'node:perf_hooks';
import type { Document, MongoClient, RunCommandOptions } from 'mongodb';
import { definedOf } from '../domain/defined.js';
import type { NodeCounters, NodeProbe } from './catalog/nodes.js';
import { changeLogReach } from './change-window.js';
import { cacheShare, DIRTY, number } from './server-status.js';

/** A node that does not answer within this time cannot be reached, milliseconds. */
export const PROBE_TIMEOUT_MS = 3_000;

/** Shorter intervals say more about the probe than about the load. */
const LEAST_INTERVAL_MS = 1_000;
/** Start times of one process, as told by two probes, differ by rounding only. */
const SAME_START_MS = 2_000;

const HOUR_S = 3_600;
const BYTES_PER_GB = 1e9;

const unreachable = (reason: string): NodeProbe => ({ at: new Date(), reachable: false, reason });

/** The finding about a node that could not be connected to or did not answer; errors of the driver hold no secret. */
export const unreachableBecause = (error: unknown): NodeProbe =>
  unreachable(error instanceof Error ? error.message : String(error));

/**
 * Asks a node how it is, by its own status commands. What it can't tell, or what Drover's user has no right to ask, is
 * absent, not zero. A node that can't be reached is a finding, not an error.
 *
 * @param previous the last probe, whoever made it: operations per second come from the difference of the counters
 */
export async function probeNode(client: MongoClient, previous?: NodeProbe): Promise<NodeProbe> {
  // The driver counts the wait for a primary into this time, too.
  const options: RunCommandOptions = { timeoutMS: PROBE_TIMEOUT_MS };
  const admin = client.db('admin');
  const askedAt = performance.now();
  try {
    await admin.command({ hello: 1 }, options);
  } catch (error) {
    return unreachableBecause(error);
  }
  const roundTripMs = performance.now() - askedAt;
  const serverStatus = () => ifTold(admin.command({ serverStatus: 1, repl: 0, metrics: 0, tcmalloc: 0 }, options));
  const before = previous?.counters === undefined ? await firstReading(serverStatus) : previous;
  const [status, disk, logHours] = await Promise.all([
    serverStatus(),
    ifTold(admin.command({ dbStats: 1 }, options)),
    ifTold(changeLogHours(client)),
  ]);
  return withoutUndefined({
    at: new Date(),
    reachable: true,
    version: status?.['version'] as string | undefined,
    roundTripMs: Math.round(roundTripMs * 10) / 10,
    ...operations(status, before),
    connections: number(status, 'connections', 'current'),
    queued: number(status, 'globalLock', 'currentQueue', 'total'),
    cacheUsedShare: rounded(cacheShare(status, 'bytes currently in the cache')),
    cacheDirtyShare: rounded(cacheShare(status, DIRTY)),
    residentMb: number(status, 'mem', 'resident'),
    diskFreeGb: freeGb(disk),
    changeLogHours: logHours,
  });
}

/** An answer that is refused or late leaves its figures unknown; that the node is there was established before. */
const ifTold = <T>(answer: Promise<T>): Promise<T | undefined> => answer.catch(() => undefined);

/** A rate takes two readings; with no earlier probe, one is made a moment before. */
async function firstReading(serverStatus: () => Promise<Document | undefined>): Promise<NodeProbe> {
  const { counters } = operations(await serverStatus(), undefined);
  await new Promise((resolve) => setTimeout(resolve, LEAST_INTERVAL_MS));
  return { at: new Date(), reachable: true, ...(counters === undefined ? {} : { counters }) };
}

/** Requests on documents: what a node's capacity is about. Commands and getmores are mostly the monitoring's own. */
function operations(
  status: Document | undefined,
  previous: NodeProbe | undefined,
): Pick<NodeProbe, 'opsPerSecond' | 'counters'> {
  const counts = ['insert', 'query', 'update', 'delete'].map((kind) => number(status, 'opcounters', kind));
  const uptimeMs = number(status, 'uptimeMillis');
  const localTime: unknown = status?.['localTime'];
  if (uptimeMs === undefined || !(localTime instanceof Date) || counts.includes(undefined)) return {};
  const counters: NodeCounters = {
    host: String(status?.['host']),
    startedAt: new Date(localTime.getTime() - uptimeMs),
    uptimeMs,
    operations: counts.reduce<number>((sum, count) => sum + (count ?? 0), 0),
  };
  const before = previous?.counters;
  // After a restart or an election there is nothing to subtract from.
  if (before === undefined || !sameProcess(before, counters)) return { counters };
  const elapsedMs = uptimeMs - before.uptimeMs;
  if (elapsedMs < LEAST_INTERVAL_MS) {
    return {
      ...(previous?.opsPerSecond === undefined ? {} : { opsPerSecond: previous.opsPerSecond }),
      counters: before,
    };
  }
  const perSecond = ((counters.operations - before.operations) * 1000) / elapsedMs;
  return { opsPerSecond: Math.round(perSecond * 10) / 10, counters };
}

const sameProcess = (before: NodeCounters, now: NodeCounters): boolean =>
  before.host === now.host &&
  Math.abs(now.startedAt.getTime() - before.startedAt.getTime()) < SAME_START_MS &&
  now.operations >= before.operations;

/** Time between the oldest and the newest entry of the oplog, in hours. */
async function changeLogHours(client: MongoClient): Promise<number | undefined> {
  const reach = await changeLogReach(client, { timeoutMS: PROBE_TIMEOUT_MS });
  return reach && Math.round(((reach.newest - reach.oldest) / HOUR_S) * 1000) / 1000;
}

function freeGb(stats: Document | undefined): number | undefined {
  const total = number(stats, 'fsTotalSize');
  const used = number(stats, 'fsUsedSize');
  return total === undefined || used === undefined ? undefined : Math.round(((total - used) / BYTES_PER_GB) * 10) / 10;
}

const rounded = (share: number | undefined) => share && Math.round(share * 1e4) / 1e4;

/** Absent, not undefined: what is stored must not say `null`. */
const withoutUndefined = (probe: { readonly [K in keyof NodeProbe]: NodeProbe[K] | undefined }): NodeProbe =>
  definedOf(probe) as NodeProbe;
