import type { UpdateDefinition } from '@temporalio/common';
import {
  allHandlersFinished,
  ApplicationFailure,
  condition,
  setCurrentDetails,
  setHandler,
} from '@temporalio/workflow';
import { control } from './activity-proxies.js';
import type { DecisionInput, DecisionRequest } from './messages.js';
import { approveDecision, rejectDecision } from './messages.js';
import { startMigration } from './start-migration.js';

type Answer = { readonly kind: 'approved' | 'rejected'; readonly by: string; readonly reason?: string };

/**
 * A decision that waits: for `approve`, which starts the migration, for `reject`, or until it expires.
 *
 * @returns the id of the migration's workflow, or what became of the decision
 */
export async function decisionWorkflow({ decision, migration, expireAfterMs }: DecisionInput): Promise<string> {
  let answer: Answer | undefined;
  let outcome: string | undefined;
  const answered = (update: UpdateDefinition<string, [DecisionRequest | undefined]>, kind: Answer['kind']) => {
    const handler = async (request: DecisionRequest | undefined): Promise<string> => {
      answer = {
        kind,
        by: request?.by ?? 'unknown',
        ...(request?.reason === undefined ? {} : { reason: request.reason }),
      };
      await condition(() => outcome !== undefined);
      return outcome!;
    };
    const validator = (_request: DecisionRequest | undefined) => {
      if (answer !== undefined || outcome !== undefined) {
        throw ApplicationFailure.nonRetryable(`the decision is already ${answer?.kind ?? outcome}`, 'InvalidRequest');
      }
    };
    setHandler(update, handler, { validator });
  };
  answered(approveDecision, 'approved');
  answered(rejectDecision, 'rejected');
  setCurrentDetails(
    `**${migration.keyspace} ${migration.partition}** to ${migration.target}? Waits for \`approve\` or \`reject\`.\n\n${migration.reason ?? ''}`,
  );

  await condition(() => answer !== undefined, expireAfterMs);
  outcome = await settle(answer, decision, migration);
  setCurrentDetails(`${migration.keyspace} ${migration.partition} to ${migration.target}: ${outcome}`);
  await condition(allHandlersFinished);
  return outcome;
}

async function settle(answer: Answer | undefined, id: string, migration: DecisionInput['migration']): Promise<string> {
  if (answer === undefined) {
    await control.recordDecision({ id, state: 'expired', note: 'nobody answered in time' });
    return 'expired';
  }
  const { kind, by, reason } = answer;
  const note = reason === undefined ? {} : { note: reason };
  await control.recordDecision({ id, state: kind, by, ...note });
  if (kind === 'rejected') return kind;
  const started = await startMigration({ ...migration, requestedBy: by });
  if ('workflowId' in started) return started.workflowId;
  await control.recordDecision({ id, state: 'refused', by, note: started.refused });
  return started.refused;
}
