import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import { ParentClosePolicy, startChild } from '@temporalio/workflow';
import type { MigrationInput } from './messages.js';
import { CONTROL_QUEUE, migrationWorkflowId, searchAttributes } from './messages.js';
import { migrationWorkflow } from './migration.js';

/** Starts a migration that goes on when its parent has ended. One partition has one at a time, by its workflow id. */
export async function startMigration(
  input: MigrationInput,
): Promise<{ readonly workflowId: string } | { readonly refused: string }> {
  const workflowId = migrationWorkflowId(input.keyspace, input.partition);
  try {
    await startChild(migrationWorkflow, {
      workflowId,
      taskQueue: CONTROL_QUEUE,
      parentClosePolicy: ParentClosePolicy.ABANDON,
      args: [input],
      typedSearchAttributes: [
        { key: searchAttributes.keyspace, value: input.keyspace },
        { key: searchAttributes.partition, value: input.partition },
        { key: searchAttributes.target, value: input.target },
      ],
      staticSummary: `${input.keyspace} ${input.partition} to ${input.target}`,
      ...(input.reason === undefined ? {} : { staticDetails: input.reason }),
    });
    return { workflowId };
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) return { refused: 'the partition is already moving' };
    throw error;
  }
}
