import { Context } from '@temporalio/activity';
import type { WorkflowHandleWithFirstExecutionRunId } from '@temporalio/client';
import { ApplicationFailure, defaultPayloadConverter } from '@temporalio/common';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { afterAll, afterEach, beforeAll } from 'vitest';
import type { ControlActivities, DataActivities } from '../../activities/index.js';
import { requireBinary } from '../../temporal-config/binaries.js';
import { SEARCH_ATTRIBUTES } from '../../temporal-config/search-attributes.js';
import { workflowBundle } from '../../workers/bundle.js';
import type { MigrationInput, MigrationProgress, MigrationResult } from '../../workflows/messages.js';
import { admitted, CONTROL_QUEUE, DATA_QUEUE, migrationWorkflowId, progress } from '../../workflows/messages.js';

type Activities = ControlActivities & DataActivities;
type Awaitable<T> = T | Promise<T>;

/** What activities do instead of their work: by name, each given the activity's own input. */
export type Script = {
  [Name in keyof Activities]?: (
    ...input: Parameters<Activities[Name]>
  ) => Awaitable<Awaited<ReturnType<Activities[Name]>>>;
};

export type MigrationHandle = WorkflowHandleWithFirstExecutionRunId<
  (input: MigrationInput) => Promise<MigrationResult>
>;

/** `INDEXED_VALUE_TYPE_KEYWORD` of Temporal's API. */
const KEYWORD = 2;
let runtimeInstalled = false;

/** Activities fail on purpose here: what the SDK says of that is left out. */
function installRuntime(): void {
  if (runtimeInstalled) return;
  runtimeInstalled = true;
  Runtime.install({
    logger: new DefaultLogger('ERROR', () => undefined),
    telemetryOptions: { logging: { filter: 'OFF' } },
  });
}

const HEARTBEAT_MS = 20;
/** Followers run for as long as a migration; but an activity that runs keeps the test server from skipping time. */
export const FOLLOWS_ON = ApplicationFailure.create({ message: 'follows on', nextRetryDelay: '20 days' });

export const POLICY = {
  weights: [10, 100],
  dwellMs: 60_000,
  soakMs: 3_600_000,
  maxMegabytesPerSecond: 0,
  maxDocumentsPerSecond: 0,
} as const;

/**
 * Temporal's time-skipping test server and the workers' own bundle of workflows, with activities that follow a script:
 * a soak of an hour takes milliseconds.
 */
export class Stage {
  /** For the test that is running; what is not in it succeeds. */
  script: Script = {};
  private readonly workers: { readonly worker: Worker; readonly run: Promise<void> }[] = [];
  private migrations = 0;

  private constructor(readonly temporal: TestWorkflowEnvironment) {}

  static async open(): Promise<Stage> {
    installRuntime();
    const path = await requireBinary('temporal-test-server');
    const temporal = await TestWorkflowEnvironment.createTimeSkipping({
      server: { executable: { type: 'existing-path', path } },
    });
    // This server can add search attributes, but not list them.
    await temporal.connection.operatorService.addSearchAttributes({
      namespace: temporal.namespace ?? 'default',
      searchAttributes: Object.fromEntries(SEARCH_ATTRIBUTES.map((name) => [name, KEYWORD])),
    });
    const stage = new Stage(temporal);
    const bundle = await workflowBundle();
    await stage.work(CONTROL_QUEUE, CONTROL_ACTIVITIES, bundle);
    await stage.work(DATA_QUEUE, DATA_ACTIVITIES);
    return stage;
  }

  async close(): Promise<void> {
    for (const { worker } of this.workers) worker.shutdown();
    await Promise.all(this.workers.map(({ run }) => run));
    await this.temporal.teardown();
  }

  /** Starts the move of a partition from node `a` to node `b`. */
  async migrate(input: Partial<MigrationInput> = {}): Promise<MigrationHandle> {
    const partition = `p${this.migrations++}`;
    return this.temporal.client.workflow.start<(input: MigrationInput) => Promise<MigrationResult>>(
      'migrationWorkflow',
      {
        workflowId: migrationWorkflowId('shop.orders', partition),
        taskQueue: CONTROL_QUEUE,
        args: [{ keyspace: 'shop.orders', partition, target: 'b', ...input }],
      },
    );
  }

  private async work(taskQueue: string, names: readonly string[], workflows?: { code: string }): Promise<void> {
    const worker = await Worker.create({
      connection: this.temporal.nativeConnection,
      taskQueue,
      maxHeartbeatThrottleInterval: HEARTBEAT_MS,
      defaultHeartbeatThrottleInterval: HEARTBEAT_MS,
      ...(workflows === undefined ? {} : { workflowBundle: workflows }),
      activities: Object.fromEntries(names.map((name) => [name, (input: unknown) => this.perform(name, input)])),
    });
    this.workers.push({ worker, run: worker.run() });
  }

  private perform(name: string, input: unknown): unknown {
    const scripts = { ...this.defaults(), ...this.script } as Record<string, (input: unknown) => unknown>;
    return scripts[name]!(input);
  }

  private defaults(): Script {
    const nothing = () => undefined;
    return {
      claim: ({ input, migration }) => ({
        migration,
        keyspace: input.keyspace,
        partition: input.partition,
        source: 'a',
        target: input.target,
        ...POLICY,
        ...(input.weights === undefined ? {} : { weights: input.weights }),
        ...(typeof input.dwell === 'number' ? { dwellMs: input.dwell } : {}),
        ...(typeof input.soak === 'number' ? { soakMs: input.soak } : {}),
      }),
      requestAdmission: ({ workflowId, runId }) =>
        this.temporal.client.workflow.getHandle(workflowId, runId).signal(admitted),
      releaseAdmission: nothing,
      findEnded: () => [],
      createShadow: nothing,
      backfill: () => ({ documents: 5, bytes: 500 }),
      replicate: () => Promise.reject(FOLLOWS_ON),
      catchUp: nothing,
      verify: () => ({ compared: 5 }),
      publishTarget: nothing,
      watch: () => ({}),
      shiftWeight: ({ weight }) => ({ weight, moved: true, pauseMs: 12 }),
      retire: nothing,
      removeOldCopy: nothing,
      withdrawTarget: nothing,
      removeShadow: nothing,
      releaseClaim: nothing,
    };
  }
}

/** A stage of its own for the tests of a `describe`, and how a migration is performed on it. */
export function useStage(): {
  readonly stage: () => Stage;
  /** The migration under test is also what the activities of the script may want to steer. */
  readonly perform: (
    script: (handle: () => MigrationHandle) => Script,
    input?: Partial<MigrationInput>,
  ) => Promise<MigrationHandle>;
} {
  let stage: Stage;
  beforeAll(async () => {
    stage = await Stage.open();
  });
  afterAll(() => stage.close());
  afterEach(() => {
    stage.script = {};
  });
  return {
    stage: () => stage,
    perform: async (script, input = {}) => {
      let resolve!: (handle: MigrationHandle) => void;
      const started = new Promise<MigrationHandle>((done) => (resolve = done));
      let handle: MigrationHandle;
      // No activity goes on before its test has the handle.
      stage.script = Object.fromEntries(
        Object.entries(script(() => handle)).map(([name, act]) => [
          name,
          async (activityInput: never) => {
            handle = await started;
            return (act as (input: never) => unknown)(activityInput);
          },
        ]),
      );
      resolve(await stage.migrate(input));
      return started;
    },
  };
}

const DATA_ACTIVITIES = ['createShadow', 'backfill', 'replicate', 'catchUp', 'verify'] as const;
const CONTROL_ACTIVITIES = [
  ...['claim', 'requestAdmission', 'releaseAdmission', 'findEnded'],
  ...['publishTarget', 'watch', 'shiftWeight', 'retire', 'removeOldCopy'],
  ...['withdrawTarget', 'removeShadow', 'releaseClaim'],
] as const;

/** Within an activity: ends when the workflow has cancelled it. */
export async function toldToStop(): Promise<void> {
  const context = Context.current();
  const timer = setInterval(() => context.heartbeat(), HEARTBEAT_MS);
  try {
    await context.cancelled.catch(() => undefined);
  } finally {
    clearInterval(timer);
  }
}

/** Something a workflow decided to do, as its history has it. */
export interface Decided {
  /** An activity by its name and what tells its calls apart; `stop …` where one was cancelled; `wait …` for a timer. */
  readonly what: string;
  readonly input: unknown;
}

/** What a workflow did, in order. Retries of an activity are one call; of a local one the history keeps no input. */
export async function decisions(handle: Pick<MigrationHandle, 'fetchHistory'>): Promise<Decided[]> {
  const scheduled = new Map<string, string>();
  const decided: Decided[] = [];
  for (const event of (await handle.fetchHistory()).events ?? []) {
    const activity = event.activityTaskScheduledEventAttributes;
    const timer = event.timerStartedEventAttributes;
    const cancelled = event.activityTaskCancelRequestedEventAttributes;
    const marker = event.markerRecordedEventAttributes;
    if (activity) {
      const input = defaultPayloadConverter.fromPayload<Record<string, unknown>>(activity.input!.payloads![0]!);
      const detail = (input['direction'] ?? input['weight'] ?? input['forMs']) as string | number | undefined;
      const name = activity.activityType!.name!;
      const what = detail === undefined ? name : `${name} ${detail}`;
      scheduled.set(String(event.eventId), what);
      decided.push({ what, input });
    } else if (timer) {
      decided.push({ what: `wait ${Number(timer.startToFireTimeout!.seconds)} s`, input: undefined });
    } else if (marker?.markerName === 'core_local_activity') {
      const { activity_type: name } = defaultPayloadConverter.fromPayload<{ activity_type: string }>(
        marker.details!['data']!.payloads![0]!,
      );
      decided.push({ what: name, input: undefined });
    } else if (cancelled) {
      decided.push({ what: `stop ${scheduled.get(String(cancelled.scheduledEventId))}`, input: undefined });
    }
  }
  return decided;
}

export const story = async (handle: Pick<MigrationHandle, 'fetchHistory'>): Promise<string[]> =>
  (await decisions(handle)).map(({ what }) => what);

/** Waits, in real time and without skipping any of the workflow's, until its progress is as wanted. */
export async function untilProgress(
  handle: MigrationHandle,
  wanted: (progress: MigrationProgress) => boolean,
): Promise<MigrationProgress> {
  const deadline = performance.now() + 20_000;
  for (;;) {
    const now = await handle.query(progress);
    if (wanted(now)) return now;
    if (performance.now() > deadline) throw new Error(`not in time; the progress is ${JSON.stringify(now)}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
