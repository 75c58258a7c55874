import { CancellationScope, workflowInfo } from '@temporalio/workflow';
import { cleanUp, control, messages, steps } from './activity-proxies.js';
import { describeFailure } from './failure.js';
import { Followers } from './followers.js';
import type { MigrationResult, RecoveryInput, RepairReport } from './messages.js';
import { handBack, retire, rollBack } from './migration.js';
import { Saga } from './saga.js';
import { Steering } from './steering.js';

const REASON = 'its workflow had ended without finishing it';

/**
 * Ends a migration whose workflow was terminated or has failed: completes it when its old copy was being retired already,
 * and hands everything back to the source otherwise. Every part of it can be repeated and finds what there is.
 */
export async function recoveryWorkflow(input: RecoveryInput): Promise<MigrationResult> {
  const { workflowId, runId } = workflowInfo();
  const steering = new Steering(input);
  const left = await control.adoptMove({ migration: input.migration, workflowId, runId });
  if (left === null) {
    return { migration: input.migration, outcome: 'rolledBack', documents: 0, bytes: 0, pauseMsMax: 0, reason: REASON };
  }
  const { move, retiring, replicate } = left;
  steering.begin({ ...move, weights: [] });
  const followers = new Followers(move, (error) =>
    steering.waitFor(`replication, which fails: ${describeFailure(error)}`),
  );
  if (replicate) followers.start('back');
  if (retiring) return await CancellationScope.nonCancellable(() => retire(steering, move, followers));

  steering.stop(REASON, true);
  const saga = new Saga();
  saga.compensateWith(() => cleanUp.releaseClaim({ ...move, reason: REASON }));
  saga.compensateWith(() => messages.releaseAdmission({ workflowId, runId }));
  saga.compensateWith(() => cleanUp.removeShadow(move));
  saga.compensateWith(() => followers.stop());
  saga.compensateWith(() => cleanUp.withdrawTarget(move));
  saga.compensateWith(() => handBack(steering, move));
  return await rollBack(steering, move, saga, followers, new Error(REASON));
}

/** Clears what is left on the nodes, and has migrations ended that were left; what the janitor does by and by, at once. */
export async function repairWorkflow(): Promise<RepairReport> {
  return await steps.repair();
}
