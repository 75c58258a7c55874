import { WorkflowNotFoundError } from '@temporalio/client';
import { removeOldCopy, removeShadow, retire, withdraw } from '../domain/ending.js';
import type { Partition } from '../domain/partition.js';
import { expiringNodes, isSharedOn } from '../domain/partition.js';
import type { Step } from '../domain/step.js';
import { advance, run } from '../domain/step.js';
import type { Catalog } from '../store/catalog/catalog.js';
import type { AdmissionInput, PlaceRequest } from '../workflows/messages.js';
import { ADMISSION_WORKFLOW_ID, CONTROL_QUEUE } from '../workflows/messages.js';
import type { ClaimRequest } from './claim.js';
import { claimMove } from './claim.js';
import { letExpire } from './expiry.js';
import type { Dependencies, Move, MovePlan } from './dependencies.js';
import { withHeartbeat } from './heartbeat.js';
import type { MoveContext } from './move-context.js';
import { openMove } from './move-context.js';
import { handoverWorld } from './world.js';

export interface AdoptRequest {
  readonly migration: string;
  readonly workflowId: string;
  readonly runId: string;
}

export interface AdoptedMove {
  readonly move: Move;
  /** It can only be completed any more. */
  readonly retiring: boolean;
  /** Whether replication has to run so that the partition can be handed back. */
  readonly replicate: boolean;
}

const PRIORITY_BY_HAND = 10;
const PRIORITY_BY_FORECAST = 0;

/** Activities at the two ends of a move: claim, admission, the end of the old copy or of the new one, the record. */
export function createLifecycleActivities(dependencies: Dependencies) {
  const { catalog, temporal } = dependencies;

  /** Runs a part of the protocol on the partition as it stands in the catalog. */
  async function onPartition(
    move: Move,
    step: (partition: Partition) => Step,
    signal?: AbortSignal,
  ): Promise<Partition> {
    const context = await openMove(dependencies, move, signal);
    return run(step(context.partition), handoverWorld(dependencies, context));
  }

  return {
    claim: (request: ClaimRequest): Promise<MovePlan> => claimMove(dependencies, request),

    /**
     * For the workflow that ends a migration which its own workflow has left: what there is to end. Null when the
     * migration holds nothing any more; its record is closed then.
     */
    adoptMove: async ({ migration, workflowId, runId }: AdoptRequest): Promise<AdoptedMove | null> => {
      const record = await catalog.migrations.find(migration);
      if (record?.state !== 'running') return null;
      const move = { migration, keyspace: record.keyspace, partition: record.partition };
      const { handover, route, box } = await catalog.partitions.get(move.keyspace, move.partition);
      if (handover?.migration !== migration) {
        await closeRecord(catalog, migration, 'it was ended before it had begun');
        return null;
      }
      await catalog.migrations.update(migration, { $set: { workflowId, runId, phase: 'rollback' } });
      const retiring = handover.state.kind === 'retiring';
      return {
        move: { ...move, source: record.source, target: record.target },
        retiring,
        // Only then has the source to catch up with something before the partition can go back to it.
        replicate: !retiring && (route.boundary !== box[0].low || handover.state.kind !== 'idle'),
      };
    },

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
      const ended = await Promise.all(places.map((place) => hasEnded(temporal, place)));
      return places.filter((_, i) => ended[i]);
    },

    /** The move's point of no return: the target is the owner in the catalog, and no router uses the source. */
    retire: (move: Move): Promise<void> =>
      withHeartbeat(async () => {
        await unlessOver(move, () => onPartition(move, (partition) => retire(partition, dependencies.now())));
      }),

    /** After `retire`, with replication stopped: the source's copy goes, and the move is over. */
    removeOldCopy: (move: Move): Promise<void> =>
      withHeartbeat(async (_report, signal) => {
        await unlessOver(move, async () => completeMove(dependencies, await openMove(dependencies, move, signal)));
      }),

    /** With everything handed back: takes the target out of the route. */
    withdrawTarget: (move: Move): Promise<void> =>
      withHeartbeat(async () => {
        const withdrawn = await onPartition(move, withdraw);
        await letExpire(dependencies, await openMove(dependencies, move), expiringNodes(withdrawn));
      }),

    /** After `withdrawTarget`, with replication stopped: the copy goes. */
    removeShadow: (move: Move): Promise<void> =>
      withHeartbeat(async (_report, signal) => {
        const removed = await onPartition(move, removeShadow, signal);
        if (!isSharedOn(removed, move.target)) return;
        // Others are in the collection that it has left.
        const nodes = [...expiringNodes(removed), move.target];
        await letExpire(dependencies, await openMove(dependencies, move), nodes, signal);
      }),

    /** Gives the partition free, as the last step of a rollback. */
    releaseClaim: async (
      move: Pick<Move, 'migration' | 'keyspace' | 'partition'> & { readonly reason: string },
    ): Promise<void> => {
      // The record last: one that is running without a claim is closed by whoever finds it, a claim without one is not.
      const partition = await catalog.partitions.get(move.keyspace, move.partition);
      if (partition.handover?.migration === move.migration) {
        await catalog.partitions.advance(partition, { kind: 'release' });
      }
      await closeRecord(catalog, move.migration, move.reason);
    },
  };

  /** A janitor may complete a move that is being retired, also while this is under way. */
  async function unlessOver(move: Move, work: () => Promise<unknown>): Promise<void> {
    if (await isOver(move)) return;
    try {
      await work();
    } catch (error) {
      if (!(await isOver(move))) throw error;
    }
  }

  async function isOver({
    keyspace,
    partition,
    migration,
  }: Pick<Move, 'migration' | 'keyspace' | 'partition'>): Promise<boolean> {
    return (await catalog.partitions.get(keyspace, partition)).handover?.migration !== migration;
  }
}

/** Whether a run of a workflow is over, however it ended. */
export async function hasEnded(
  temporal: Dependencies['temporal'],
  { workflowId, runId }: { readonly workflowId: string; readonly runId: string },
): Promise<boolean> {
  try {
    return (await temporal.workflow.getHandle(workflowId, runId).describe()).status.name !== 'RUNNING';
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return true;
    throw error;
  }
}

/** With what somebody has to look at, where that was noted before. */
async function closeRecord(catalog: Catalog, migration: string, reason: string): Promise<void> {
  const noted = (await catalog.migrations.find(migration))?.error;
  await catalog.migrations.end(migration, {
    state: 'rolledBack',
    phase: 'rolledBack',
    weight: 0,
    endedAt: new Date(),
    error: noted === undefined || reason.includes(noted) ? reason : `${reason}; ${noted}`,
  });
}

/** The last steps of a retired migration: also the janitor's, when nobody else takes them. */
export async function completeMove(dependencies: Dependencies, context: MoveContext): Promise<void> {
  const { catalog } = dependencies;
  const { migration } = context.move;
  await letExpire(dependencies, context, expiringNodes(context.partition));
  const world = handoverWorld(dependencies, context);
  const removed = await run(removeOldCopy(context.partition), world);
  await catalog.migrations.end(migration, {
    state: 'completed',
    phase: 'completed',
    weight: 100,
    endedAt: new Date(),
  });
  await run(advance(removed, { kind: 'release' }), world);
}

export type LifecycleActivities = ReturnType<typeof createLifecycleActivities>;
