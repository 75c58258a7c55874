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
  const state: { answer?: Answer; outcome?: string } = {};
  const answered = (update: UpdateDefinition<string, [DecisionRequest | undefined]>, kind: Answer['kind']) => {
    const handler = async (request: DecisionRequest | undefined): Promise<string> => {
      state.answer = {
        kind,
        by: request?.by ?? 'unknown',
        ...(request?.reason === undefined ? {} : { reason: request.reason }),
      };
      await condition(() => state.outcome !== undefined);
      return state.outcome!;
    };
    const validator = (_request: DecisionRequest | undefined) => {
      if (state.answer !== undefined || state.outcome !== undefined) {
        throw ApplicationFailure.nonRetryable(
          `the decision is already ${state.answer?.kind ?? state.outcome}`,
          'InvalidRequest',
        );
      }
    };
    setHandler(update, handler, { validator });
  };
  answered(approveDecision, 'approved');
  answered(rejectDecision, 'rejected');
  setCurrentDetails(
    `**${migration.keyspace} ${migration.partition}** to ${migration.target}? Waits for \`approve\` or \`reject\`.\n\n${migration.reason ?? ''}`,
  );

  await condition(() => state.answer !== undefined, expireAfterMs);
  const outcome = await settle(state.answer, decision, migration);
  state.outcome = outcome;
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
