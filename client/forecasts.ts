import { WorkflowFailedError } from '@temporalio/client';
import { nanoid } from 'nanoid';
import type { ForecastInput, ForecastSummary } from '../workflows/messages.js';
import { CONTROL_QUEUE } from '../workflows/messages.js';
import type { ControlContext } from './context.js';
import { answered, NO_WORKER } from './worker-answer.js';
import { failureOf } from './workflow-failure.js';

export interface ForecastRequest {
  /** Only this keyspace; all of them when absent. */
  readonly keyspace?: string;
  /** How long to wait for the result, milliseconds. Default: ten minutes. */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 10 * 60_000;

/**
 * Makes forecasts and decides on them now, as the schedule does; what the mode allows is done.
 *
 * @throws DroverError `InvalidRequest` when there is no such keyspace, `TimedOut`
 */
export const runForecast = (context: ControlContext, request: ForecastRequest = {}): Promise<ForecastSummary> =>
  forecast(context, request, {});

/**
 * Says what would be decided now. Records nothing, starts nothing.
 *
 * @throws DroverError `InvalidRequest` when there is no such keyspace, `TimedOut`
 */
export const plan = (context: ControlContext, request: ForecastRequest = {}): Promise<ForecastSummary> =>
  forecast(context, request, { dryRun: true });

async function forecast(
  context: ControlContext,
  { keyspace, timeoutMs = TIMEOUT_MS }: ForecastRequest,
  input: ForecastInput,
): Promise<ForecastSummary> {
  if (keyspace !== undefined) await context.catalog.keyspaces.get(keyspace);
  const temporal = await context.temporal();
  const workflowId = `${input.dryRun === true ? 'plan' : 'forecast'}/${nanoid(10)}`;
  const handle = await temporal.workflow.start('forecastWorkflow', {
    workflowId,
    taskQueue: CONTROL_QUEUE,
    args: [{ ...input, ...(keyspace === undefined ? {} : { keyspace }) }],
  });
  try {
    const late = `workflow ${workflowId} has not ended in ${Math.round(timeoutMs / 1000)} s and goes on; if it has not begun, ${NO_WORKER}`;
    return await answered(temporal, async () => (await handle.result()) as ForecastSummary, late, timeoutMs);
  } catch (error) {
    if (error instanceof WorkflowFailedError) throw failureOf(error.cause);
    throw error;
  }
}
