import type { Client, ScheduleOptions } from '@temporalio/client';
import { ScheduleAlreadyRunning, ScheduleOverlapPolicy } from '@temporalio/client';
import { CONTROL_QUEUE, FORECAST_SCHEDULE_ID } from '../workflows/messages.js';

/**
 * Makes the schedule of forecasts, or brings its period up to date; a paused one stays paused. Several workers may do it at once.
 *
 * @param everyMs real time between two forecasts, milliseconds
 */
export async function ensureForecastSchedule(client: Client, { everyMs }: { readonly everyMs: number }): Promise<void> {
  const schedule = {
    spec: { intervals: [{ every: Math.max(1_000, Math.round(everyMs)) }] },
    action: {
      type: 'startWorkflow',
      workflowType: 'forecastWorkflow',
      workflowId: 'forecast',
      taskQueue: CONTROL_QUEUE,
      args: [{}],
      staticSummary: 'Forecasts, and the moves that follow from them',
    },
    // One forecast at a time; those missed while Temporal or the workers were away are not made up for.
    policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: '1m' },
  } satisfies Omit<ScheduleOptions, 'scheduleId'>;
  try {
    await client.schedule.create({ scheduleId: FORECAST_SCHEDULE_ID, ...schedule });
  } catch (error) {
    if (!(error instanceof ScheduleAlreadyRunning)) throw error;
    await client.schedule.getHandle(FORECAST_SCHEDULE_ID).update(({ state }) => ({ ...schedule, state }));
  }
}
