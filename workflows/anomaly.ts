import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import { ParentClosePolicy, setCurrentDetails, startChild } from '@temporalio/workflow';
import { control, looking } from './activity-proxies.js';
import { forecastWorkflow } from './forecast.js';
import type { AnomalySummary } from './messages.js';
import { CONTROL_QUEUE, reevaluationWorkflowId, searchAttributes } from './messages.js';

/**
 * Looks whether the load is as it was expected, once per window of access history, and has the partitions where it is not evaluated
 * anew at once: forecast and planned, without waiting for the schedule of forecasts.
 *
 * One re-evaluation of the same partitions in the same window, by its workflow id, however many look at the same time.
 */
export async function anomalyWorkflow(): Promise<AnomalySummary> {
  const { found, reevaluations, note } = await looking.findAnomalies();
  const started: { keyspace: string; partitions: readonly string[]; workflowId: string }[] = [];
  for (const { keyspace, window, partitions, digest, reason, anomalies } of reevaluations) {
    const workflowId = reevaluationWorkflowId(keyspace, window, digest);
    try {
      await startChild(forecastWorkflow, {
        workflowId,
        taskQueue: CONTROL_QUEUE,
        parentClosePolicy: ParentClosePolicy.ABANDON,
        args: [{ keyspace, partitions }],
        typedSearchAttributes: [{ key: searchAttributes.keyspace, value: keyspace }],
        staticSummary: `${keyspace}: ${partitions.length === 1 ? partitions[0] : `${partitions.length} partitions`} evaluated anew`,
        staticDetails: reason,
      });
    } catch (error) {
      // Somebody else has found the same: these partitions are being evaluated.
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    }
    await control.recordReevaluation({ anomalies, workflowId });
    started.push({ keyspace, partitions, workflowId });
  }
  setCurrentDetails(
    [
      `${found} anomalies found`,
      ...started.map(({ keyspace, partitions }) => `- ${keyspace}: ${partitions.join(', ')}`),
    ].join('\n'),
  );
  return { found, reevaluations: started, ...(note === undefined ? {} : { note }) };
}
