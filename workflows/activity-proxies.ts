import { ActivityCancellationType, proxyActivities, proxyLocalActivities } from '@temporalio/workflow';
import type { ControlActivities, DataActivities } from '../activities/index.js';
import { NON_RETRYABLE } from '../domain/errors.js';
import { CONTROL_QUEUE, DATA_QUEUE } from './messages.js';

const nonRetryableErrorTypes = [...NON_RETRYABLE];

/** A dead worker is noticed by the missing heartbeat, soon enough for writes that wait in a boundary step. */
const heartbeatTimeout = '3s';

/** Looks and small writes: over within seconds, tried again for as long as a server or a worker takes to come back. */
export const control = proxyActivities<ControlActivities>({
  taskQueue: CONTROL_QUEUE,
  startToCloseTimeout: '30s',
  retry: { initialInterval: '500ms', maximumInterval: '10s', nonRetryableErrorTypes },
});

/** Short messages: sent inside of the workflow's own task, each leaves one event in the history instead of six. */
export const messages = proxyLocalActivities<
  Pick<ControlActivities, 'requestAdmission' | 'releaseAdmission' | 'findEnded'>
>({
  startToCloseTimeout: '10s',
  retry: { initialInterval: '500ms', maximumInterval: '10s', nonRetryableErrorTypes },
});

/** A validation that can't be done within a minute is answered, not repeated for ever. */
export const validation = proxyActivities<ControlActivities>({
  taskQueue: CONTROL_QUEUE,
  startToCloseTimeout: '30s',
  retry: { initialInterval: '500ms', maximumAttempts: 3, nonRetryableErrorTypes },
});

/**
 * Steps of a hand-over, as long as they take: for some a large collection has to be read. An attempt that does not come
 * back is followed by another at once, which takes it over.
 */
export const steps = proxyActivities<ControlActivities>({
  taskQueue: CONTROL_QUEUE,
  startToCloseTimeout: '30d',
  heartbeatTimeout,
  retry: { initialInterval: '200ms', maximumInterval: '5s', maximumAttempts: 30, nonRetryableErrorTypes },
});

/**
 * Looks at a whole keyspace. What hangs is given up and tried again, within minutes, and then given up for good: others wait for it.
 * What was forecast before is kept.
 */
export const looking = proxyActivities<ControlActivities>({
  taskQueue: CONTROL_QUEUE,
  startToCloseTimeout: '10m',
  scheduleToCloseTimeout: '1h',
  heartbeatTimeout,
  retry: { initialInterval: '200ms', maximumInterval: '5s', maximumAttempts: 30, nonRetryableErrorTypes },
});

/** Watches a target, for as long as it takes, and through any outage of the catalog. */
export const watching = proxyActivities<ControlActivities>({
  taskQueue: CONTROL_QUEUE,
  startToCloseTimeout: '30d',
  heartbeatTimeout,
  retry: { initialInterval: '200ms', maximumInterval: '5s', nonRetryableErrorTypes },
});

/** Clean-up goes on until it is done: while a server is away the migration waits, and says what for. */
export const cleanUp = proxyActivities<ControlActivities>({
  taskQueue: CONTROL_QUEUE,
  startToCloseTimeout: '1d',
  heartbeatTimeout,
  retry: { initialInterval: '500ms', maximumInterval: '15s', nonRetryableErrorTypes: ['Refused'] },
});

const bulk = {
  taskQueue: DATA_QUEUE,
  // What comes next relies on it that nothing is being copied any more.
  cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
  startToCloseTimeout: '30d',
  heartbeatTimeout,
} as const;

/** Bulk work: as long as it takes; each attempt goes on where the last one stood. */
export const data = proxyActivities<DataActivities>({
  ...bulk,
  retry: { initialInterval: '200ms', maximumInterval: '5s', nonRetryableErrorTypes },
});

/** Replication of a migration that rolls back: nothing is gained by giving up, and attempts leave nothing in the history. */
export const persistent = proxyActivities<DataActivities>({
  ...bulk,
  retry: { initialInterval: '1s', maximumInterval: '30s' },
});
