import { performance } from 'node:perf_hooks';
import type { Document, MongoClient, RunCommandOptions } from 'mongodb';
import { messageOf } from '../domain/errors.js';
import { definedOf } from '../domain/defined.js';
import type { NodeProbe } from './catalog/nodes.js';
import { changeLogReach } from './change-window.js';
import { inTime } from './in-time.js';
import type { NodePool } from './node-pool.js';
import { countersOf, LEAST_INTERVAL_MS, ratesSince } from './node-rates.js';
import { cacheShare, DIRTY, number } from './server-status.js';

/** A node that does not answer within this time cannot be reached, milliseconds. */
export const PROBE_TIMEOUT_MS = 3_000;

/** All of its answers together, with the time between two readings. */
const ANSWER_TIMEOUT_MS = 2 * PROBE_TIMEOUT_MS;

const HOUR_S = 3_600;
const BYTES_PER_GB = 1e9;
/** States of a replica set's member that has data. */
const [PRIMARY, SECONDARY] = [1, 2] as const;

const unreachable = (reason: string): NodeProbe => ({ at: new Date(), reachable: false, reason });

/** The finding about a node that could not be connected to or did not answer; errors of the driver hold no secret. */
const unreachableBecause = (error: unknown): NodeProbe => unreachable(messageOf(error));

/**
 * Asks a node how it is, in bounded time: one that can't be connected to, or does not answer, is a finding, not an error, and keeps
 * nobody from asking the others.
 *
 * @param previous the last probe, whoever made it
 */
export async function probeByName(nodes: NodePool, name: string, previous?: NodeProbe): Promise<NodeProbe> {
  try {
    const client = await inTime(name, nodes.get(name), PROBE_TIMEOUT_MS);
    return await inTime(name, probeNode(client, previous), ANSWER_TIMEOUT_MS);
  } catch (error) {
    return unreachableBecause(error);
  }
}

/**
 * Asks a node how it is, by its own status commands. What it can't tell, or what Drover's user has no right to ask, is
 * absent, not zero. A node that can't be reached is a finding, not an error.
 *
 * @param previous the last probe, whoever made it: rates come from the difference of the counters
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
  const ask = (command: Document) => ifTold(admin.command(command, options));
  // What memory there is in use stands among the metrics.
  const serverStatus = () => ask({ serverStatus: 1, repl: 0, tcmalloc: 0, locks: 0 });
  const before = previous?.counters === undefined ? await firstReading(serverStatus) : previous;
  const [status, host, members, disk, logHours] = await Promise.all([
    serverStatus(),
    ask({ hostInfo: 1 }),
    ask({ replSetGetStatus: 1 }),
    ask({ dbStats: 1 }),
    ifTold(changeLogHours(client)),
  ]);
  const rates = ratesSince(before, countersOf(status));
  const cores = number(host, 'system', 'numCores');
  const residentMb = number(status, 'mem', 'resident');
  const [diskTotal, diskUsed] = [number(disk, 'fsTotalSize'), number(disk, 'fsUsedSize')];
  return withoutUndefined({
    at: new Date(),
    reachable: true,
    version: status?.['version'] as string | undefined,
    roundTripMs: Math.round(roundTripMs * 10) / 10,
    ...rates,
    cpuShare: shareOf(rates.cpuCores, cores),
    connections: number(status, 'connections', 'current'),
    queued: number(status, 'globalLock', 'currentQueue', 'total'),
    cacheUsedShare: rounded(cacheShare(status, 'bytes currently in the cache')),
    cacheDirtyShare: rounded(cacheShare(status, DIRTY)),
    residentMb,
    memoryShare: shareOf(residentMb, number(host, 'system', 'memLimitMB')),
    diskFreeGb: freeGb(diskTotal, diskUsed),
    diskUsedShare: shareOf(diskUsed, diskTotal),
    changeLogHours: logHours,
    ...replication(members),
  });
}

/** An answer that is refused or late leaves its figures unknown; that the node is there was established before. */
const ifTold = <T>(answer: Promise<T>): Promise<T | undefined> => answer.catch(() => undefined);

/** A rate takes two readings; with no earlier probe, one is made a moment before. */
async function firstReading(serverStatus: () => Promise<Document | undefined>): Promise<NodeProbe> {
  const counters = countersOf(await serverStatus());
  await new Promise((resolve) => setTimeout(resolve, LEAST_INTERVAL_MS));
  return { at: new Date(), reachable: true, ...(counters === undefined ? {} : { counters }) };
}

/** Of a node with secondaries: how far the slowest is behind, and how many members can't follow at all. */
function replication(status: Document | undefined): Pick<NodeProbe, 'replicationLagSeconds' | 'membersDown'> {
  const members = (status?.['members'] ?? []) as readonly Document[];
  if (members.length < 2) return {};
  const timeOf = ({ optimeDate }: Document) => (optimeDate instanceof Date ? optimeDate.getTime() : undefined);
  const primary = members.find(({ state }) => state === PRIMARY);
  const newest = primary && timeOf(primary);
  const following = members.filter(({ state }) => state === SECONDARY).map(timeOf);
  const oldest = Math.min(...following.filter((time) => time !== undefined));
  const down = members.filter(({ health }) => number({ health }, 'health') === 0).length;
  return {
    membersDown: down,
    ...(newest === undefined || !Number.isFinite(oldest)
      ? {}
      : { replicationLagSeconds: Math.max(0, (newest - oldest) / 1000) }),
  };
}

/** Time between the oldest and the newest entry of the oplog, in hours. */
async function changeLogHours(client: MongoClient): Promise<number | undefined> {
  const reach = await changeLogReach(client, { timeoutMS: PROBE_TIMEOUT_MS });
  return reach && Math.round(((reach.newest - reach.oldest) / HOUR_S) * 1000) / 1000;
}

const freeGb = (total: number | undefined, used: number | undefined): number | undefined =>
  total === undefined || used === undefined ? undefined : Math.round(((total - used) / BYTES_PER_GB) * 10) / 10;

const shareOf = (part: number | undefined, whole: number | undefined): number | undefined =>
  part === undefined || whole === undefined || whole <= 0 ? undefined : rounded(part / whole);

const rounded = (share: number | undefined) => share && Math.round(share * 1e4) / 1e4;

/** Absent, not undefined: what is stored must not say `null`. */
const withoutUndefined = (probe: { readonly [K in keyof NodeProbe]: NodeProbe[K] | undefined }): NodeProbe =>
  definedOf(probe) as NodeProbe;
