import type { UsedTogether } from '../../domain/access-correlation.js';
import type { AnomalyDocument } from '../../store/catalog/anomalies.js';
import type { UsedEntity } from '../entities-together.js';
import type { AccessTopReport, TopPartition, TopRegion } from '../access-top.js';
import { dailyBytes } from './growth-text.js';
import type { Column } from './presentation.js';
import { about, count, fraction, moment, percent, size, table } from './presentation.js';
import { trafficColumns } from './traffic-columns.js';

export function topTables({ from, to, requests, ...top }: AccessTopReport): string {
  const parts = [`${count(requests)} requests from ${moment(from)} to ${moment(to)}.`];
  if (requests === 0) return parts.join('\n');
  parts.push(
    table(
      top.partitions,
      [
        { title: 'partition', value: ({ partition }) => partition },
        { title: 'owner', value: ({ owner }) => owner },
        { title: 'requests', value: (row) => count(row.requests), right: true },
        { title: 'share', value: ({ share }) => percent(share), right: true },
        ...trafficColumns<TopPartition>('', (row) => row.requests),
        { title: 'heat', value: ({ heat }) => fraction(heat), right: true },
        { title: 'load/d', value: ({ growthPerDay }) => percent(growthPerDay ?? undefined), right: true },
        { title: 'size/d', value: ({ sizeGrowth }) => dailyBytes(sizeGrowth), right: true },
        { title: 'frequency', value: ({ accessFrequency }) => fraction(accessFrequency), right: true },
        { title: 'affinity', value: ({ clientAffinity }) => fraction(clientAffinity), right: true },
        { title: 'writes', value: ({ modificationRate }) => percent(modificationRate ?? undefined), right: true },
        { title: 'ownership', value: ({ ownershipScore }) => fraction(ownershipScore), right: true },
        { title: 'band', value: ({ band }) => band },
        { title: 'mobility', value: ({ mobilityScore }) => fraction(mobilityScore), right: true },
      ],
      'No partition was used.',
    ),
    table(
      top.entities,
      [
        { title: 'entity', value: nameOf },
        { title: 'partition', value: ({ partition }) => partition },
        { title: 'requests', value: (row) => count(row.requests), right: true },
        { title: 'share', value: ({ share }) => percent(share), right: true },
        { title: 'mobility', value: ({ mobilityScore }) => fraction(mobilityScore), right: true },
        { title: 'documents', value: (row) => count(row.size?.documents), right: true },
        { title: 'size', value: (row) => about(size(row.size?.bytes)), right: true },
        { title: 'of partition', value: (row) => percent(row.size?.share), right: true },
        { title: 'documents/d', value: (row) => count(row.size?.documentsPerDay), right: true },
      ],
      'No entity is known by itself.',
    ),
    table(
      top.regions,
      [
        { title: 'region', value: ({ region }) => region },
        { title: 'requests', value: (row) => count(row.requests), right: true },
        { title: 'share', value: ({ share }) => percent(share), right: true },
        ...trafficColumns<TopRegion>('', (row) => row.requests),
      ],
      'No region is known.',
    ),
    table(
      top.networks,
      [
        { title: 'client network', value: ({ network }) => network },
        { title: 'requests', value: (row) => count(row.requests), right: true },
        { title: 'share', value: ({ share }) => percent(share), right: true },
      ],
      'No client network is known.',
    ),
  );
  if (top.together.length > 0) {
    parts.push(
      table(top.together, [{ title: 'used together', value: ({ a, b }) => `${a}, ${b}` }, ...togetherColumns], ''),
    );
  }
  if (top.entitiesTogether.length > 0) {
    parts.push(
      table(
        top.entitiesTogether,
        [
          { title: entitiesTitle(from, top.entitiesTogetherSince), value: ({ a, b }) => `${nameOf(a)}, ${nameOf(b)}` },
          { title: 'partitions', value: ({ a, b }) => [...new Set([a.partition, b.partition])].join(', ') },
          ...togetherColumns,
        ],
        '',
      ),
    );
  }
  return parts.join('\n\n');
}

const entitiesTitle = (from: Date, since: Date): string =>
  since > from ? `entities used together, since ${moment(since)}` : 'entities used together';

const togetherColumns: readonly Column<Omit<UsedTogether, 'a' | 'b'>>[] = [
  { title: 'sessions', value: ({ sessions }) => count(sessions), right: true },
  { title: 'of both', value: ({ jaccard }) => percent(jaccard), right: true },
  { title: 'times chance', value: ({ lift }) => lift.toFixed(1), right: true },
];

const nameOf = ({ key, token }: Pick<UsedEntity, 'key' | 'token'>): string =>
  key === undefined ? `token ${token}` : spoken(key);

const spoken = (key: unknown): string => (typeof key === 'string' ? key : JSON.stringify(key));

export const anomalyTable = (anomalies: readonly AnomalyDocument[]): string =>
  table(
    anomalies,
    [
      { title: 'window', value: ({ at }) => moment(at) },
      {
        title: 'of',
        value: ({ of, keyspace, subject }) =>
          of === 'node' ? `node ${subject}, ${keyspace}` : `${keyspace}/${subject}`,
      },
      { title: 'what', value: ({ kind, direction }) => (kind === 'level-shift' ? `${kind} ${direction}` : kind) },
      { title: 'requests', value: ({ value }) => count(value), right: true },
      { title: 'expected', value: ({ expected }) => count(expected), right: true },
      {
        title: 'evaluated anew',
        value: ({ reevaluation }) => (reevaluation === null ? 'shortly before' : (reevaluation ?? 'no')),
      },
    ],
    'Nothing unexpected has been found.',
  );
