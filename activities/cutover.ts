import { makeGates, moveBoundary } from '../domain/boundary-step.js';
import { DroverError } from '../domain/errors.js';
import { tokensOf } from '../domain/partition.js';
import type { World } from '../domain/step.js';
import { run } from '../domain/step.js';
import type { TokenLoad } from '../domain/weights.js';
import { boundaryFor, weightAt } from '../domain/weights.js';
import { operationTime } from '../store/change-log.js';
import { sampleTokens } from '../store/sample.js';
import type { Dependencies, Move } from './dependencies.js';
import { withHeartbeat } from './heartbeat.js';
import type { MoveContext } from './move-context.js';
import { openMove } from './move-context.js';
import { handoverWorld, ping } from './world.js';

/** Fewer requests than this say less about where the load lies than the documents do. */
const ENOUGH_REQUESTS = 100;
/** How far back the load inside of a partition is looked at, in Drover's time. */
const LOAD_HISTORY_MS = 24 * 3600 * 1000;

export interface ShiftResult {
  /** The target's share of the load, in percent, now. */
  readonly weight: number;
  /** False when the step would have moved nothing and was left out. */
  readonly moved: boolean;
  readonly pauseMs: number;
}

/** Activities that hand a partition over. */
export function createCutoverActivities(dependencies: Dependencies) {
  const { catalog } = dependencies;

  /** Where in the partition its load lies: by requests, and where too few are known, by a sample of the documents. */
  async function loads(context: MoveContext): Promise<readonly TokenLoad[]> {
    const { move } = context;
    const since = dependencies.now() - LOAD_HISTORY_MS;
    const requests = await catalog.access.tokenLoads(move.keyspace, move.partition, since);
    if (requests.reduce((sum, { load }) => sum + load, 0) >= ENOUGH_REQUESTS) return requests;
    return sampleTokens(context.db(move.source).collection(context.partition.collection), context.fence.keyField);
  }

  return {
    /**
     * The position from which reverse replication will start, as nothing of the target's own can be before it; and the
     * gates of the steps to come, for which the source's collection is read once.
     */
    prepareCutover: (move: Move): Promise<void> =>
      withHeartbeat(async () => {
        const context = await openMove(dependencies, move);
        const startAt = await operationTime(context.db(move.target));
        await context.checkpoint('back').create(tokensOf(context.partition), startAt);
        const { partition } = context;
        if (partition.gates.length === 0) await run(makeGates(partition), handoverWorld(dependencies, context));
      }),

    /**
     * Rollback is proven before it is needed: a marker written at the target has to come back to the source. Only then
     * is the target named in the route, where it still owns nothing.
     */
    publishTarget: (move: Move): Promise<void> =>
      withHeartbeat(async () => {
        const context = await openMove(dependencies, move);
        if (!(await ping(context, 'back', 30_000))) {
          throw new DroverError(
            'StepUndone',
            `a marker written on ${move.target} did not come back to ${move.source} in 30 s`,
          );
        }
        // Whether routers know the route is asked before each step, when it matters.
        await catalog.partitions.advance(context.partition, { kind: 'publish' });
      }),

    /** Hands over what `weight` percent of the load still lack; 0 hands everything back. */
    shiftWeight: (move: Move & { readonly weight: number }): Promise<ShiftResult> =>
      withHeartbeat(async () => {
        const context = await openMove(dependencies, move);
        const { partition } = context;
        const tokens = tokensOf(partition);
        const load = await loads(context);
        const wanted = boundaryFor(move.weight, tokens, load);
        // The load may have shifted since the last weight: what the target has, it keeps.
        const boundary = move.weight > 0 && wanted < partition.route.boundary ? partition.route.boundary : wanted;
        const before = partition.route.boundary;
        const pause = new Pause();
        const world = pause.watch(handoverWorld(dependencies, context));
        const after = await run(moveBoundary(partition, boundary), world);
        const pauseMs = pause.ms;
        const weight = Math.round(weightAt(boundary, tokens, load) * 100) / 100;
        const moved = before !== boundary;
        if (moved) {
          await catalog.migrations.addStep(move.migration, {
            direction: boundary > before ? 'forward' : 'back',
            weight,
            epoch: after.epoch,
            pauseMs,
            at: new Date(),
          });
        }
        return { weight, moved, pauseMs };
      }),
  };
}

/** How long tokens could not be written: from the closing of the interval in the catalog until its new owner is named. */
class Pause {
  ms = 0;
  private began = 0;

  watch(world: World): World {
    return {
      ...world,
      advance: async (effect) => {
        if (effect.event.kind === 'begin') this.began = performance.now();
        const after = await world.advance(effect);
        if (effect.event.kind === 'settle') this.ms = performance.now() - this.began;
        return after;
      },
    };
  }
}

export type CutoverActivities = ReturnType<typeof createCutoverActivities>;
