import { Command, CommanderError } from 'commander';
import { addAccessCommands } from './access.js';
import { addAutomationCommands } from './automation.js';
import { addDecisionCommands } from './decisions.js';
import type { DevelopmentServers } from './development.js';
import { addDevelopmentCommands } from './development.js';
import { addDoctorCommand } from './doctor.js';
import { addForecastCommands } from './forecasts.js';
import { addKeyspaceCommands } from './keyspaces.js';
import { addMigrateCommand } from './migrate.js';
import { addMigrationCommands } from './migrations.js';
import { addNodeCommands } from './nodes.js';
import { addPartitionCommands } from './partitions.js';
import { addPolicyCommands } from './policy.js';
import { Terminal } from './terminal.js';
import type { RunWorker } from './worker.js';
import { addVerifyCommand } from './verify.js';
import { addWorkerCommand } from './worker.js';

/** What only the entry file may reach for. */
export interface Launchers {
  readonly servers: DevelopmentServers;
  readonly runWorker: RunWorker;
}

const EXIT_CODES = `
Exit codes: 0 done, 1 failed, 2 wrong use or invalid request, 3 refused by a safety check, 4 timed out while waiting.`;

/** Runs the command line; sets the exit code of the process. */
export async function runCommandLine(argv: readonly string[], launchers: Launchers): Promise<void> {
  const json = argv.includes('--json');
  // What no command waits for, such as an error of a driver's background work, has the same way out.
  process.once('uncaughtException', (error) => {
    new Terminal(json).fail(error);
    process.exit();
  });
  try {
    await program(launchers).parseAsync(argv);
  } catch (error) {
    // Help that was asked for ends by an error with the code 0.
    if (error instanceof CommanderError && error.exitCode === 0) return;
    new Terminal(json).fail(error);
  }
}

function program({ servers, runWorker }: Launchers): Command {
  const drover = new Command('drover')
    .description('Moves partitions of MongoDB collections between nodes while applications go on reading and writing.')
    .option('--json', 'one JSON document on stdout, for scripts')
    .option('--config <file>', 'drover.yaml (default: DROVER_CONFIG, ./drover.yaml, ./.drover/drover.yaml)')
    .exitOverride()
    // Errors are told in one place, by the terminal.
    .configureOutput({ outputError: () => undefined })
    .configureHelp({ showGlobalOptions: true })
    .addHelpText('after', EXIT_CODES);

  drover.commandsGroup('Servers and workers:');
  addDevelopmentCommands(drover, servers);
  addWorkerCommand(drover, runWorker);
  addDoctorCommand(drover);
  drover.commandsGroup('What there is:');
  addNodeCommands(drover);
  addKeyspaceCommands(drover);
  addPartitionCommands(drover);
  addAccessCommands(drover);
  addPolicyCommands(drover);
  drover.commandsGroup('Moves:');
  addMigrateCommand(drover);
  addMigrationCommands(drover);
  addVerifyCommand(drover);
  drover.commandsGroup('Forecasts and decisions:');
  addForecastCommands(drover);
  addDecisionCommands(drover);
  addAutomationCommands(drover);
  return drover;
}
