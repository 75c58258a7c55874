import { WorkflowNotFoundError, WorkflowUpdateFailedError } from '@temporalio/client';
import { DroverError } from '../domain/errors.js';
import type { DecisionDocument, DecisionState } from '../store/catalog/decisions.js';
import type { DecisionRequest } from '../workflows/messages.js';
import * as messages from '../workflows/messages.js';
import { decisionWorkflowId } from '../workflows/messages.js';
import type { ControlContext } from './context.js';
import { answered, NO_WORKER } from './worker-answer.js';
import { failureOf } from './workflow-failure.js';

/** Newest first. */
export const listDecisions = (
  { catalog }: ControlContext,
  filter: { readonly state?: DecisionState; readonly keyspace?: string } = {},
): Promise<DecisionDocument[]> => catalog.decisions.list(filter);

/** @throws DroverError `InvalidRequest` when there is no such decision */
export const showDecision = ({ catalog }: ControlContext, id: string): Promise<DecisionDocument> =>
  catalog.decisions.get(id);

/**
 * Lets a recommended move begin.
 *
 * @returns the decision after it
 * @throws DroverError `InvalidRequest` when there is no such decision, or it does not wait any more
 */
export const approveDecision = (
  context: ControlContext,
  id: string,
  request: DecisionRequest = {},
): Promise<DecisionDocument> => answer(context, id, messages.approveDecision.name, request);

/** @throws DroverError `InvalidRequest` when there is no such decision, or it does not wait any more */
export const rejectDecision = (
  context: ControlContext,
  id: string,
  request: DecisionRequest = {},
): Promise<DecisionDocument> => answer(context, id, messages.rejectDecision.name, request);

async function answer(
  context: ControlContext,
  id: string,
  update: string,
  request: DecisionRequest,
): Promise<DecisionDocument> {
  const decision = await context.catalog.decisions.get(id);
  if (decision.state !== 'recommended') {
    throw new DroverError('InvalidRequest', `decision ${id} does not wait for an answer: it is ${decision.state}`);
  }
  const temporal = await context.temporal();
  const handle = temporal.workflow.getHandle(decisionWorkflowId(id));
  try {
    const late = `decision ${id} was not answered: ${NO_WORKER}`;
    await answered(temporal, () => handle.executeUpdate<string, [DecisionRequest]>(update, { args: [request] }), late);
  } catch (error) {
    if (error instanceof WorkflowUpdateFailedError) throw failureOf(error.cause);
    if (error instanceof WorkflowNotFoundError) {
      throw new DroverError('InvalidRequest', `decision ${id} does not wait for an answer any more`);
    }
    throw error;
  }
  return context.catalog.decisions.get(id);
}
