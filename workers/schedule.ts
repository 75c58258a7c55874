import type { Client, ScheduleOptions } from '@temporalio/client';
import { ScheduleAlreadyRunning, ScheduleOverlapPolicy } from '@temporalio/client';
import type { Duration } from '@temporalio/common';
import { GRACE_MS } from '../activities/request-history.js';
import { ANOMALY_SCHEDULE_ID, CONTROL_QUEUE, FORECAST_SCHEDULE_ID } from '../workflows/messages.js';

/** Real time between two looks for anomalies is never less, however fast Drover's clock is. */
const LEAST_BETWEEN_LOOKS_MS = 10_000;

/** Windows end where periods do: what is read in these has to have come. */
const AFTER_WINDOW_MS = GRACE_MS + 1_000;

/** What hangs for longer does not keep those from running that come after it; what was found until then is in the catalog. */
const LONGEST_RUN = { forecast: '6h', anomalies: '1h' } as const;

interface Periodic {
  readonly scheduleId: string;
  readonly everyMs: number;
  readonly workflowType: string;
  readonly workflowId: string;
  readonly input: readonly unknown[];
  readonly summary: string;
  readonly longestRun: Duration;
}

/** @param everyMs real time between two forecasts, milliseconds */
export const ensureForecastSchedule = (client: Client, { everyMs }: { readonly everyMs: number }): Promise<void> =>
  ensureSchedule(client, {
    scheduleId: FORECAST_SCHEDULE_ID,
    everyMs,
    workflowType: 'forecastWorkflow',
    workflowId: 'forecast',
    input: [{}],
    summary: 'Forecasts, and the moves that follow from them',
    longestRun: LONGEST_RUN.forecast,
  });

/** @param everyMs real time between two looks, milliseconds */
export const ensureAnomalySchedule = (client: Client, { everyMs }: { readonly everyMs: number }): Promise<void> =>
  ensureSchedule(client, {
    scheduleId: ANOMALY_SCHEDULE_ID,
    everyMs: Math.max(LEAST_BETWEEN_LOOKS_MS, everyMs),
    workflowType: 'anomalyWorkflow',
    workflowId: 'anomalies',
    input: [],
    summary: 'Looks whether the load is as expected; what is not is evaluated anew',
    longestRun: LONGEST_RUN.anomalies,
  });

/** Makes a schedule, or brings its period up to date; a paused one stays paused. Several workers may do it at once. */
async function ensureSchedule(
  client: Client,
  { scheduleId, everyMs, workflowType, workflowId, input, summary, longestRun }: Periodic,
): Promise<void> {
  const every = Math.max(1_000, Math.round(everyMs));
  const schedule = {
    spec: { intervals: [{ every, offset: Math.min(AFTER_WINDOW_MS, Math.floor(every / 2)) }] },
    action: {
      type: 'startWorkflow',
      workflowType,
      workflowId,
      taskQueue: CONTROL_QUEUE,
      args: [...input],
      staticSummary: summary,
      workflowRunTimeout: longestRun,
    },
    // One at a time; those missed while Temporal or the workers were away are not made up for.
    policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: '1m' },
  } satisfies Omit<ScheduleOptions, 'scheduleId'>;
  try {
    await client.schedule.create({ scheduleId, ...schedule });
  } catch (error) {
    if (!(error instanceof ScheduleAlreadyRunning)) throw error;
    await client.schedule.getHandle(scheduleId).update(({ state }) => ({ ...schedule, state }));
  }
}
