import {
  ApplicationFailure,
  CancellationScope,
  condition,
  isCancellation,
  setHandler,
  uuid4,
  workflowInfo,
} from '@temporalio/workflow';
import type { ClaimRequest, Move, MovePlan } from '../activities/index.js';
import { cleanUp, data, messages, steps, validation, watching } from './activity-proxies.js';
import { describeFailure, isRefusal } from './failure.js';
import { Followers } from './followers.js';
import type { MigrationInput, MigrationResult } from './messages.js';
import { admitted, MigrationPhase } from './messages.js';
import { Saga } from './saga.js';
import { Steering } from './steering.js';

/**
 * Moves one partition to another node while applications go on reading and writing.
 *
 *     validate  -> admission -> shadow    -> backfill -> replicate -> verify
 *     -> (approval) -> cutover by weights -> soak     -> retire
 *
 * Every step registers what undoes it before it runs. Until `retire` begins, a failure, `abort`, `rollback` or a
 * cancelled workflow hands everything back to the source and removes the copy; from then on the move is completed,
 * whatever happens. No document, token or batch is in this history: the steps keep their state in MongoDB.
 */
export async function migrationWorkflow(input: MigrationInput): Promise<MigrationResult> {
  const steering = new Steering(input);
  const { workflowId, runId } = workflowInfo();
  const move = await claim({ input, migration: uuid4(), workflowId, runId });
  steering.begin(move);

  const saga = new Saga();
  saga.compensateWith(() =>
    cleanUp.releaseClaim({ ...move, reason: steering.ending?.reason ?? 'the workflow was cancelled' }),
  );
  const followers = new Followers(move, (error) => steering.stop(`replication failed: ${describeFailure(error)}`));

  try {
    await steering.run(async () => {
      await admission(steering, move, saga, input);
      await copy(steering, move, saga, followers);
      await cutOver(steering, move, saga, followers);
      await soak(steering, move);
    });
  } catch (error) {
    if (!isCancellation(error)) steering.stop(describeFailure(error));
    return await rollBack(steering, move, saga, followers, error);
  }
  return await CancellationScope.nonCancellable(() => retire(steering, move, followers));
}

/** Checks the request and takes the partition. What is refused has touched nothing; what fails otherwise is given back. */
async function claim(request: ClaimRequest): Promise<MovePlan> {
  try {
    return await validation.claim(request);
  } catch (error) {
    if (!isRefusal(error)) {
      const { keyspace, partition } = request.input;
      const reason = describeFailure(error);
      await CancellationScope.nonCancellable(() =>
        cleanUp.releaseClaim({ migration: request.migration, keyspace, partition, reason }),
      );
    }
    throw error;
  }
}

/** Waits for a place: so many moves at once, so many per node. */
async function admission(steering: Steering, move: MovePlan, saga: Saga, input: MigrationInput): Promise<void> {
  await steering.enter(MigrationPhase.admission);
  const { workflowId, runId } = workflowInfo();
  let mayGo = false;
  setHandler(admitted, () => {
    mayGo = true;
  });
  saga.compensateWith(() => messages.releaseAdmission({ workflowId, runId }));
  const request = { workflowId, runId, nodes: [move.source, move.target], byForecast: input.decision !== undefined };
  // Asked again now and then: an admission workflow that was terminated has forgotten who waits.
  do await messages.requestAdmission(request);
  while (!(await condition(() => mayGo, '1m')));
}

/** An exact copy that follows the source: made, filled, caught up, compared. */
async function copy(steering: Steering, move: MovePlan, saga: Saga, followers: Followers): Promise<void> {
  const shadow = await phase(steering, move, MigrationPhase.shadow);
  saga.compensateWith(() => cleanUp.removeShadow(move));
  saga.compensateWith(() => followers.stop());
  await data.createShadow(shadow);

  steering.add(await data.backfill(await phase(steering, move, MigrationPhase.backfill)));

  const replicate = await phase(steering, move, MigrationPhase.replicate);
  followers.start('forward');
  await data.catchUp(replicate);

  steering.add(await data.verify(await phase(steering, move, MigrationPhase.verify)));
}

/** Reads and writes go over weight by weight; what the target accepts flows back to the source all the time. */
async function cutOver(steering: Steering, move: MovePlan, saga: Saga, followers: Followers): Promise<void> {
  await steering.approval();
  const cutover = await phase(steering, move, MigrationPhase.cutover);
  followers.start('back');
  saga.compensateWith(() => cleanUp.withdrawTarget(move));
  await steps.publishTarget(cutover);

  saga.compensateWith(() => handBack(steering, move));
  for (;;) {
    await steering.safePoint();
    const weight = steering.nextWeight();
    if (weight === undefined) return;
    const summary = `to ${weight} % of the load`;
    steering.reached(weight, await steps.shiftWeight.executeWithOptions({ summary }, [{ ...move, weight }]));
    if (steering.nextWeight() !== undefined) await watch(steering, move, move.dwellMs, `watching ${weight} %`);
  }
}

/** Stays for a while; when the target serves worse than the source did, everything goes back. */
async function watch(steering: Steering, move: MovePlan, forMs: number, summary: string): Promise<void> {
  if (forMs === 0) return;
  const watched = () => watching.watch.executeWithOptions({ summary }, [{ ...move, forMs }]);
  const { worse } = await steering.staying(forMs, watched);
  if (worse === undefined) return;
  steering.stop(worse);
  throw ApplicationFailure.nonRetryable(worse, 'RolledBack');
}

/** The target has everything, and everything still flows back: time to change one's mind. */
async function soak(steering: Steering, move: MovePlan): Promise<void> {
  await watch(
    steering,
    await phase(steering, move, MigrationPhase.soak),
    move.soakMs,
    'soak: rollback is still possible',
  );
  await steering.safePoint();
}

/** The point of no return, and what comes after it. */
export async function retire(steering: Steering, move: Move, followers: Followers): Promise<MigrationResult> {
  steering.setPhase(MigrationPhase.retire);
  await cleanUp.retire({ ...move, phase: MigrationPhase.retire });
  await followers.stop();
  await cleanUp.removeOldCopy(move);
  await messages.releaseAdmission(workflowInfo());
  steering.setPhase(MigrationPhase.completed);
  const { documents, bytes, pauseMsMax } = steering.progress();
  return { migration: move.migration, outcome: 'completed', documents, bytes, pauseMsMax };
}

/** The source's collection is gone. */
class NoWayBack extends Error {}

/** @throws NoWayBack when the source has nothing any more that a part could be handed back to */
export async function handBack(steering: Steering, move: Move): Promise<void> {
  const step = await cleanUp.shiftWeight({ ...move, weight: 0 });
  if (step.noWayBack !== undefined) throw new NoWayBack(step.noWayBack);
  steering.reached(0, step);
}

/**
 * Everything back to the source, in reverse order of the steps. Where the source's collection is gone while the target owns a part, the
 * only way is on: the target takes the rest over, and that is said as loudly as a failure.
 */
export async function rollBack(
  steering: Steering,
  move: Move,
  saga: Saga,
  followers: Followers,
  error: unknown,
): Promise<MigrationResult> {
  steering.setPhase(MigrationPhase.rollback);
  try {
    await saga.compensate();
  } catch (failure) {
    if (!(failure instanceof NoWayBack)) throw failure;
    await CancellationScope.nonCancellable(async () => {
      for (const direction of ['forward', 'back'] as const) followers.start(direction);
      steering.reached(100, await cleanUp.shiftWeight({ ...move, weight: 100, sourceLost: true }));
      await retire(steering, move, followers);
    });
    throw ApplicationFailure.nonRetryable(`completed instead of rolled back: ${failure.message}`, 'SourceLost');
  }
  steering.setPhase(MigrationPhase.rolledBack);
  const ending = steering.ending;
  if (ending === undefined) throw error; // the workflow itself was cancelled
  if (!ending.asked) throw ApplicationFailure.nonRetryable(`rolled back: ${ending.reason}`, 'RolledBack');
  const { documents, bytes, pauseMsMax } = steering.progress();
  return { migration: move.migration, outcome: 'rolledBack', documents, bytes, pauseMsMax, reason: ending.reason };
}

/** @returns the input of the phase's first activity, which notes in the catalog that it has begun */
async function phase(steering: Steering, move: MovePlan, next: MigrationPhase): Promise<MovePlan> {
  await steering.enter(next);
  return { ...move, phase: next };
}
