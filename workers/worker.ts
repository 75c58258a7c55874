import { Client, Connection } from '@temporalio/client';
import type { WorkerOptions } from '@temporalio/worker';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { createControlActivities, createDataActivities, Janitor } from '../activities/index.js';
import type { Dependencies } from '../activities/index.js';
import { registerNodes } from '../client/nodes.js';
import type { Configuration, Logger } from '../config/index.js';
import { createClock, createLogger, Secrets, temporalConnectionOptions } from '../config/index.js';
import { Catalog } from '../store/catalog/catalog.js';
import { NodePool } from '../store/node-pool.js';
import { CONTROL_QUEUE, DATA_QUEUE } from '../workflows/messages.js';
import { workflowBundle } from './bundle.js';
import { FailureInterceptor } from './failure-interceptor.js';
import { ensureForecastSchedule } from './schedule.js';

export const QUEUES = ['control', 'data'] as const;
export type Queue = (typeof QUEUES)[number];

/** A heartbeat goes out at least this often: it is also how an activity hears that it is cancelled. */
const HEARTBEAT_MS = 500;

/** Runs a worker until the process is told to end (SIGINT, SIGTERM). */
export async function runWorker(configuration: Configuration, queues: readonly Queue[] = QUEUES): Promise<void> {
  const secrets = Secrets.of(configuration);
  const log = createLogger({ name: 'worker', level: configuration.log.level, secrets });
  installRuntime(log);

  // What stays open keeps the process from ending, also when it could not begin its work.
  const closing: (() => Promise<void>)[] = [];
  try {
    const catalog = await Catalog.open(configuration.catalog, configuration.catalogDatabase);
    closing.push(() => catalog.close());
    const nodes = new NodePool(new Map(Object.entries(configuration.nodeUris)));
    closing.push(() => nodes.close());
    const options = temporalConnectionOptions(configuration);
    const connection = await NativeConnection.connect(options);
    closing.push(() => connection.close());
    const temporal = new Client({
      connection: await Connection.connect(options),
      namespace: configuration.temporal.namespace,
    });
    closing.push(() => temporal.connection.close());
    const dependencies: Dependencies = {
      catalog,
      nodes,
      temporal,
      mode: configuration.mode,
      migration: configuration.policy.migration,
      score: configuration.policy.score,
      forecast: configuration.policy.forecast,
      plan: configuration.policy.plan,
      decisions: configuration.policy.decisions,
      now: createClock(configuration),
      clockRate: configuration.clock.rate,
      log: {
        info: (message, meta) => log.info(meta ?? {}, message),
        warn: (message, meta) => log.warn(meta ?? {}, message),
        error: (message, meta) => log.error(meta ?? {}, message),
      },
    };
    const janitor = new Janitor(dependencies);
    const { namespace } = configuration.temporal;
    const create = async (queue: Queue) =>
      Worker.create({
        connection,
        namespace,
        ...(queue === 'control' ? await controlWorker(dependencies) : dataWorker(dependencies)),
        interceptors: {
          activity: [
            () => ({
              inbound: new FailureInterceptor(
                (text) => secrets.redact(text),
                (message, error) => log.warn({ err: error }, message),
              ),
            }),
          ],
        },
        maxHeartbeatThrottleInterval: HEARTBEAT_MS,
        defaultHeartbeatThrottleInterval: HEARTBEAT_MS,
        // A workflow whose worker died goes on elsewhere after this time.
        stickyQueueScheduleToStartTimeout: '1s',
        shutdownGraceTime: '10s',
      });
    if (queues.includes('control')) await prepareControl(configuration, catalog, temporal);
    const workers = await Promise.all(queues.map(create));
    log.info({ queues }, 'worker started');
    closing.push(() => janitor.stop());
    if (queues.includes('control')) janitor.start();
    await Promise.all(workers.map((worker) => worker.run()));
  } finally {
    for (const close of closing.reverse()) await close();
  }
  log.info('worker stopped');
}

/** What has to be there before anything can be decided; workers that start side by side do it side by side. */
async function prepareControl(configuration: Configuration, catalog: Catalog, temporal: Client): Promise<void> {
  await registerNodes(catalog, configuration);
  const { clock, policy } = configuration;
  // The schedule runs by real time, the policy speaks of Drover's.
  await ensureForecastSchedule(temporal, { everyMs: policy.forecast.every / clock.rate });
}

/** Workflows and short activities. Also what tests run in the time-skipping environment, with other dependencies. */
export async function controlWorker(
  dependencies: Dependencies,
): Promise<Pick<WorkerOptions, 'taskQueue' | 'workflowBundle' | 'activities'> & { taskQueue: string }> {
  return {
    taskQueue: CONTROL_QUEUE,
    workflowBundle: await workflowBundle(),
    activities: createControlActivities(dependencies),
  };
}

export const dataWorker = (dependencies: Dependencies) => ({
  taskQueue: DATA_QUEUE,
  activities: createDataActivities(dependencies),
});

function installRuntime(log: Logger): void {
  const levels = { TRACE: 'trace', DEBUG: 'debug', INFO: 'info', WARN: 'warn', ERROR: 'error' } as const;
  Runtime.install({
    logger: new DefaultLogger('WARN', ({ level, message, meta }) => log[levels[level]](meta ?? {}, message)),
  });
}
