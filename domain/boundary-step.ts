import { DroverError } from './errors.js';
import { sides } from './handover.js';
import type { Direction, NodeName, Partition } from './partition.js';
import { nodesOf } from './partition.js';
import type { Step } from './step.js';
import { advance, perform } from './step.js';
import type { Token } from './token.js';

/**
 * Hands the tokens between the present boundary and `boundary` over, in either direction, without losing a write:
 *
 *     0  nobody waits yet: older attempts are shut out, routers answer, replication is close behind
 *     1  catalog: fencing, epoch + 1                                    <- pause of [a, b) starts
 *     2  routers hold writes of [a, b), finish those under way, acknowledge
 *     3  collMod closes [a, b) at the losing side
 *     4  a marker at the losing side; the transaction that applies it at the gaining side also takes [a, b) out of what
 *        this direction of replication may ever write again
 *     5  catalog: owned, boundary b, epoch + 1                          <- point of no return
 *     6  the other direction takes [a, b) over; collMod opens [a, b) at the gaining side
 *     7  catalog: settled, epoch + 1; routers send what they held       <- pause ends
 *
 * Whatever goes wrong before 5 undoes the step; whatever goes wrong after it is completed by the next attempt, or by the
 * janitor, which take the step over from its state in the catalog.
 *
 * @param mine the attempt that the caller itself has brought to rest before, if any: nothing of it can still be on its
 * way, so that it goes on without a take-over, for which gates would be dropped and, in the end, made
 * @throws DroverError `StepUndone` (may be tried again), `Superseded` (another attempt has taken over)
 */
export function* moveBoundary(held: Partition, boundary: Token, mine?: number): Step {
  const isMine = held.attempt === mine && held.handover?.state.kind === 'idle';
  let idle = isMine ? held : yield* takeOver(held);
  if (idle.route.boundary === boundary) return idle;
  if (idle.gates.length < SPARE_GATES) idle = yield* makeGates(idle);
  const direction = boundary > idle.route.boundary ? 'forward' : 'back';
  // Whoever is slow or gone is found out before anybody waits.
  for (let goodMoment = false; !goodMoment;) {
    idle = yield* advance(idle, { kind: 'announce' });
    yield* perform<'awaitRouters'>({ do: 'awaitRouters', partition: idle, patiently: true });
    yield* perform<'awaitTransactions'>({ do: 'awaitTransactions', partition: idle });
    goodMoment = yield* perform<'awaitReplication'>({ do: 'awaitReplication', direction });
  }
  const fencing = yield* advance(idle, { kind: 'begin', boundary });
  return yield* finish(yield* handOver(fencing));
}

/** A take-over uses one up, also in the middle of a step, where making new ones would make writes wait. */
const SPARE_GATES = 3;

/**
 * Shuts out older attempts, and brings what they left half-done to one of its two ends: with the ownership write the step
 * is completed, without it undone. Who wants a stale step out of the way needs nothing else.
 *
 * @returns the partition with no step under way
 */
export function* takeOver(held: Partition): Step {
  return yield* settle(yield* shutOut(held));
}

/** Brings a step that is under way to one of its two ends. */
function* settle(held: Partition): Step {
  let taken = held;
  const state = taken.handover?.state.kind ?? 'idle';
  if (state === 'idle' || state === 'retiring') return taken;
  if (taken.gates.length === 0) taken = yield* makeGates(taken);
  return state === 'owned' ? yield* finish(taken) : yield* undo(taken, true);
}

/**
 * Raises the attempt and drops the gates of older ones: from here on none of them changes a fence. What an older one
 * has sent and the server has not done yet fails as well.
 */
export function* shutOut(held: Partition): Step {
  const taken = yield* advance(held, { kind: 'takeOver' });
  yield* perform<'dropGates'>({ do: 'dropGates', partition: taken });
  return taken;
}

/** New gates, which count once the catalog names them: an attempt that was taken over meanwhile does not get there. */
export function* makeGates(taken: Partition): Step {
  const made = yield* perform<'makeGates'>({ do: 'makeGates', partition: taken });
  return yield* advance(taken, { kind: 'gate', gates: [...taken.gates, ...made] });
}

/**
 * Sets the fence of every node of the partition as the catalog has it, where somebody else has changed it.
 *
 * Takes over: an active attempt begins again, as it can't know what its fences were worth meanwhile.
 */
export function* restoreFences(held: Partition): Step {
  return yield* setFences(yield* takeOver(held));
}

function* setFences(held: Partition): Step {
  const taken = held.gates.length === 0 ? yield* makeGates(held) : held;
  for (const node of nodesOf(taken)) yield* setAccepted(taken, node);
  return taken.handover === null ? yield* removeGates(taken) : taken;
}

/**
 * The same where one of the collections is not the one any more that gates were made in: this attempt's own is made there. Those of
 * later attempts are not: the message could come after such an attempt was shut out, and give it its gate back.
 */
export function* restoreLostFences(held: Partition): Step {
  const taken = yield* shutOut(held);
  if (taken.gates.length > 0) yield* perform<'makeMissingGate'>({ do: 'makeMissingGate', partition: taken });
  return yield* setFences(yield* settle(taken));
}

export function* removeGates(taken: Partition): Step {
  const without = yield* advance(taken, { kind: 'gate', gates: [] });
  yield* perform<'dropGates'>({ do: 'dropGates', partition: without });
  return without;
}

/** Steps 2 to 5, or the way back from wherever it got. */
function* handOver(fencing: Partition): Step {
  const { direction, interval } = stepOf(fencing);
  const { losing, gaining } = sides(fencing, direction);
  /** Whether the fence at the losing side has been closed; `unknown` when there was no answer. */
  let closed: boolean | 'unknown' = false;
  try {
    yield* perform<'awaitRouters'>({ do: 'awaitRouters', partition: fencing, patiently: false });
    closed = 'unknown';
    closed = yield* perform<'setAccepted'>({ do: 'setAccepted', partition: fencing, node: losing });
    if (!closed) throw new DroverError('StepUndone', `a transaction on ${losing} was in the way of closing the fence`);
    const marker = { epoch: fencing.epoch, interval };
    yield* perform<'passMarker'>({ do: 'passMarker', direction, marker });
    // After the last copied write of the interval, before its first own one: nobody can write there now.
    const since = yield* perform<'readTime'>({ do: 'readTime', node: gaining });
    return yield* advance(fencing, { kind: 'own', since });
  } catch (error) {
    // Superseded: whoever took over undoes or finishes it.
    if (error instanceof DroverError && error.code === 'Superseded') throw error;
    // Without an answer the closing may still be on its way: a new attempt's gate keeps it from coming after the opening.
    yield* closed === 'unknown' ? takeOver(fencing) : undo(fencing, closed);
    throw error instanceof DroverError ? error : new DroverError('StepUndone', describe(error), { cause: error });
  }
}

/** Steps 6 and 7: from here on the step is completed, whatever happens. */
function* finish(owned: Partition): Step {
  const state = owned.handover?.state;
  if (state?.kind !== 'owned') throw new DroverError('Refused', `${owned.id}: no step is to be finished`);
  const { direction, interval, since } = state;
  // Before the first write at the new owner, or that write would not flow back.
  yield* perform<'receive'>({
    do: 'receive',
    direction: opposite(direction),
    owned: { epoch: owned.epoch, interval },
    since,
  });
  yield* setAccepted(owned, sides(owned, direction).gaining);
  return yield* advance(owned, { kind: 'settle' });
}

function* undo(from: Partition, closed: boolean): Step {
  const { direction } = stepOf(from);
  const undoing = from.handover!.state.kind === 'undoing' ? from : yield* advance(from, { kind: 'undo' });
  // Replication first: when the losing side accepts writes again, they have to be carried over.
  yield* perform<'takeBack'>({ do: 'takeBack', direction, begun: undoing.epoch - 1, undone: undoing.epoch });
  if (closed) yield* setAccepted(undoing, sides(undoing, direction).losing);
  return yield* advance(undoing, { kind: 'settle' });
}

/** A transaction in the way is waited for, up to a limit: the next attempt goes on from here. */
const ACCEPT_TRIES = 20;

/** Sets the fence of a node as the catalog has it. @throws DroverError `StepUndone` when transactions do not let it */
export function* setAccepted(partition: Partition, node: NodeName): Step<void> {
  for (let tries = 1; tries <= ACCEPT_TRIES; tries++) {
    if (yield* perform<'setAccepted'>({ do: 'setAccepted', partition, node })) return;
  }
  throw new DroverError('StepUndone', `transactions on ${node} do not let the fence of ${partition.id} be changed`);
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
