import type { Command } from 'commander';
import { Option } from 'commander';
import type { MigrationDocument, MigrationState } from '../../store/catalog/migrations.js';
import type { MigrationProgress } from '../../workflows/messages.js';
import type { SteeringVerb } from '../migrations.js';
import type { By } from './arguments.js';
import { byOption, durationMs, given, weights } from './arguments.js';
import { withControl } from './invocation.js';
import { describeMigration, followToTheEnd } from './migration-view.js';
import { ago, count, identified, milliseconds, size, table } from './presentation.js';

const STATES: readonly MigrationState[] = ['running', 'completed', 'rolledBack', 'failed'];

interface Verb {
  readonly name: SteeringVerb;
  readonly description: string;
  readonly done: (state: MigrationProgress) => string;
}

const VERBS: readonly Verb[] = [
  {
    name: 'pause',
    description: 'wait at the next safe point until "resume"',
    done: ({ phase }) => `pauses at the next safe point; it is in phase ${phase}`,
  },
  { name: 'resume', description: 'go on after "pause"', done: ({ phase }) => `goes on, in phase ${phase}` },
  {
    name: 'approve',
    description: 'let the cutover begin, where the move was started with --approve-cutover',
    done: ({ weights: next }) => `is approved; its weights are ${next.join(', ')} %`,
  },
  {
    name: 'rollback',
    description: 'take everything back to the source and clean up; possible until the old copy is retired',
    done: ({ source }) => `goes back to ${source}`,
  },
  {
    name: 'abort',
    description: 'give up before the first weight, and clean up; later the same as rollback',
    done: ({ source, weight }) => (weight > 0 ? `goes back to ${source}` : `is given up; it stays on ${source}`),
  },
];

export function addMigrationCommands(program: Command): void {
  const migration = program.command('migration').description('moves of partitions: look at them, steer them');

  migration
    .command('list')
    .description('moves, newest first')
    .option('--keyspace <keyspace>', 'only this keyspace')
    .addOption(new Option('--state <state>', 'only those in this state').choices(STATES))
    .action(
      withControl<{ keyspace?: string; state?: MigrationState }>(async ({ control, options, terminal }) => {
        const { listMigrations } = await import('../migrations.js');
        const { keyspace, state } = options;
        if (keyspace !== undefined) await control.catalog.keyspaces.get(keyspace);
        const migrations = await listMigrations(control, given({ keyspace, state }));
        terminal.result({ migrations: migrations.map(identified) }, migrationTable(migrations));
      }),
    );

  migration
    .command('show <keyspace> <partition>')
    .description('the latest move of a partition; on a terminal it is followed to its end')
    .option('--follow', 'follow it to its end')
    .option('--no-follow', 'show it once')
    .option('--timeout <time>', 'follow it no longer than this, such as 10m', durationMs)
    .action(
      withControl<{ follow?: boolean; timeout?: number }>(
        async ({ control, options, terminal }, keyspace, partition) => {
          const { migrationStatus } = await import('../migration-status.js');
          const which = { keyspace, partition };
          let status = await migrationStatus(control, which.keyspace, which.partition);
          if (status.state === 'running' && (options.follow ?? terminal.interactive)) {
            status = await followToTheEnd(control, terminal, { ...which, ...given({ timeoutMs: options.timeout }) });
          }
          terminal.result({ migration: status }, describeMigration(status));
        },
      ),
    );

  for (const { name, description, done } of VERBS) {
    migration
      .command(`${name} <keyspace> <partition>`)
      .description(description)
      .option('--reason <text>', 'why, for the record')
      .addOption(byOption())
      .action(
        withControl<By & { reason?: string }>(async ({ control, options, terminal }, keyspace, partition) => {
          const { steer } = await import('../migrations.js');
          const { by, reason } = options;
          const progress = await steer(control, keyspace, partition, name, { by, ...given({ reason }) });
          terminal.result({ progress }, `${keyspace}/${partition} ${done(progress)}.`);
        }),
      );
  }

  migration
    .command('weights <keyspace> <partition>')
    .description('change the steps that are still to come')
    .argument('<percents>', 'percentages that rise to 100, such as 10,100', weights)
    .option('--reason <text>', 'why, for the record')
    .addOption(byOption())
    .action(
      withControl<By & { reason?: string }, [keyspace: string, partition: string, percents: readonly number[]]>(
        async ({ control, options, terminal }, keyspace, partition, percents) => {
          const { amendWeights } = await import('../migrations.js');
          const { by, reason } = options;
          const request = { by, ...given({ reason }) };
          const progress = await amendWeights(control, keyspace, partition, percents, request);
          const left = progress.weights.join(', ');
          terminal.result(
            { progress },
            `${keyspace}/${partition} is at ${Math.round(progress.weight)} %, then ${left} %.`,
          );
        },
      ),
    );
}

const migrationTable = (migrations: readonly MigrationDocument[]): string =>
  table(
    migrations,
    [
      { title: 'partition', value: ({ keyspace, partition }) => `${keyspace}/${partition}` },
      { title: 'from', value: ({ source }) => source },
      { title: 'to', value: ({ target }) => target },
      { title: 'state', value: ({ state, phase }) => (state === 'running' ? phase : state) },
      { title: 'weight', value: ({ weight }) => `${Math.round(weight)} %`, right: true },
      { title: 'documents', value: ({ documents }) => count(documents), right: true },
      { title: 'size', value: ({ bytes }) => size(bytes), right: true },
      { title: 'longest pause', value: longestPause, right: true },
      { title: 'started', value: ({ startedAt }) => ago(startedAt) },
      {
        title: 'by',
        value: ({ requestedBy, decision }) => (decision === undefined ? requestedBy : `decision ${decision}`),
      },
      { title: 'why it ended', value: ({ error }) => error },
    ],
    'Nothing has moved yet.',
  );

function longestPause({ steps }: MigrationDocument): string | undefined {
  return steps.length === 0 ? undefined : milliseconds(Math.max(...steps.map(({ pauseMs }) => pauseMs)));
}
