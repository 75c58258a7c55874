import type { Command } from 'commander';
import type { AffectedMigration, AutomationChange } from '../automation.js';
import type { By } from './arguments.js';
import { byOption } from './arguments.js';
import { withControl } from './invocation.js';
import { some } from './presentation.js';

export function addAutomationCommands(program: Command): void {
  program
    .command('stop')
    .description('stop all automation at once; running moves go on to their next safe point and wait')
    .addOption(byOption())
    .action(
      withControl<By>(async ({ control, options: { by }, terminal }) => {
        const { stopAutomation } = await import('../automation.js');
        const change = await stopAutomation(control, by);
        if (change.unanswered > 0) {
          const message = `Nothing new begins, but ${some(change.unanswered, 'move')} could not be paused and may go on: say "drover stop" again.`;
          terminal.unsuccessful(change, change.migrations.map(line).join('\n'), message);
          return;
        }
        terminal.result(change, describeStop(change));
      }),
    );

  program
    .command('start')
    .description('start automation again; only what "stop" paused is resumed')
    .addOption(byOption())
    .action(
      withControl<By>(async ({ control, options: { by }, terminal }) => {
        const { startAutomation } = await import('../automation.js');
        const change = await startAutomation(control, by);
        if (change.unanswered > 0) {
          const message = `Automation runs, but ${some(change.unanswered, 'move')} could not be resumed: say "drover start" again.`;
          terminal.unsuccessful(change, change.migrations.map(line).join('\n'), message);
          return;
        }
        terminal.result(change, describeStart(change));
      }),
    );
}

function describeStop({ schedule, migrations }: AutomationChange): string {
  return [
    `Automation is stopped: ${schedule === 'none' ? '' : 'no forecast is made, '}no move begins.`,
    migrations.length === 0 ? 'Nothing was moving.' : 'Moves that were under way:',
    ...migrations.map(line),
    'Go on with "drover start".',
  ].join('\n');
}

function describeStart({ schedule, migrations }: AutomationChange): string {
  return [
    'Automation runs: moves may begin.',
    ...(schedule === 'paused'
      ? ['The schedule of forecasts stays paused: it was not "drover stop" that paused it.']
      : []),
    migrations.length === 0 ? 'No move had to be resumed.' : 'Moves that waited:',
    ...migrations.map(line),
  ].join('\n');
}

const OUTCOMES: Readonly<Record<AffectedMigration['outcome'], string>> = {
  paused: 'waits at its next safe point',
  resumed: 'goes on',
  left: 'is left alone',
};

const line = ({ keyspace, partition, source, target, outcome, phase, note }: AffectedMigration): string =>
  `  ${keyspace}/${partition} from ${source} to ${target} (${phase}) ${OUTCOMES[outcome]}${note === undefined ? '' : `: ${note}`}`;
