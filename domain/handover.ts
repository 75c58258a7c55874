import { DroverError } from './errors.js';
import type { ClusterTime, Direction, Handover, HandoverState, NodeName, Partition } from './partition.js';
import { tokensOf } from './partition.js';
import type { Token } from './token.js';

/**
 * How a partition changes hands, as a state machine over the partition's catalog entry.
 *
 * Every event is one compare-and-set in the catalog on `(epoch, attempt, state)`; what has to be done on the nodes
 * between two of them is in boundary-step.ts and ending.ts. `own` is the point of no return of a step, `retire` that of
 * the migration.
 *
 *     (none) --claim--> idle --publish--> idle --announce--> idle --begin--> fencing --own--> owned --settle--> idle
 *                                                                              |
 *                                                                             undo--> undoing --settle--> idle
 *     idle (all at the target) --retire--> retiring --release--> (none)
 *     idle (all at the source) --withdraw--> idle --release--> (none)
 */
export type HandoverEvent =
  | { readonly kind: 'claim'; readonly migration: string; readonly target: NodeName }
  | { readonly kind: 'publish' }
  | { readonly kind: 'takeOver' }
  | { readonly kind: 'gate'; readonly gates: readonly string[] }
  | { readonly kind: 'announce' }
  | { readonly kind: 'begin'; readonly boundary: Token }
  | { readonly kind: 'own'; readonly since: ClusterTime }
  | { readonly kind: 'undo' }
  | { readonly kind: 'settle' }
  | { readonly kind: 'retire'; readonly at: number }
  | { readonly kind: 'withdraw' }
  | { readonly kind: 'release' };

type StateName = HandoverState['kind'] | 'none';

/** In which states an event is allowed; everything else is a bug or a zombie, and is refused. */
export const ALLOWED: Readonly<Record<HandoverEvent['kind'], readonly StateName[]>> = {
  claim: ['none'],
  publish: ['idle'],
  // Without a migration, too: a fence that was erased from outside is set again by an attempt of its own.
  takeOver: ['none', 'idle', 'fencing', 'owned', 'undoing', 'retiring'],
  gate: ['none', 'idle', 'fencing', 'owned', 'undoing', 'retiring'],
  announce: ['idle'],
  begin: ['idle'],
  own: ['fencing'],
  undo: ['fencing'],
  settle: ['owned', 'undoing'],
  retire: ['idle'],
  withdraw: ['idle'],
  release: ['idle', 'retiring'],
};

export const stateName = (partition: Partition): StateName => partition.handover?.state.kind ?? 'none';

/**
 * The partition after `event`.
 *
 * @throws DroverError `Refused` when the table does not allow the event, or its own condition does not hold.
 */
export function transition(partition: Partition, event: HandoverEvent): Partition {
  const refuse = (why: string): never => {
    throw new DroverError('Refused', `${partition.id}: "${event.kind}" is not possible: ${why}`);
  };
  if (!ALLOWED[event.kind].includes(stateName(partition))) {
    refuse(`the hand-over is in state "${stateName(partition)}"`);
  }
  const { route, handover } = partition;
  const { low, high } = tokensOf(partition);

  if (event.kind === 'claim') {
    if (event.target === route.source) refuse(`"${event.target}" is already the owner`);
    const claimed: Handover = { migration: event.migration, target: event.target, state: { kind: 'idle' } };
    // Gates of a repair that was interrupted are on the source only.
    return { ...partition, attempt: partition.attempt + 1, gates: [], handover: claimed };
  }
  if (event.kind === 'takeOver') {
    return { ...partition, attempt: partition.attempt + 1, gates: partition.gates.slice(1) };
  }
  if (event.kind === 'gate') return { ...partition, gates: event.gates };
  if (handover === null) return refuse('no migration holds the partition');

  const at = (state: HandoverState): Handover => ({ ...handover, state });
  const epoch = partition.epoch + 1;

  switch (event.kind) {
    case 'publish':
      return route.target === null ? { ...partition, epoch, route: { ...route, target: handover.target } } : partition;
    case 'announce':
      // Nothing changes: routers that are there acknowledge it, and so show that they are.
      return { ...partition, epoch };
    case 'begin': {
      if (route.target === null) refuse('the target is not published yet');
      if (event.boundary < low || event.boundary > high) refuse('the boundary is outside of the partition');
      if (event.boundary === route.boundary) refuse('the boundary is already there');
      const direction: Direction = event.boundary > route.boundary ? 'forward' : 'back';
      const interval =
        direction === 'forward'
          ? { low: route.boundary, high: event.boundary }
          : { low: event.boundary, high: route.boundary };
      return {
        ...partition,
        epoch,
        route: { ...route, fence: interval },
        handover: at({ kind: 'fencing', direction, interval }),
      };
    }
    case 'own': {
      const { direction, interval } = step(handover.state);
      const boundary = direction === 'forward' ? interval.high : interval.low;
      return {
        ...partition,
        epoch,
        route: { ...route, boundary },
        handover: at({ kind: 'owned', direction, interval, since: event.since }),
      };
    }
    case 'undo': {
      const { direction, interval } = step(handover.state);
      return { ...partition, epoch, handover: at({ kind: 'undoing', direction, interval }) };
    }
    case 'settle':
      // Routers hold writes until here: a delete, which no validator sees, must not reach the new owner before it is open
      // and its changes flow back.
      return { ...partition, epoch, route: { ...route, fence: null }, handover: at({ kind: 'idle' }) };
    case 'retire': {
      if (route.target === null || route.boundary !== high) refuse('the target does not own all of it yet');
      return {
        ...partition,
        epoch,
        route: { source: handover.target, target: null, boundary: low, fence: null },
        handover: at({ kind: 'retiring', formerSource: route.source }),
        lastMovedAt: event.at,
      };
    }
    case 'withdraw':
      if (route.boundary !== low) refuse('the target still owns a part of it');
      // Also when it is said again: whoever waits for routers waits for those that know this.
      return { ...partition, epoch, route: { ...route, target: null } };
    case 'release':
      if (handover.state.kind === 'idle' && route.target !== null) refuse('the target is still published');
      return { ...partition, handover: null };
  }
}

/** The interval under way, for the states that have one. */
function step(state: HandoverState): Extract<HandoverState, { kind: 'fencing' }> {
  if (state.kind !== 'fencing')
    throw new DroverError('Refused', `no interval is being fenced in state "${state.kind}"`);
  return state;
}

/** Node that gives up the interval of a step, and the one that takes it. */
export function sides(partition: Partition, direction: Direction): { losing: NodeName; gaining: NodeName } {
  const target = partition.handover?.target;
  if (target === undefined) throw new DroverError('Refused', `${partition.id}: no migration holds the partition`);
  const source = partition.route.source;
  return direction === 'forward' ? { losing: source, gaining: target } : { losing: target, gaining: source };
}
