import type { Command } from 'commander';
import type { Configuration } from '../../config/index.js';
import { listOf } from './arguments.js';
import { withConfiguration } from './invocation.js';

export const QUEUES = ['control', 'data'] as const;
export type Queue = (typeof QUEUES)[number];

/** Runs until the process is told to end; given by the entry file, as the client may not reach for it. */
export type RunWorker = (configuration: Configuration, queues: readonly Queue[]) => Promise<void>;

export function addWorkerCommand(program: Command, runWorker: RunWorker): void {
  program
    .command('worker')
    .description('run a worker until it is told to end (SIGINT, SIGTERM); logs go to stderr')
    .option(
      '--queues <queues>',
      'control (decisions, steering), data (bulk work, best close to the nodes)',
      listOf(QUEUES),
      QUEUES,
    )
    .action(
      withConfiguration<{ queues: readonly Queue[] }>(async ({ configuration, options: { queues }, terminal }) => {
        await runWorker(configuration, queues);
        terminal.result({ worker: 'stopped', queues }, 'The worker has stopped.');
      }),
    );
}
