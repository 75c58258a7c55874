import type { Command } from 'commander';
import { stringify } from 'yaml';
import { showPolicy } from '../policy.js';
import { withConfiguration } from './invocation.js';
import { exactDuration } from './presentation.js';

/** Lengths of time among the settings; all others are numbers without a unit, or texts. */
const DURATIONS: ReadonlySet<string> = new Set([
  'window',
  'flush',
  'every',
  'history',
  'horizon',
  'season',
  'dwell',
  'soak',
  'stepTimeout',
  'watchWriters',
  'expireAfter',
  'coolDown',
]);

export function addPolicyCommands(program: Command): void {
  const policy = program.command('policy').description('weights, thresholds and limits that Drover works by');

  policy
    .command('show')
    .description('the policy in effect, with all defaults, as it may stand in drover.yaml')
    .action(
      withConfiguration(async ({ configuration, terminal }) => {
        const shown = showPolicy({ configuration });
        terminal.result(shown, stringify(readable(shown), { flowCollectionPadding: false }).trimEnd());
        return Promise.resolve();
      }),
    );
}

/** The same with lengths of time as people write them; drover.yaml takes both. */
function readable(value: unknown, key = ''): unknown {
  if (typeof value === 'number' && DURATIONS.has(key)) return exactDuration(value);
  if (Array.isArray(value)) return value.map((entry) => readable(entry, key));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, readable(entry, name)]));
}
