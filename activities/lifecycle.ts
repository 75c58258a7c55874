import { WorkflowNotFoundError } from '@temporalio/client';
import { DroverError } from '../domain/errors.js';
import type { Partition } from '../domain/partition.js';
import { inspect, replaceByClosed } from '../store/fenced-collection.js';
import type { AdmissionInput, MigrationPhase, PlaceRequest } from '../workflows/messages.js';
import { ADMISSION_WORKFLOW_ID, CONTROL_QUEUE } from '../workflows/messages.js';
import { ROUTERS_FOLLOW_MS, routersAcknowledge } from './boundary-step.js';
import type { ClaimRequest } from './claim.js';
import { claimMove } from './claim.js';
import type { Dependencies, Move, MovePlan } from './dependencies.js';
import { withHeartbeat } from './heartbeat.js';
import type { MoveContext } from './move-context.js';
import { openMove } from './move-context.js';

const PRIORITY_BY_HAND = 10;
const PRIORITY_BY_FORECAST = 0;

/** Activities at the two ends of a move: claim, admission, the end of the old copy or of the new one, the record. */
export function createLifecycleActivities(dependencies: Dependencies) {
  const { catalog, temporal } = dependencies;

  /**
   * Puts a closed empty collection in the place of one side's copy. The temporary collection is this attempt's gate: an
   * older attempt that wakes up later finds its own gone, and can't rename anything over what is there by then.
   */
  async function closeCopy(context: MoveContext, partition: Partition, node: string): Promise<void> {
    const { migration, attempt } = partition.handover!;
    await replaceByClosed(
      context.db(node),
      partition.collection,
      context.keyField,
      `${migration}-${attempt}`,
      async () => {
        const now = await catalog.partitions.get(partition.keyspace, partition.name);
        if (now.handover?.migration !== migration || now.handover.attempt !== attempt) {
          throw new DroverError('Superseded', `${partition.id}: another attempt has taken over`);
        }
      },
    );
  }

  async function removeTraces(context: MoveContext): Promise<void> {
    for (const direction of ['forward', 'back'] as const) {
      await context.checkpoint(direction).remove();
      await context.markers(direction).removeAll(context.move.migration);
    }
  }

  return {
    claim: (request: ClaimRequest): Promise<MovePlan> => claimMove(dependencies, request),

    /** Asks the admission workflow for a place; starts that workflow when there is none. Repeating it is harmless. */
    requestAdmission: async (
      request: Omit<PlaceRequest, 'limits' | 'priority'> & { byForecast: boolean },
    ): Promise<void> => {
      const limits = { total: dependencies.migration.concurrency, perNode: dependencies.migration.perNode };
      const place = (workflowId: string, runId: string, nodes: readonly string[]): PlaceRequest => ({
        workflowId,
        runId,
        nodes,
        priority: request.byForecast ? PRIORITY_BY_FORECAST : PRIORITY_BY_HAND,
        limits,
      });
      // A new admission workflow has to know who moves already.
      const running = await catalog.migrations.list({ state: 'running' });
      const input: AdmissionInput = {
        holders: running
          .filter(({ phase }) => phase !== 'validate' && phase !== 'admission')
          .map((migration) => place(migration.workflowId, migration.runId, [migration.source, migration.target])),
      };
      await temporal.workflow.signalWithStart('admissionWorkflow', {
        workflowId: ADMISSION_WORKFLOW_ID,
        taskQueue: CONTROL_QUEUE,
        args: [input],
        signal: 'requestPlace',
        signalArgs: [place(request.workflowId, request.runId, request.nodes)],
      });
    },

    /** Idempotent; an admission workflow that is gone holds no place. */
    releaseAdmission: async (who: { readonly workflowId: string; readonly runId: string }): Promise<void> => {
      try {
        await temporal.workflow.getHandle(ADMISSION_WORKFLOW_ID).signal('releasePlace', who);
      } catch (error) {
        if (!(error instanceof WorkflowNotFoundError)) throw error;
      }
    },

    /** Which of these workflows have ended, however: their places are free. */
    findEnded: async (
      places: readonly { readonly workflowId: string; readonly runId: string }[],
    ): Promise<readonly { readonly workflowId: string; readonly runId: string }[]> => {
      const ended = await Promise.all(
        places.map(async ({ workflowId, runId }) => {
          try {
            const { status } = await temporal.workflow.getHandle(workflowId, runId).describe();
            return status.name !== 'RUNNING';
          } catch (error) {
            if (error instanceof WorkflowNotFoundError) return true;
            throw error;
          }
        }),
      );
      return places.filter((_, i) => ended[i]);
    },

    recordPhase: async ({
      migration,
      phase,
    }: {
      readonly migration: string;
      readonly phase: MigrationPhase;
    }): Promise<void> => {
      await catalog.migrations.update(migration, { $set: { phase } });
    },

    /** The move's point of no return: the target is the owner in the catalog, and no live router uses the source. */
    retire: (move: Move): Promise<void> =>
      withHeartbeat(async () => {
        const context = await openMove(dependencies, move);
        const { partition } = context;
        const retiring =
          partition.handover?.state.kind === 'retiring'
            ? partition
            : await catalog.partitions.advance(partition, { kind: 'retire', at: dependencies.now() });
        await routersAcknowledge(dependencies, retiring, ROUTERS_FOLLOW_MS);
      }),

    /** After `retire`, with replication stopped: the source's copy goes, and the move is over. */
    removeOldCopy: (move: Move): Promise<void> =>
      withHeartbeat(async () => {
        if (await isOver(move)) return;
        const context = await openMove(dependencies, move);
        const taken = await catalog.partitions.advance(context.partition, { kind: 'takeOver' });
        await closeCopy(context, taken, move.source);
        await removeTraces(context);
        await catalog.migrations.update(move.migration, {
          $set: { state: 'completed', phase: 'completed', weight: 100, endedAt: new Date() },
        });
        await catalog.partitions.advance(taken, { kind: 'release' });
      }),

    /** With everything handed back: takes the target out of the route. */
    withdrawTarget: (move: Move): Promise<void> =>
      withHeartbeat(async () => {
        const { partition } = await openMove(dependencies, move);
        if (partition.route.target === null) return;
        const withdrawn = await catalog.partitions.advance(partition, { kind: 'withdraw' });
        await routersAcknowledge(dependencies, withdrawn, ROUTERS_FOLLOW_MS);
      }),

    /** After `withdrawTarget`, with replication stopped: the copy goes. */
    removeShadow: (move: Move): Promise<void> =>
      withHeartbeat(async () => {
        const context = await openMove(dependencies, move);
        const taken = await catalog.partitions.advance(context.partition, { kind: 'takeOver' });
        // Where the move was given up before it made a copy, there is nothing to put a closed collection in place of.
        const { exists } = await inspect(context.db(move.target), taken.collection);
        if (exists) await closeCopy(context, taken, move.target);
        await removeTraces(context);
      }),

    /** Gives the partition free, as the last step of a rollback. */
    releaseClaim: async (
      move: Pick<Move, 'migration' | 'keyspace' | 'partition'> & { readonly reason: string },
    ): Promise<void> => {
      if (await isOver(move)) return;
      const { reason } = move;
      const partition = await catalog.partitions.get(move.keyspace, move.partition);
      await catalog.migrations.update(move.migration, {
        $set: { state: 'rolledBack', phase: 'rolledBack', weight: 0, endedAt: new Date(), error: reason },
      });
      await catalog.partitions.advance(partition, { kind: 'release' });
    },
  };

  async function isOver({
    keyspace,
    partition,
    migration,
  }: Pick<Move, 'migration' | 'keyspace' | 'partition'>): Promise<boolean> {
    return (await catalog.partitions.get(keyspace, partition)).handover?.migration !== migration;
  }
}

export type LifecycleActivities = ReturnType<typeof createLifecycleActivities>;
