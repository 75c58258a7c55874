import type { GrowingPartition, NodeGrowth } from '../../domain/size-growth.js';
import type { NodeDetails, NodePartition } from '../node-details.js';
import type { ProbedNode } from '../node-probes.js';
import type { NodeSummary } from '../nodes.js';
import { ago, count, facts, milliseconds, percent, size, some, table } from './presentation.js';
import { dailyBytes } from './growth-text.js';

export const nodeTable = (nodes: readonly NodeSummary[]): string =>
  table(
    nodes,
    [
      { title: 'node', value: ({ name }) => name },
      { title: 'region', value: ({ region }) => region },
      { title: 'address', value: ({ address }) => address },
      { title: 'partitions', value: ({ partitions }) => count(partitions), right: true },
      { title: 'arriving', value: ({ arriving }) => count(arriving), right: true },
      { title: 'ops/s', value: ({ capacity }) => count(capacity?.opsPerSecond), right: true },
      { title: 'GB', value: ({ capacity }) => count(capacity?.storageGb), right: true },
      { title: 'round trips', value: ({ roundTrips }) => tripsText(roundTrips) },
      { title: 'state', value: state },
    ],
    'There is no node yet: name nodes in drover.yaml, or add one with "drover node add".',
  );

export const probeTable = (nodes: readonly ProbedNode[]): string =>
  table(
    nodes,
    [
      { title: 'node', value: ({ name }) => name },
      { title: 'answers', value: ({ probe }) => (probe.reachable ? 'yes' : 'no') },
      { title: 'version', value: ({ probe }) => probe.version },
      { title: 'round trip', value: ({ probe }) => unless(probe.roundTripMs, milliseconds), right: true },
      { title: 'ops/s', value: ({ probe }) => count(probe.opsPerSecond), right: true },
      { title: 'CPU', value: ({ probe }) => percent(probe.cpuShare), right: true },
      { title: 'memory', value: ({ probe }) => percent(probe.memoryShare), right: true },
      { title: 'queued', value: ({ probe }) => count(probe.queued), right: true },
      { title: 'connections', value: ({ probe }) => count(probe.connections), right: true },
      { title: 'cache used', value: ({ probe }) => percent(probe.cacheUsedShare), right: true },
      { title: 'dirty', value: ({ probe }) => percent(probe.cacheDirtyShare), right: true },
      { title: 'disk free', value: ({ probe }) => unless(probe.diskFreeGb, (gb) => `${count(gb)} GB`), right: true },
      { title: 'lag', value: ({ probe }) => unless(probe.replicationLagSeconds, seconds), right: true },
      {
        title: 'change log',
        value: ({ probe }) => unless(probe.changeLogHours, (h) => `${h.toFixed(1)} h`),
        right: true,
      },
    ],
    'There is no node yet.',
  );

/** What a node can't tell stays open. */
const unless = (value: number | undefined, written: (value: number) => string): string | undefined =>
  value === undefined ? undefined : written(value);

function state({ draining, probe }: NodeSummary): string {
  if (probe?.reachable === false) return 'not reachable';
  return draining ? 'draining' : 'in use';
}

const seconds = (value: number): string => `${value} s`;

/** `eu 1.0 ms, us 81 ms` */
const tripsText = (roundTrips: NodeSummary['roundTrips']): string =>
  roundTrips.map(({ region, ms }) => `${region} ${milliseconds(ms)}`).join(', ');

/** All that is known of a node; what it does not tell is left out. */
export function nodeDetails(details: NodeDetails): string {
  const { name, region, address, capacity, partitions, roundTrips, serves, growth, probe } = details;
  const { reads, writes, commands } = probe?.latencyMs ?? {};
  const share = (part: number | undefined, of: string) => unless(part, (value) => `${percent(value)} of ${of}`);
  const megabytes = (value: number) => `${value.toFixed(2)} MB/s`;
  const known = facts([
    ['node', name],
    ['region', region],
    ['address', address],
    ['state', state(details)],
    ['reason', probe?.reason],
    ['partitions', count(partitions)],
    ['capacity', unless(capacity?.opsPerSecond, (ops) => `${count(ops)} ops/s`)],
    ['probed', ago(probe?.at)],
    ['version', probe?.version],
    ['operations', unless(probe?.opsPerSecond, (ops) => `${count(ops)} a second`)],
    ['latency of reads', unless(reads, milliseconds)],
    ['latency of writes', unless(writes, milliseconds)],
    ['latency of commands', unless(commands, milliseconds)],
    ['queued', count(probe?.queued)],
    ['connections', count(probe?.connections)],
    ['CPU', unless(probe?.cpuCores, (cores) => `${cores.toFixed(2)} cores`)],
    ['CPU share', share(probe?.cpuShare, 'the host')],
    ['memory', unless(probe?.residentMb, (mb) => `${count(mb)} MB`)],
    ['memory share', share(probe?.memoryShare, 'the host')],
    ['cache used', percent(probe?.cacheUsedShare)],
    ['cache dirty', percent(probe?.cacheDirtyShare)],
    ['disk free', unless(probe?.diskFreeGb, (gb) => `${count(gb)} GB`)],
    ['disk used', percent(probe?.diskUsedShare)],
    ['growth', growthText(growth)],
    ['disk full', unless(growth.daysUntilDiskFull ?? undefined, inDays)],
    ['read from disk', unless(probe?.diskReadMbPerSecond, megabytes)],
    ['written to disk', unless(probe?.diskWriteMbPerSecond, megabytes)],
    ['replication lag', unless(probe?.replicationLagSeconds, seconds)],
    ['members down', count(probe?.membersDown)],
    ['change log', unless(probe?.changeLogHours, (hours) => `${hours.toFixed(1)} h`)],
  ]);
  const trips = table(
    roundTrips,
    [
      { title: 'from region', value: (row) => row.region },
      { title: 'round trip', value: ({ ms }) => milliseconds(ms), right: true },
      { title: 'routers', value: ({ routers }) => count(routers), right: true },
      { title: 'measured', value: ({ at }) => ago(at) },
    ],
    'No router has measured the way to it within the last hour.',
  );
  const growing = growth.partitions.length === 0 ? [] : [growingTable(growth.partitions.slice(0, MOST_GROWING))];
  return [known, trips, servedTable(serves), ...growing].join('\n\n');
}

const MOST_GROWING = 10;

/** `1.2 GB a day, 0.8 GB on disk; unknown of 3 partitions` */
function growthText({ bytesPerDay, diskBytesPerDay, unknown }: NodeGrowth): string | undefined {
  if (bytesPerDay === null) return undefined;
  const onDisk = diskBytesPerDay === null ? '' : `, ${size(diskBytesPerDay)} on disk`;
  return `${size(bytesPerDay)} a day${onDisk}${unknown === 0 ? '' : `; unknown of ${some(unknown, 'partition')}`}`;
}

const inDays = (days: number): string => (days < 1 ? 'within a day' : `in ${some(Math.floor(days), 'day')}`);

const growingTable = (partitions: readonly GrowingPartition[]): string =>
  table(
    partitions,
    [
      { title: 'grows', value: ({ keyspace, partition }) => `${keyspace}/${partition}` },
      { title: 'size/d', value: dailyBytes, right: true },
      { title: 'documents/d', value: ({ documentsPerDay }) => count(documentsPerDay), right: true },
      { title: 'share/d', value: ({ sharePerDay }) => percent(sharePerDay ?? undefined), right: true },
    ],
    '',
  );

const servedTable = (serves: readonly NodePartition[]): string =>
  table(
    serves,
    [
      { title: 'partition', value: ({ keyspace, partition }) => `${keyspace}/${partition}` },
      { title: 'reads', value: ({ reads }) => count(reads), right: true },
      { title: 'writes', value: ({ writes }) => count(writes), right: true },
      { title: 'of its work', value: ({ share }) => percent(share ?? undefined), right: true },
      { title: 'cores', value: ({ cpuCores }) => cpuCores?.toFixed(3), right: true },
      { title: 'MB/s read', value: (row) => row.diskReadMbPerSecond?.toFixed(2), right: true },
      { title: 'MB/s written', value: (row) => row.diskWriteMbPerSecond?.toFixed(2), right: true },
    ],
    'It has served no request of a router within the last hour.',
  );
