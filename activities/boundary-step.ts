import { nanoid } from 'nanoid';
import { DroverError } from '../domain/errors.js';
import { sides } from '../domain/handover.js';
import { hasRunOut, LEASE_MARGIN_MS, LEASE_MS } from '../domain/lease.js';
import type { Direction, Partition } from '../domain/partition.js';
import { acceptedTokens } from '../domain/partition.js';
import type { Token } from '../domain/token.js';
import { operationTime } from '../store/change-log.js';
import { setAccepted } from '../store/fenced-collection.js';
import { markerRead } from '../store/follower.js';
import type { Dependencies } from './dependencies.js';
import type { MoveContext } from './move-context.js';

/** Where no write waits for it, routers have this long to follow a route: longer than a lease. */
export const ROUTERS_FOLLOW_MS = 2 * (LEASE_MS + LEASE_MARGIN_MS);

/**
 * Hands the tokens between the present boundary and `boundary` over, in either direction, without losing a write:
 *
 *     0  nobody waits yet: routers know the route, replication is close behind
 *     1  catalog: fencing, epoch + 1                                    <- pause of [a, b) starts
 *     2  routers hold writes of [a, b), finish those under way, acknowledge
 *     3  collMod closes [a, b) at the losing side
 *     4  a marker at the losing side; the transaction that applies it at the gaining side also takes [a, b) out of what
 *        this direction of replication may ever write again
 *     5  catalog: owned, boundary b, epoch + 1                          <- point of no return
 *     6  the other direction takes [a, b) over; collMod opens [a, b) at the gaining side
 *     7  catalog: settled, epoch + 1; routers send what they held       <- pause ends
 *
 * Whatever goes wrong before 5 undoes the step; whatever goes wrong after it is completed by the next attempt, which
 * takes the step over from the state in the catalog.
 *
 * @returns the partition after the step, and how long [a, b) could not be written, in milliseconds
 * @throws DroverError `StepUndone` (may be tried again), `Superseded` (another attempt has taken over)
 */
export async function moveBoundary(
  dependencies: Dependencies,
  context: MoveContext,
  boundary: Token,
): Promise<{ partition: Partition; pauseMs: number }> {
  const step = new BoundaryStep(dependencies, context);
  const taken = await step.takeOver();
  if (taken.route.boundary === boundary) return { partition: taken, pauseMs: 0 };
  return step.run(taken, boundary);
}

class BoundaryStep {
  private openedAt = 0;

  constructor(
    private readonly dependencies: Dependencies,
    private readonly context: MoveContext,
  ) {}

  private get partitions() {
    return this.dependencies.catalog.partitions;
  }

  /** Shuts out older attempts, and brings what they left half-done to one of its two ends. */
  async takeOver(): Promise<Partition> {
    const taken = await this.partitions.advance(this.context.partition, { kind: 'takeOver' });
    switch (taken.handover?.state.kind) {
      case 'fencing':
        return this.undo(taken);
      case 'undoing':
        return this.finishUndo(taken);
      case 'owned':
        return this.finish(taken);
      default:
        return taken;
    }
  }

  async run(idle: Partition, boundary: Token): Promise<{ partition: Partition; pauseMs: number }> {
    // Routers that are slow or gone are found out before anybody waits.
    await routersAcknowledge(this.dependencies, idle, ROUTERS_FOLLOW_MS);
    await this.replicationIsClose(boundary > idle.route.boundary ? 'forward' : 'back');

    const pausedAt = performance.now();
    const fencing = await this.partitions.advance(idle, { kind: 'begin', boundary });
    let owned: Partition;
    try {
      owned = await this.handOver(fencing);
    } catch (error) {
      // Superseded: whoever took over undoes or finishes it.
      if (error instanceof DroverError && error.code === 'Superseded') throw error;
      await this.undo(fencing);
      throw error instanceof DroverError ? error : new DroverError('StepUndone', describe(error));
    }
    const partition = await this.finish(owned);
    return { partition, pauseMs: this.openedAt - pausedAt };
  }

  /** Steps 2 to 5. */
  private async handOver(fencing: Partition): Promise<Partition> {
    const { direction, interval } = stepOf(fencing);
    const { losing, gaining } = sides(fencing, direction);
    const { context } = this;

    await routersAcknowledge(this.dependencies, fencing, this.dependencies.migration.stepTimeout);
    await this.setAccepted(fencing, losing);

    const marker = `${context.move.migration}/${direction}/${fencing.epoch}`;
    await context
      .markers(direction)
      .write(marker, context.move.migration, direction, { epoch: fencing.epoch, interval });
    if (!(await markerRead(context.checkpoint(direction), marker, this.dependencies.migration.stepTimeout))) {
      throw new DroverError('StepUndone', `replication to ${gaining} did not reach the marker in time`);
    }
    // After the last copied write of the interval, before its first own one: nobody can write there now.
    const since = await operationTime(context.db(gaining));
    return this.partitions.advance(fencing, { kind: 'own', since });
  }

  /** Steps 6 and 7: from here on the step is completed, whatever happens. */
  private async finish(owned: Partition): Promise<Partition> {
    const state = owned.handover!.state;
    if (state.kind !== 'owned') throw new DroverError('Refused', `a step in state "${state.kind}" can't be finished`);
    const { direction, interval, since } = state;
    const { gaining } = sides(owned, direction);
    // Before the first write at the new owner, or that write would not flow back.
    await this.context.checkpoint(opposite(direction)).receive({ epoch: owned.epoch, interval, since });
    await this.setAccepted(owned, gaining);
    const settled = await this.partitions.advance(owned, { kind: 'settle' });
    this.openedAt = performance.now();
    return settled;
  }

  private async undo(fencing: Partition): Promise<Partition> {
    return this.finishUndo(await this.partitions.advance(fencing, { kind: 'undo' }));
  }

  private async finishUndo(undoing: Partition): Promise<Partition> {
    const { direction } = stepOf(undoing);
    // Replication first: when the losing side accepts writes again, they have to be carried over.
    await this.context.checkpoint(direction).takeBack({ begun: undoing.epoch - 1, undone: undoing.epoch });
    await this.setAccepted(undoing, sides(undoing, direction).losing);
    return this.partitions.advance(undoing, { kind: 'settle' });
  }

  private setAccepted(partition: Partition, node: string): Promise<void> {
    const { context } = this;
    return setAccepted(context.db(node), partition.collection, context.keyField, acceptedTokens(partition, node));
  }

  private async replicationIsClose(direction: Direction): Promise<void> {
    if (!(await ping(this.context, direction, this.dependencies.migration.stepTimeout))) {
      throw new DroverError('StepUndone', 'replication is behind: the step was not begun');
    }
  }
}

/**
 * Waits until every router has acknowledged the partition's epoch, or has been expelled as its lease has run out: none
 * works by an older route any more, or relies on one.
 *
 * @throws DroverError `StepUndone` when one does not, in time
 */
export async function routersAcknowledge(
  { catalog }: Dependencies,
  partition: Partition,
  timeoutMs: number,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  const renewed = new Map<string, { readonly renewals: number; readonly seenAt: number }>();
  for (;;) {
    const missing = await catalog.routers.missing(partition.id, partition.epoch);
    if (missing.length === 0) return;
    for (const { id, renewals } of missing) {
      const seen = renewed.get(id);
      const now = performance.now();
      if (seen?.renewals !== renewals) renewed.set(id, { renewals, seenAt: now });
      else if (hasRunOut(seen.seenAt, now)) await catalog.routers.expel(id, renewals);
    }
    if (performance.now() > deadline) {
      const some = missing
        .slice(0, 5)
        .map(({ id }) => id)
        .join(', ');
      throw new DroverError('StepUndone', `${missing.length} live routers did not acknowledge: ${some}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
}

/** Sends a marker through a direction of replication. @returns whether it arrived in time */
export async function ping(context: MoveContext, direction: Direction, timeoutMs: number): Promise<boolean> {
  const id = `${context.move.migration}/${direction}/ping/${nanoid()}`;
  await context.markers(direction).write(id, context.move.migration, direction);
  return markerRead(context.checkpoint(direction), id, timeoutMs);
}

const opposite = (direction: Direction): Direction => (direction === 'forward' ? 'back' : 'forward');

function stepOf(partition: Partition) {
  const state = partition.handover?.state;
  if (state?.kind !== 'fencing' && state?.kind !== 'undoing') {
    throw new DroverError('Refused', `${partition.id}: no step is under way`);
  }
  return state;
}

const describe = (error: unknown): string =>
  error instanceof Error ? `${error.name}: ${error.message}` : String(error);
