import type { Command } from 'commander';
import type { PartitionScores } from '../access-scores.js';
import type { PartitionDetails, PartitionSummary, RegionRequests } from '../partitions.js';
import { withControl } from './invocation.js';
import { dailyBytes } from './growth-text.js';
import { ago, count, facts, fraction, milliseconds, percent, size, table } from './presentation.js';
import { trafficColumns } from './traffic-columns.js';

export function addPartitionCommands(program: Command): void {
  const partition = program.command('partition').description('the parts of a keyspace: what is routed and moved');

  partition
    .command('list <keyspace>')
    .description('partitions with owner, size and load')
    .action(
      withControl(async ({ control, terminal }, keyspace) => {
        const { listPartitions } = await import('../partitions.js');
        const partitions = await listPartitions(control, keyspace);
        const unknown = new Set(partitions.filter(({ documents }) => documents === null).map(({ owner }) => owner));
        for (const node of unknown) terminal.note(`Node "${node}" can't be reached: sizes there are unknown.`);
        terminal.result({ partitions }, partitionTable(partitions));
      }),
    );

  partition
    .command('show <keyspace> <partition>')
    .description('one partition with its requests by region and its latest moves')
    .action(
      withControl(async ({ control, terminal }, keyspace, name) => {
        const { showPartition } = await import('../partitions.js');
        const shown = await showPartition(control, keyspace, name);
        terminal.result(shown, describe(shown));
      }),
    );
}

const partitionTable = (partitions: readonly PartitionSummary[]): string =>
  table(
    partitions,
    [
      { title: 'partition', value: ({ partition }) => partition },
      { title: 'owner', value: ({ owner }) => owner },
      { title: 'target', value: ({ target }) => target },
      {
        title: 'weight',
        value: ({ target, weight }) => (target === null ? undefined : `${Math.round(weight)} %`),
        right: true,
      },
      { title: 'epoch', value: ({ epoch }) => epoch, right: true },
      { title: 'state', value: ({ state }) => state },
      { title: 'documents', value: ({ documents }) => count(documents) ?? 'unknown', right: true },
      { title: 'size', value: ({ bytes }) => size(bytes) ?? 'unknown', right: true },
      { title: 'requests/h', value: ({ requestsLastHour }) => count(requestsLastHour), right: true },
      { title: 'moved', value: ({ lastMovedAt }) => ago(lastMovedAt) ?? 'never' },
    ],
    'This keyspace has no partitions.',
  );

/** Those that say something; all are between 0 and 1, but the growth. */
const scoreFacts = (scores: PartitionScores): string =>
  facts([
    ['ownership score', scores.band === null ? 'unknown' : `${fraction(scores.ownershipScore)} (${scores.band})`],
    ['access frequency', fraction(scores.accessFrequency)],
    ['client affinity', fraction(scores.clientAffinity)],
    ['modification rate', fraction(scores.modificationRate)],
    ['mobility score', fraction(scores.mobilityScore)],
    ['heat', fraction(scores.heat)],
    ['growth of load', scores.growthPerDay === null ? undefined : `${percent(scores.growthPerDay)} a day`],
  ]);

/** `1,200 documents a day (3.1 MB, 2 %)` */
function growthText(growth: PartitionDetails['sizeGrowth']): string | undefined {
  if (growth === null) return undefined;
  const { documentsPerDay, sharePerDay } = growth;
  const share = sharePerDay === null ? '' : `, ${percent(sharePerDay)}`;
  return `${count(documentsPerDay)} documents a day (${dailyBytes(growth)}${share})`;
}

function describe(shown: PartitionDetails): string {
  const { tokens, target, regions, networks, migrations } = shown;
  const parts = [
    facts([
      ['partition', `${shown.keyspace}/${shown.partition}`],
      ['owner', shown.owner],
      ['state', target === null ? shown.state : `${shown.state}, ${Math.round(shown.weight)} % at ${target}`],
      ['writes', shown.fence === null ? undefined : 'a part of its tokens is changing hands; writes of these wait'],
      ['tokens', `from ${tokens.low} up to ${tokens.high}`],
      ['collection', shown.collection],
      ['epoch', shown.epoch],
      ['documents', `${count(shown.documents) ?? 'unknown'} (${size(shown.bytes) ?? 'size unknown'})`],
      ['growth', growthText(shown.sizeGrowth)],
      ['moved', ago(shown.lastMovedAt) ?? 'never'],
    ]),
    '',
    table(
      regions,
      [
        { title: 'requests from', value: ({ region }) => region },
        { title: 'reads/h', value: ({ reads }) => count(reads), right: true },
        { title: 'writes/h', value: ({ writes }) => count(writes), right: true },
        { title: 'errors/h', value: ({ errors }) => count(errors), right: true },
        { title: 'mean', value: ({ latencyMsMean }) => milliseconds(latencyMsMean), right: true },
        { title: 'p99', value: ({ latencyMsP99: ms }) => (ms === null ? undefined : milliseconds(ms)), right: true },
        { title: 'longest', value: ({ latencyMsMax }) => milliseconds(latencyMsMax), right: true },
        ...trafficColumns<RegionRequests>('/h', ({ reads, writes }) => reads + writes),
      ],
      'No requests in the last hour.',
    ),
  ];
  parts.push('', scoreFacts(shown.scores));
  if (shown.together.length > 0) {
    const named = shown.together.map(
      ({ a, b, jaccard }) => `${a === shown.partition ? b : a} (${percent(jaccard)} of the sessions of both)`,
    );
    parts.push('', `Used together with: ${named.join(', ')}`);
  }
  if (networks.length > 0) {
    const named = networks.slice(0, 5).map(([network, requests]) => `${network} (${count(requests)})`);
    parts.push('', `Busiest of ${count(shown.distinctNetworks)} client networks: ${named.join(', ')}`);
  }
  if (migrations.length > 0) {
    parts.push(
      '',
      table(
        migrations,
        [
          { title: 'move', value: ({ source, target: to }) => `${source} to ${to}` },
          { title: 'state', value: ({ state }) => state },
          { title: 'started', value: ({ startedAt }) => ago(startedAt) },
          { title: 'by', value: ({ requestedBy }) => requestedBy },
          { title: 'why', value: ({ error, reason }) => error ?? reason },
        ],
        '',
      ),
    );
  }
  return parts.join('\n');
}
