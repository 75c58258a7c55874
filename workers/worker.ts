import { setTimeout as delay } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import type { NativeConnectionOptions, WorkerOptions } from '@temporalio/worker';
import { DefaultLogger, NativeConnection, Runtime, TransportError, Worker } from '@temporalio/worker';
import { createControlActivities, createDataActivities, Janitor } from '../activities/index.js';
import type { Dependencies } from '../activities/index.js';
import { registerNodes } from '../client/nodes.js';
import type { Configuration, Logger } from '../config/index.js';
import { accessBucketMs, createClock, createLogger, Secrets, temporalConnectionOptions } from '../config/index.js';
import { Catalog } from '../store/catalog/catalog.js';
import { NodePool } from '../store/node-pool.js';
import { CONTROL_QUEUE, DATA_QUEUE } from '../workflows/messages.js';
import { workflowBundle } from './bundle.js';
import { FailureInterceptor } from './failure-interceptor.js';
import { letHeapGrow } from './heap.js';
import { ensureAnomalySchedule, ensureForecastSchedule } from './schedule.js';

export const QUEUES = ['control', 'data'] as const;
export type Queue = (typeof QUEUES)[number];

/** A heartbeat goes out at least this often: it is also how an activity hears that it is cancelled. */
const HEARTBEAT_MS = 500;

const CONNECT_AGAIN_MS = 1_000;

/**
 * Runs a worker until the process is told to end (SIGINT, SIGTERM). While Temporal can't be reached, its janitor is at work
 * already: applications may be waiting for a step that was left in the middle.
 */
export async function runWorker(configuration: Configuration, queues: readonly Queue[] = QUEUES): Promise<void> {
  const secrets = Secrets.of(configuration);
  const log = createLogger({ name: 'worker', level: configuration.log.level, secrets });
  installRuntime(log);
  letHeapGrow();

  // What stays open keeps the process from ending, also when it could not begin its work.
  const closing: (() => Promise<void>)[] = [];
  try {
    const catalog = await Catalog.open(
      configuration.catalog,
      configuration.catalogDatabase,
      accessBucketMs(configuration.policy),
    );
    closing.push(() => catalog.close());
    const nodes = new NodePool(new Map(Object.entries(configuration.nodeUris)));
    closing.push(() => nodes.close());
    const { namespace } = configuration.temporal;
    const options = temporalConnectionOptions(configuration);
    const temporal = new Client({ connection: Connection.lazy(options), namespace });
    closing.push(() => temporal.connection.close());
    const dependencies = dependenciesOf(configuration, catalog, nodes, temporal, log);
    if (queues.includes('control')) {
      await registerNodes(catalog, configuration);
      const janitor = new Janitor(dependencies);
      closing.push(() => janitor.stop());
      janitor.start();
    }

    const connection = await connect(options, log);
    if (connection === undefined) return;
    closing.push(() => connection.close());
    if (queues.includes('control')) {
      // The schedule runs by real time, the policy speaks of Drover's.
      const { clock, policy } = configuration;
      await ensureForecastSchedule(temporal, { everyMs: policy.forecast.every / clock.rate });
      await ensureAnomalySchedule(temporal, { everyMs: policy.anomalies.every / clock.rate });
    }
    const failures = new FailureInterceptor(
      (text) => secrets.redact(text),
      (message, error) => log.warn({ err: error }, message),
    );
    const create = async (queue: Queue) =>
      Worker.create({
        connection,
        namespace,
        ...(queue === 'control' ? await controlWorker(dependencies) : dataWorker(dependencies)),
        interceptors: { activity: [() => ({ inbound: failures })] },
        maxHeartbeatThrottleInterval: HEARTBEAT_MS,
        defaultHeartbeatThrottleInterval: HEARTBEAT_MS,
        // A workflow whose worker died goes on elsewhere after this time.
        stickyQueueScheduleToStartTimeout: '1s',
        shutdownGraceTime: '10s',
      });
    const workers = await Promise.all(queues.map(create));
    log.info({ queues }, 'worker started');
    await Promise.all(workers.map((worker) => worker.run()));
  } finally {
    for (const close of closing.reverse()) await close();
    log.info('worker stopped');
  }
}

/** @returns undefined when the process was told to end before Temporal could be reached */
async function connect(options: NativeConnectionOptions, log: Logger): Promise<NativeConnection | undefined> {
  const told = new AbortController();
  const end = () => told.abort();
  process.once('SIGINT', end).once('SIGTERM', end);
  try {
    while (!told.signal.aborted) {
      try {
        return await NativeConnection.connect(options);
      } catch (error) {
        if (!(error instanceof TransportError)) throw error;
        log.error({ err: error, address: options.address }, 'Temporal can not be reached: trying again');
        await delay(CONNECT_AGAIN_MS, undefined, { signal: told.signal }).catch(() => undefined);
      }
    }
    return undefined;
  } finally {
    process.off('SIGINT', end).off('SIGTERM', end);
  }
}

function dependenciesOf(
  configuration: Configuration,
  catalog: Catalog,
  nodes: NodePool,
  temporal: Client,
  log: Logger,
): Dependencies {
  const { access, anomalies, migration, score, forecast, plan, decisions } = configuration.policy;
  return {
    catalog,
    nodes,
    temporal,
    mode: configuration.mode,
    access,
    migration,
    score,
    forecast,
    plan,
    anomalies: { ...anomalies, window: access.window },
    decisions,
    now: createClock(configuration),
    clockRate: configuration.clock.rate,
    log: {
      info: (message, meta) => log.info(meta ?? {}, message),
      warn: (message, meta) => log.warn(meta ?? {}, message),
      error: (message, meta) => log.error(meta ?? {}, message),
    },
  };
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
