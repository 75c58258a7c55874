import type { Document } from 'mongodb';
import type { NodeCounters, NodeProbe } from './catalog/nodes.js';
import { number } from './server-status.js';

/** Shorter intervals say more about the probe than about the load. */
export const LEAST_INTERVAL_MS = 1_000;
/** Start times of one process, as told by two probes, differ by rounding only. */
const SAME_START_MS = 2_000;

const BYTES_PER_MB = 1e6;

/** What follows from the counters of two probes. */
export type NodeRates = Pick<
  NodeProbe,
  'opsPerSecond' | 'cpuCores' | 'diskReadMbPerSecond' | 'diskWriteMbPerSecond' | 'latencyMs'
>;

/** What a server has counted since it started; undefined where it does not tell what everything else rests on. */
export function countersOf(status: Document | undefined): NodeCounters | undefined {
  // Requests on documents: what a node's capacity is about. Commands and getmores are mostly the monitoring's own.
  const counts = ['insert', 'query', 'update', 'delete'].map((kind) => number(status, 'opcounters', kind));
  const uptimeMs = number(status, 'uptimeMillis');
  const localTime: unknown = status?.['localTime'];
  if (uptimeMs === undefined || !(localTime instanceof Date) || counts.includes(undefined)) return undefined;
  const [user, system] = ['user_time_us', 'system_time_us'].map((name) => number(status, 'extra_info', name));
  const bytes = (what: string) => number(status, 'wiredTiger', 'block-manager', what);
  const [bytesRead, bytesWritten] = [bytes('bytes read'), bytes('bytes written')];
  const latencies = LATENCIES.flatMap((kind) => {
    const [micros, ops] = ['latency', 'ops'].map((what) => number(status, 'opLatencies', kind, what));
    return micros === undefined || ops === undefined ? [] : [[kind, { micros, ops }] as const];
  });
  return {
    host: String(status?.['host']),
    startedAt: new Date(localTime.getTime() - uptimeMs),
    uptimeMs,
    operations: counts.reduce<number>((sum, count) => sum + (count ?? 0), 0),
    ...(user === undefined || system === undefined ? {} : { cpuMicros: user + system }),
    ...(bytesRead === undefined ? {} : { bytesRead }),
    ...(bytesWritten === undefined ? {} : { bytesWritten }),
    ...(latencies.length === 0 ? {} : { latencies: Object.fromEntries(latencies) }),
  };
}

export const LATENCIES = ['reads', 'writes', 'commands'] as const;

/** @param previous the last probe, whoever made it */
export function ratesSince(
  previous: NodeProbe | undefined,
  now: NodeCounters | undefined,
): NodeRates & { readonly counters?: NodeCounters } {
  const before = previous?.counters;
  if (now === undefined) return {};
  // After a restart or an election there is nothing to subtract from.
  if (before === undefined || !isSameProcess(before, now)) return { counters: now };
  const elapsedMs = now.uptimeMs - before.uptimeMs;
  if (elapsedMs < LEAST_INTERVAL_MS) return { ...knownRates(previous!), counters: before };
  const perSecond = (from: number | undefined, to: number | undefined, unit = 1) =>
    from === undefined || to === undefined || to < from ? undefined : ((to - from) * 1000) / elapsedMs / unit;
  const cpu = perSecond(before.cpuMicros, now.cpuMicros, 1e6);
  const read = perSecond(before.bytesRead, now.bytesRead, BYTES_PER_MB);
  const written = perSecond(before.bytesWritten, now.bytesWritten, BYTES_PER_MB);
  const latencyMs = latenciesSince(before, now);
  return {
    opsPerSecond: rounded(perSecond(before.operations, now.operations)!, 1),
    ...(cpu === undefined ? {} : { cpuCores: rounded(cpu, 3) }),
    ...(read === undefined ? {} : { diskReadMbPerSecond: rounded(read, 3) }),
    ...(written === undefined ? {} : { diskWriteMbPerSecond: rounded(written, 3) }),
    ...(latencyMs === undefined ? {} : { latencyMs }),
    counters: now,
  };
}

/** Means over the interval, of the kinds that there were any of. */
function latenciesSince(before: NodeCounters, now: NodeCounters): NodeProbe['latencyMs'] {
  const means = LATENCIES.flatMap((kind) => {
    const [from, to] = [before.latencies?.[kind], now.latencies?.[kind]];
    if (from === undefined || to === undefined || to.ops <= from.ops) return [];
    return [[kind, rounded((to.micros - from.micros) / (to.ops - from.ops) / 1000, 3)] as const];
  });
  return means.length === 0 ? undefined : Object.fromEntries(means);
}

function knownRates(probe: NodeProbe): NodeRates {
  const { opsPerSecond, cpuCores, diskReadMbPerSecond, diskWriteMbPerSecond, latencyMs } = probe;
  return {
    ...(opsPerSecond === undefined ? {} : { opsPerSecond }),
    ...(cpuCores === undefined ? {} : { cpuCores }),
    ...(diskReadMbPerSecond === undefined ? {} : { diskReadMbPerSecond }),
    ...(diskWriteMbPerSecond === undefined ? {} : { diskWriteMbPerSecond }),
    ...(latencyMs === undefined ? {} : { latencyMs }),
  };
}

const isSameProcess = (before: NodeCounters, now: NodeCounters): boolean =>
  before.host === now.host &&
  Math.abs(now.startedAt.getTime() - before.startedAt.getTime()) < SAME_START_MS &&
  now.operations >= before.operations;

const rounded = (value: number, digits: number): number => Math.round(value * 10 ** digits) / 10 ** digits;
