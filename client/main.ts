#!/usr/bin/env node
import { runCommandLine } from './commands/program.js';

/** The entry file of the command line. Servers and workers are loaded by the commands that start them alone. */
await runCommandLine(process.argv, {
  servers: {
    up: async (options) => (await import('../temporal-config/dev-cluster.js')).up(options),
    down: async (options) => (await import('../temporal-config/dev-cluster.js')).down(options),
    environment: async (directory) =>
      (await import('../temporal-config/dev-cluster.js')).readClusterEnvironment(directory),
  },
  runWorker: async (configuration, queues) => (await import('../workers/worker.js')).runWorker(configuration, queues),
});
