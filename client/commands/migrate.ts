import type { Command } from 'commander';
import type { CopyLimits } from '../../domain/copy-limits.js';
import type { MigrationPlan } from '../migration-plan.js';
import type { MigrationStatus } from '../migration-status.js';
import type { By } from './arguments.js';
import { byOption, copyRate, documentRate, durationMs, given, weights } from './arguments.js';
import { withControl } from './invocation.js';
import { describeMigration, followToTheEnd } from './migration-view.js';
import { count, duration, exactDuration, facts, size } from './presentation.js';
import type { Terminal } from './terminal.js';

interface MigrateOptions extends By {
  readonly to: string;
  readonly dryRun?: boolean;
  readonly wait?: boolean;
  readonly timeout?: number;
  readonly weights?: readonly number[];
  readonly dwell?: number;
  readonly soak?: number;
  readonly maxMbps?: number;
  readonly maxDocs?: number;
  readonly approveCutover?: boolean;
  readonly allowDirectWriters?: boolean;
  readonly reason?: string;
}

export function addMigrateCommand(program: Command): void {
  program
    .command('migrate <keyspace> <partition>')
    .description('move a partition to another node while applications go on reading and writing')
    .requiredOption('--to <node>', 'the node to move it to')
    .option('--dry-run', 'say what would be done; do nothing')
    .option('--wait', 'wait until it has ended')
    .option('--timeout <time>', 'with --wait: how long to wait at most, such as 10m; the move goes on', durationMs)
    .option('--weights <percents>', 'steps of the cutover, rising to 100, such as 1,5,25,50,100', weights)
    .option('--dwell <time>', 'time between two steps, such as 30s', durationMs)
    .option('--soak <time>', 'time after the last step in which rollback stays possible, such as 10m', durationMs)
    .option('--max-mbps <number>', 'megabytes a second that copying may read at most; 0 = no limit', copyRate)
    .option('--max-docs <number>', 'documents a second that copying may read at most; 0 = no limit', documentRate)
    .option('--allow-direct-writers', 'of an adopted keyspace: move although clients write past the router')
    .option('--approve-cutover', 'wait for "drover migration approve" before the first step')
    .option('--reason <text>', 'why, for the record')
    .addOption(byOption())
    .action(
      withControl<MigrateOptions>(async ({ control, options, terminal }, keyspace, partition) => {
        const { by, reason, dwell, soak, approveCutover, maxMbps, maxDocs } = options;
        const input = {
          keyspace,
          partition,
          target: options.to,
          requestedBy: by,
          ...given({
            weights: options.weights,
            dwell,
            soak,
            maxMegabytesPerSecond: maxMbps,
            maxDocumentsPerSecond: maxDocs,
            approveCutover,
            reason,
            allowDirectWriters: options.allowDirectWriters,
          }),
        };
        if (options.dryRun === true) {
          const { planMigration } = await import('../migration-plan.js');
          const plan = await planMigration(control, input);
          terminal.result({ plan }, describePlan(plan));
          return;
        }
        const [{ migrate }, { migrationStatus }] = await Promise.all([
          import('../migrations.js'),
          import('../migration-status.js'),
        ]);
        await migrate(control, input);
        if (options.wait !== true) {
          const status = await migrationStatus(control, input.keyspace, input.partition);
          terminal.result({ migration: status }, begun(status));
          return;
        }
        const timeout = given({ timeoutMs: options.timeout });
        tellEnd(terminal, await followToTheEnd(control, terminal, { ...input, ...timeout }));
      }),
    );
}

function tellEnd(terminal: Terminal, status: MigrationStatus): void {
  if (status.state === 'completed') {
    terminal.result({ migration: status }, describeMigration(status));
    return;
  }
  const where = `${status.keyspace}/${status.partition}`;
  const why = status.abandoned
    ? `its workflow ${status.workflowId} was ended from outside, another one ends it; "drover migration show" says where it stands`
    : (status.error ?? 'no reason was recorded');
  const end = status.state === 'rolledBack' ? `was rolled back and is on "${status.source}" as before` : 'did not move';
  terminal.unsuccessful({ migration: status }, describeMigration(status), `${where} ${end}: ${why}`);
}

const begun = ({ keyspace, partition, source, target }: MigrationStatus): string =>
  `${keyspace}/${partition} is moving from ${source} to ${target}.\n` +
  `Follow it with "drover migration show ${keyspace} ${partition}".`;

function limitsText({ maxMegabytesPerSecond, maxDocumentsPerSecond }: CopyLimits): string {
  const limits = [
    ...(maxMegabytesPerSecond > 0 ? [`${maxMegabytesPerSecond} MB/s`] : []),
    ...(maxDocumentsPerSecond > 0 ? [`${maxDocumentsPerSecond} documents/s`] : []),
  ];
  return limits.length === 0 ? 'none' : limits.join(', ');
}

const describePlan = (plan: MigrationPlan): string =>
  [
    facts([
      ['would move', `${plan.keyspace}/${plan.partition}`],
      ['from', `${plan.source} (${plan.sourceRegion})`],
      ['to', `${plan.target} (${plan.targetRegion})`],
      ['documents', `${count(plan.documents)} (${size(plan.bytes)})`],
      ['weights', `${plan.weights.join(', ')} %${plan.approveCutover ? ', the first one after approval' : ''}`],
      ['dwell', `${exactDuration(plan.dwell)} between two weights`],
      ['soak', `${exactDuration(plan.soak)}, with rollback possible`],
      ['limit', limitsText(plan)],
      ['takes', `${duration(plan.atLeastMs)} or longer`],
    ]),
    ...plan.notes.map((note) => `Note: ${note}.`),
    'Nothing was changed.',
  ].join('\n');
