import type { Command } from 'commander';
import type { Check } from '../doctor.js';
import { withConfiguration } from './invocation.js';
import { table } from './presentation.js';

export function addDoctorCommand(program: Command): void {
  program
    .command('doctor')
    .description('check configuration, connections, rights, versions and left-overs; exits 1 when something is wrong')
    .option('--repair', 'have a worker clear what is left, then check again')
    .action(
      withConfiguration<{ repair?: boolean }>(async ({ configuration, options, terminal }) => {
        const { examine, repair } = await import('../doctor.js');
        const { openControl } = await import('../context.js');
        let report;
        if (options.repair === true) {
          const control = await openControl({ configuration });
          try {
            report = await repair(control);
          } finally {
            await control.close();
          }
        }
        const examination = await examine(configuration);
        const result = { ...examination, ...(report === undefined ? {} : { repair: report }) };
        const text = [
          ...(report?.repaired ?? []).map((line) => `repaired: ${line}`),
          ...(report?.recoveries ?? []).map((line) => `ended: ${line}`),
          ...(report?.failed ?? []).map((line) => `not repaired: ${line}`),
          checks(examination.checks),
        ].join('\n');
        if (examination.healthy) terminal.result(result, text);
        else terminal.unsuccessful(result, text, 'Something is not well.');
      }),
    );
}

const checks = (found: readonly Check[]): string =>
  table(
    found,
    [
      { title: '', value: ({ ok }) => (ok ? 'ok' : 'WRONG') },
      { title: 'what', value: ({ subject }) => subject },
      { title: 'finding', value: ({ finding }) => finding },
    ],
    'nothing to check',
  );
