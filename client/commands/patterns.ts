import type { Command } from 'commander';
import type { IndexAdvice } from '../../domain/index-advice.js';
import { keyText } from '../../domain/index-key.js';
import type { AccessPatternsReport, PartitionPattern, ShapePattern } from '../access-patterns.js';
import type { ProfiledNode } from '../profiles.js';
import { durationMs, given, positiveInteger } from './arguments.js';
import { withControl } from './invocation.js';
import { onlyKeyspace } from './only-keyspace.js';
import { count, milliseconds, moment, percent, table } from './presentation.js';

interface PatternsOptions {
  readonly keyspace?: string;
  readonly partition?: string;
  readonly since?: number;
  readonly limit: number;
  readonly profiles: boolean;
}

export function addPatternsCommand(access: Command): void {
  access
    .command('patterns')
    .description(
      'in which shapes data is asked for, where partitions are hot; split points, and indexes to build first',
    )
    .option('--keyspace <keyspace>', 'of which one; needed where there are several')
    .option('--partition <partition>', 'only this one (default: the busiest)')
    .option('--since <time>', 'how far back to look, shapes by whole hours: 1h, 7d (default: 1h)', durationMs)
    .option('--limit <number>', 'how many of each', positiveInteger, 10)
    .option('--no-profiles', "leave the nodes' profilers and $queryStats unread")
    .action(
      withControl<PatternsOptions>(async ({ control, options, terminal }) => {
        const { since, limit, partition, profiles } = options;
        const { accessPatterns } = await import('../access-patterns.js');
        const keyspace = options.keyspace ?? (await onlyKeyspace(control.catalog));
        const from = since === undefined ? undefined : control.now() - since;
        const report = await accessPatterns(control, {
          keyspace,
          atMost: limit,
          profiles,
          ...given({ from, partition }),
        });
        for (const sentence of report.nodes.flatMap((node) => notesOn(node, report.from))) terminal.note(sentence);
        terminal.result(report, patternTables(report));
      }),
    );
}

/** What keeps a node from telling how requests were carried out, and what to do about it. */
function notesOn({ node, reason, profiler, queryStatistics }: ProfiledNode, from: Date): string[] {
  if (reason !== null) return [`${node} tells nothing of how it carries requests out: ${reason}`];
  if (profiler === null || queryStatistics === null) return [];
  const { level, slowMs, sampleRate } = profiler;
  const { state, reason: unread, since } = queryStatistics;
  const notes: string[] = [];
  if (since !== null && since < from) {
    notes.push(
      `What was read of $queryStats of ${node} now goes back to ${moment(since)}: it is told where --since goes back as far.`,
    );
  }
  if (level === 0) {
    if (state === 'read') return unread === null ? notes : [...notes, `${node}: ${unread}`];
    return [
      `The profiler of ${node} is off (${unread}): how many documents its requests examine is unknown. ` +
        'To find out: db.setProfilingLevel(1, { slowms: 20 })',
    ];
  }
  if (unread !== null && ['read', 'not allowed', 'failed'].includes(state)) notes.push(`${node}: ${unread}`);
  const part = sampleRate < 1 ? `${percent(sampleRate)} of them, ` : '';
  if (level === 1) {
    notes.push(`The profiler of ${node} tells of operations that take more than ${slowMs} ms only (${part}level 1).`);
  }
  return notes;
}

function patternTables({ keyspace, from, to, requests, shapes, partitions }: AccessPatternsReport): string {
  const parts = [
    `${keyspace}, ${moment(from)} to ${moment(to)}: ${count(requests)} requests whose shape is known`,
    shapeTable(shapes),
    table(
      partitions.flatMap(({ partition, entities }) => entities.map((entity) => ({ partition, ...entity }))),
      [
        { title: 'hot entity', value: ({ key, token }) => (key === undefined ? `token ${token}` : spoken(key)) },
        { title: 'partition', value: ({ partition }) => partition },
        { title: 'requests', value: (row) => count(row.requests), right: true },
        { title: 'of partition', value: ({ share }) => percent(share), right: true },
      ],
      'No entity stands out.',
    ),
    table(
      partitions.flatMap(({ partition, splits }) => splits.map((split) => ({ partition, ...split }))),
      [
        { title: 'split', value: ({ partition }) => partition },
        { title: 'to', value: ({ kind }) => kind },
        { title: 'at token', value: ({ at }) => at.join(', ') },
        { title: 'because', value: ({ reason }) => reason },
      ],
      'Too few requests to say where to split.',
    ),
    ...partitions.map(indexTables),
  ];
  return parts.join('\n\n');
}

const spoken = (key: unknown): string => (typeof key === 'string' ? key : JSON.stringify(key));

const shapeTable = (shapes: readonly ShapePattern[]): string =>
  table(
    shapes,
    [
      { title: 'shape', value: ({ text }) => text },
      { title: 'requests', value: ({ requests }) => count(requests), right: true },
      { title: 'share', value: ({ share }) => percent(share), right: true },
      { title: 'several', value: ({ scattered }) => count(scattered), right: true },
      { title: 'median', value: ({ latencyMsP50: ms }) => (ms === null ? undefined : milliseconds(ms)), right: true },
      { title: 'p99', value: ({ latencyMsP99: ms }) => (ms === null ? undefined : milliseconds(ms)), right: true },
      { title: 'examined', value: ({ profiled }) => examined(profiled), right: true },
    ],
    'No request has been counted by its shape.',
  );

/** Documents for each one that was returned or changed. */
const examined = (profiled: ShapePattern['profiled']): string | undefined =>
  profiled === null ? undefined : (profiled.docsExamined / Math.max(1, profiled.returned)).toFixed(1);

function indexTables({ partition, indexes }: PartitionPattern): string {
  if (indexes === null) return `Indexes of ${partition}: its owner could not be asked.`;
  return table(
    rowsOf(indexes),
    [
      { title: `indexes of ${partition}`, value: ({ what }) => what },
      { title: 'key', value: ({ key }) => key },
      { title: 'requests', value: ({ requests }) => count(requests), right: true },
      { title: 'because', value: ({ reason }) => reason },
    ],
    '',
  );
}

const rowsOf = ({ first, missing, unused }: IndexAdvice) => [
  ...first.map(({ name, key, ...row }, i) => ({ what: `${i + 1}. ${name}`, key: keyText(key), ...row })),
  ...missing.map(({ key, ...row }) => ({ what: 'missing', key: keyText(key), ...row })),
  ...unused.map(({ name, key, ...row }) => ({ what: `last: ${name}`, key: keyText(key), ...row })),
];
