import { setTimeout as delay } from 'node:timers/promises';
import { Context } from '@temporalio/activity';
import { makeGates, moveBoundary } from '../domain/boundary-step.js';
import { DroverError } from '../domain/errors.js';
import type { Direction, Partition } from '../domain/partition.js';
import { expiringNodes, partitionId, tokensOf } from '../domain/partition.js';
import type { World } from '../domain/step.js';
import { run } from '../domain/step.js';
import { contains } from '../domain/token.js';
import type { TokenLoad } from '../domain/weights.js';
import { boundaryFor, weightAt } from '../domain/weights.js';
import { worse } from '../domain/watch.js';
import { sampleTokens } from '../store/sample.js';
import { followDefinition } from './definition.js';
import type { Dependencies, Move, MovePlan } from './dependencies.js';
import { letExpire } from './expiry.js';
import { withHeartbeat } from './heartbeat.js';
import { fenceAnew, isTargetLost, noWayBack } from './lost-collection.js';
import type { MoveContext } from './move-context.js';
import { openMove } from './move-context.js';
import { refuseDirectWriters } from './shared-collection.js';
import { handoverWorld, ping } from './world.js';

/** Fewer requests than this say less about where the load lies than the documents do. */
const ENOUGH_REQUESTS = 100;
/** Documents looked at in a collection of which the partition is a part. */
const SHARED_SAMPLE = 10_000;
/** How far back the load inside of a partition is looked at, in Drover's time. */
const LOAD_HISTORY_MS = 24 * 3600 * 1000;
/** While the target is watched. */
const LOOK_MS = 1_000;
const PING_EVERY_MS = 5_000;
const COMPARE_MS = 10_000;
/** Between two looks when the time is over, and the last comparison is not. */
const AT_THE_END_MS = 100;
/** Requests held by a boundary step are recorded within this time after it. */
const AFTER_STEP_MS = 1_500;
/** What the source did in so long before is what the target is compared with, in Drover's time. */
const COMPARED_MS = 10 * 60 * 1000;

export interface ShiftResult {
  /** The target's share of the load, in percent, now. */
  readonly weight: number;
  /** False when the step would have moved nothing and was left out. */
  readonly moved: boolean;
  readonly pauseMs: number;
  /** Nothing could be handed back, for this reason: the target has to take the rest over. */
  readonly noWayBack?: string;
}

/** Activities that hand a partition over. */
export function createCutoverActivities(dependencies: Dependencies) {
  const { catalog } = dependencies;
  /** By partition, the attempt that a step of this process has brought to rest: the next one goes on with it. */
  const atRest = new Map<string, number>();

  /** Where in the partition its load lies: by requests, and where too few are known, by a sample of the documents. */
  async function loads(context: MoveContext): Promise<readonly TokenLoad[]> {
    const { move } = context;
    const since = dependencies.now() - LOAD_HISTORY_MS;
    const requests = await catalog.access.tokenLoads(move.keyspace, move.partition, since);
    if (requests.reduce((sum, { load }) => sum + load, 0) >= ENOUGH_REQUESTS) return requests;
    const { part, names } = context;
    const documents = context.db(move.source).collection(names.source);
    if (part === undefined) return sampleTokens(documents, context.fence.keyField);
    return (await sampleTokens(documents, part.keyField, SHARED_SAMPLE)).filter(({ token }) =>
      contains(part.tokens, token),
    );
  }

  return {
    /**
     * Rollback is proven before it is needed: a marker written at the target has to come back to the source. Only then
     * is the target named in the route, where it still owns nothing. The gates of the steps to come are made here, where
     * nobody waits: for these the source's collection is read once.
     */
    publishTarget: (move: Move & Pick<MovePlan, 'allowDirectWriters'>): Promise<void> =>
      withHeartbeat(async (_report, signal) => {
        const context = await openMove(dependencies, move);
        const { keyspace, partition } = context;
        // Who has come since the move began: up to here nothing of theirs is lost.
        if (move.allowDirectWriters !== true) {
          await refuseDirectWriters(dependencies, keyspace, partition, [move.source, move.target]);
        }
        const world = handoverWorld(dependencies, context);
        await followDefinition(dependencies, context, { signal });
        const gated = partition.gates.length > 0 ? partition : await run(makeGates(partition), world);
        if (!(await ping(context, 'back', 30_000, { signal }))) {
          throw new DroverError(
            'StepUndone',
            `a marker written on ${move.target} did not come back to ${move.source} in 30 s`,
          );
        }
        await letExpire(dependencies, context, [], signal);
        // Whether routers know the route is asked before each step, when it matters.
        await catalog.partitions.advance(gated, { kind: 'publish' });
      }),

    /**
     * Hands over what `weight` percent of the load still lack; 0 hands everything back, where that is possible. With `sourceLost` the
     * target takes over what was a source's whose collection is gone.
     */
    shiftWeight: (move: Move & { readonly weight: number; readonly sourceLost?: boolean }): Promise<ShiftResult> =>
      withHeartbeat(async (_report, signal) => {
        // Before the partition is read: what another activity of this process does meanwhile must not count for it.
        const id = partitionId(move.keyspace, move.partition);
        let mine = atRest.get(id);
        atRest.delete(id);
        let context = await openMove(dependencies, move);
        const lost = move.weight > 0 ? undefined : await noWayBack(dependencies, context);
        const gone =
          move.sourceLost === true
            ? move.source
            : move.weight === 0 && lost === undefined && (await isTargetLost(dependencies, context))
              ? move.target
              : undefined;
        if (gone !== undefined) {
          context = { ...context, partition: await fenceAnew(context, handoverWorld(dependencies, context), gone) };
          // It has a gate there: later ones have none.
          mine = context.partition.attempt;
        } else if (move.weight > 0) await followDefinition(dependencies, context, { signal });
        const { partition } = context;
        const tokens = tokensOf(partition);
        const load = await loads(context);
        if (lost !== undefined) {
          return {
            weight: weightAt(partition.route.boundary, tokens, load),
            moved: false,
            pauseMs: 0,
            noWayBack: lost,
          };
        }
        const wanted = boundaryFor(move.weight, tokens, load);
        // The load may have shifted since the last weight: what the target has, it keeps.
        const boundary = move.weight > 0 && wanted < partition.route.boundary ? partition.route.boundary : wanted;
        const before = partition.route.boundary;
        if (before !== boundary) await letExpire(dependencies, context, [], signal);
        const log = new StepLog(handoverWorld(dependencies, context));
        let after: Partition;
        try {
          after = await run(moveBoundary(partition, boundary, mine), log.world);
        } finally {
          if (log.atRest !== undefined) atRest.set(id, log.atRest);
        }
        const { pauseMs } = log;
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
        await letExpire(dependencies, { ...context, partition: after }, expiringNodes(after), signal);
        return { weight, moved, pauseMs };
      }),

    /**
     * Stays for `forMs` and looks whether the target serves worse than the source did, whether changes still flow both ways,
     * without which nothing could be handed back, and whether both collections are still the same.
     *
     * @returns as soon as it finds one, the reason for a rollback
     */
    watch: (move: Move & { readonly forMs: number }): Promise<{ readonly worse?: string }> =>
      withHeartbeat(async (_report, signal) => {
        const context = await openMove(dependencies, move);
        const { keyspace, partition, source, target } = move;
        const policy = dependencies.migration.rollbackWhen;
        // Of the first attempt: another one does not begin the time anew.
        const until = Context.current().info.scheduledTimestampMs + move.forMs;
        // What waited for the step itself is none of the target's doing.
        const since = dependencies.now() + AFTER_STEP_MS;
        const pings = new Pings(context, policy.lag);
        const comparisons = new Comparisons(dependencies, move, signal);
        try {
          for (;;) {
            const wait = Math.max(AT_THE_END_MS, Math.min(LOOK_MS, until - Date.now()));
            await delay(wait, undefined, { signal });
            const lagging = pings.late();
            if (lagging !== undefined) return { worse: lagging };
            const recent = await catalog.access.served(keyspace, partition, since);
            const before = await catalog.access.served(keyspace, partition, since - COMPARED_MS);
            const reason = worse(policy, recent.get(target), before.get(source));
            if (reason !== undefined) return { worse: reason };
            const isOver = Date.now() >= until;
            comparisons.look(isOver);
            if (comparisons.changed !== undefined) return { worse: comparisons.changed };
            if (isOver && comparisons.equalAt >= until) return {};
          }
        } finally {
          pings.stop();
        }
      }),
  };
}

/** Whether both collections are still the same, looked at now and then, while others go on being watched: it may take long. */
class Comparisons {
  /** Why the move can't go on with the collections as they are now, if so. */
  changed: string | undefined;
  /** When one began that found nothing of the kind, milliseconds since 1970. */
  equalAt = -Infinity;
  private underWay = false;
  private next = performance.now() + COMPARE_MS;

  constructor(
    private readonly dependencies: Dependencies,
    private readonly move: Move,
    private readonly signal: AbortSignal,
  ) {}

  /** Begins one where it is time, or `now`. */
  look(now: boolean): void {
    if (this.underWay || (!now && performance.now() < this.next)) return;
    this.underWay = true;
    this.next = performance.now() + COMPARE_MS;
    void this.compare().finally(() => (this.underWay = false));
  }

  private async compare(): Promise<void> {
    const { dependencies, move, signal } = this;
    const beganAt = Date.now();
    try {
      await followDefinition(dependencies, await openMove(dependencies, move), { signal });
      this.equalAt = beganAt;
    } catch (error) {
      if (error instanceof DroverError && error.code === 'SourceChanged') this.changed = error.message;
      else if (!signal.aborted) {
        dependencies.log.warn('definitions could not be compared', { migration: move.migration, error });
      }
    }
  }
}

/** Markers under way in both directions, one after the other, and since when. */
class Pings {
  private readonly sent = new Map<Direction, number>();
  private readonly stopping = new AbortController();

  constructor(
    private readonly context: MoveContext,
    private readonly lagMs: number,
  ) {
    for (const direction of ['forward', 'back'] as const) void this.go(direction);
  }

  late(): string | undefined {
    const late = [...this.sent].find(([, at]) => performance.now() - at > this.lagMs);
    if (late === undefined) return undefined;
    const { source, target } = this.context.move;
    const way = late[0] === 'forward' ? `${source} to ${target}` : `${target} back to ${source}`;
    return `changes from ${way} take longer than ${this.lagMs} ms`;
  }

  stop(): void {
    this.stopping.abort();
  }

  private async go(direction: Direction): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      if (!this.sent.has(direction)) this.sent.set(direction, performance.now());
      // A node that can't be reached is as late as one that is slow.
      const arrived = await ping(this.context, direction, this.lagMs, { signal }).catch(() => false);
      if (arrived) this.sent.delete(direction);
      await delay(arrived ? PING_EVERY_MS : LOOK_MS, undefined, { signal }).catch(() => undefined);
    }
  }
}

/** What is to be known of a step beside the partition as it is afterwards. */
class StepLog {
  readonly world: World;
  /** How long tokens could not be written: from the closing of the interval in the catalog until its new owner is named. */
  pauseMs = 0;
  /** The attempt, while it has no step under way: everything that it has asked of the nodes has been answered. */
  atRest: number | undefined;
  private began = 0;

  constructor(world: World) {
    this.world = {
      ...world,
      advance: async (effect) => {
        const { kind } = effect.event;
        this.atRest = undefined;
        if (kind === 'begin') this.began = performance.now();
        const after = await world.advance(effect);
        if (kind === 'announce' || kind === 'settle') this.atRest = after.attempt;
        if (kind === 'settle') this.pauseMs = performance.now() - this.began;
        return after;
      },
    };
  }
}

export type CutoverActivities = ReturnType<typeof createCutoverActivities>;
