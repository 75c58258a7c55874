import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { compiledFile } from './project-root.js';
import { failedToStart, launch, type ServerProcess } from './server-process.js';

/** A worker as a process of its own, which can be stopped, paused or killed. */
export interface WorkerProcess extends ServerProcess {
  readonly log: string;
}

export interface WorkerOptions {
  /** Folder made by `up` or `startCluster`: configuration, secrets and the place of the log come from it. */
  readonly directory?: string;
  /** Path of drover.yaml, when there is no such folder. */
  readonly config?: string;
  /** Added to this process's environment; secrets belong here. */
  readonly env?: Readonly<Record<string, string>>;
  /** File to which the worker's output is appended. */
  readonly log?: string;
  /** `control`, `data` or both, which is the default. */
  readonly queues?: readonly string[];
  /** Whether it goes on when this process ends. */
  readonly detached?: boolean;
  /** Program and arguments instead of Drover's own worker. */
  readonly command?: readonly [string, ...string[]];
}

/** A worker that can't read its configuration ends within this time (ms). */
const SETTLE_MS = 1_000;
/** A worker hands its running activities back before it ends. */
const GRACE_MS = 30_000;

/**
 * Starts a worker and returns when it has stayed up for a second.
 *
 * @throws DroverError Unavailable, with the end of its log, when it ends at once
 * @example
 * const worker = await startWorkerProcess({ directory: '.drover' });
 * worker.kill('SIGKILL');
 */
export async function startWorkerProcess(options: WorkerOptions): Promise<WorkerProcess> {
  const directory = resolve(options.directory ?? '.drover');
  const log = options.log ?? join(directory, 'logs', 'worker.log');
  const queues = options.queues === undefined ? [] : ['--queues', options.queues.join(',')];
  const [command, ...args] = options.command ?? [process.execPath, compiledFile('client/main.js'), 'worker', ...queues];
  const server = await launch({
    name: 'worker',
    command,
    args,
    log,
    env: {
      ...process.env,
      ...(options.directory === undefined ? {} : await readClusterEnvironment(directory)),
      ...options.env,
      DROVER_CONFIG: resolve(options.config ?? join(directory, 'drover.yaml')),
    },
    detached: options.detached ?? false,
    graceMs: GRACE_MS,
  });
  await sleep(SETTLE_MS);
  if (!server.isRunning()) throw await failedToStart('worker', log);
  return { ...server, log };
}

/** The secrets and addresses that `up` or `startCluster` wrote into a folder, by environment variable. */
export async function readClusterEnvironment(directory: string): Promise<Record<string, string>> {
  const lines = (await readFile(join(directory, 'env'), 'utf8')).split('\n').filter((line) => line.includes('='));
  return Object.fromEntries(
    lines.map((line) => {
      const middle = line.indexOf('=');
      return [line.slice(0, middle), line.slice(middle + 1)];
    }),
  );
}
