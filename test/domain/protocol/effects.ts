import { isDeepStrictEqual } from 'node:util';
import { DroverError } from '../../../domain/errors.js';
import type { HandoverEvent } from '../../../domain/handover.js';
import { transition } from '../../../domain/handover.js';
import type { Partition } from '../../../domain/partition.js';
import { acceptedBy, lockedNodes, nodesOf } from '../../../domain/partition.js';
import { receive, takeBack } from '../../../domain/replication.js';
import type { Effect } from '../../../domain/step.js';
import { contains } from '../../../domain/token.js';
import type { Element } from './elements.js';
import { Violation } from './explorer.js';
import { awaitRouters } from './routers.js';
import type { Gate, Site, World } from './world.js';
import { entryOf, ORIGIN, replaced, routeOnly, withCheckpoint, withServer } from './world.js';

/** What an effect has come to: the world after it, and its outcome. */
export interface Done {
  readonly world: World;
  readonly value?: unknown;
}

/** New gates of one attempt: as few as it takes for nobody to make more at once. */
const MADE_AT_ONCE = 3;

/**
 * Does an effect, at once and wholly.
 *
 * @returns each of the ways in which it may come out; none while it has to wait
 * @throws DroverError as the effect does
 */
export function perform(
  world: World,
  effect: Effect,
  sharing: readonly Partition[],
  leftOut: Element | undefined,
): readonly Done[] {
  switch (effect.do) {
    case 'advance':
      return [advance(world, effect.partition, effect.event, leftOut)];
    case 'dropGates':
      return [{ world: leftOut === 'dropping older gates' ? world : dropGates(world, effect.partition, leftOut) }];
    case 'makeGates':
      return [makeGates(world, effect.partition)];
    case 'makeMissingGate':
      // Looked at again when it is there.
      if (entryOf(world, effect.partition.id).attempt !== effect.partition.attempt) {
        throw new DroverError('Superseded', 'somebody has taken over');
      }
      return [{ world: makeMissingGate(world, effect.partition) }];
    case 'awaitRouters':
      return awaitRouters(world, effect.partition.epoch, leftOut).map((after) => ({ world: after }));
    // Both only make it likely that what follows does not take long.
    case 'awaitTransactions':
      return [{ world }];
    case 'awaitReplication':
      return [{ world, value: true }];
    case 'setAccepted':
      return [setAccepted(world, effect.partition, effect.node as Site, sharing, leftOut)];
    case 'passMarker': {
      const checkpoint = world.checkpoints[effect.direction];
      return checkpoint?.marker === effect.marker.epoch ? [{ world }] : [];
    }
    case 'readTime':
      return [{ world, value: BigInt(world.servers[effect.node as Site].time) }];
    case 'takeBack': {
      const { scope } = checkpointOf(world, effect.direction);
      return [{ world: withCheckpoint(world, effect.direction, { scope: takeBack(scope, effect) }) }];
    }
    case 'receive': {
      const { scope } = checkpointOf(world, effect.direction);
      const received = receive(scope, { ...effect.owned, since: effect.since });
      return [{ world: withCheckpoint(world, effect.direction, { scope: received }) }];
    }
    case 'endReplication':
      return [{ world: { ...world, checkpoints: { forward: null, back: null } } }];
    case 'closeCopy':
      return [{ world: replaceByClosed(readyToReplace(world, effect), effect) }];
  }
}

/** What of an effect is done at once although its caller never hears of it; `late` does the rest, or all of it. */
export function begun(world: World, effect: Effect): World {
  return effect.do === 'closeCopy' ? readyToReplace(world, effect) : world;
}

/** What a server does with an effect long after its caller has given it up. */
export function arrive(
  world: World,
  effect: Effect,
  sharing: readonly Partition[],
  leftOut: Element | undefined,
): World {
  try {
    if (effect.do === 'passMarker') return sendMarker(world, effect);
    if (effect.do === 'closeCopy') return replaceByClosed(world, effect);
    if (effect.do === 'makeMissingGate') return makeMissingGate(world, effect.partition);
    return perform(world, effect, sharing, leftOut)[0]!.world;
  } catch (error) {
    if (error instanceof DroverError) return world;
    throw error;
  }
}

/** A marker is written once, whoever sends it again. */
export function sendMarker(world: World, { direction, marker }: Effect & { readonly do: 'passMarker' }): World {
  const checkpoint = world.checkpoints[direction];
  const { log, time } = world.servers[ORIGIN[direction]];
  const sent = log.some((change) => change.kind === 'marker' && change.marker.epoch === marker.epoch);
  if (sent || checkpoint === null || checkpoint.marker >= marker.epoch) return world;
  return withServer(world, ORIGIN[direction], {
    time: time + 1,
    log: [...log, { kind: 'marker', direction, marker }],
  });
}

/** What the comparison of gates would do as well, within the bounds: without these it is left out, too. */
const COVERED_BY_GATES: readonly (Element | undefined)[] = [
  'attempt in the catalog',
  'dropping gates of other partitions',
];

function advance(world: World, held: Partition, event: HandoverEvent, leftOut: Element | undefined): Done {
  const next = afterEvent(held, event, leftOut);
  const now = entryOf(world, held.id);
  const same =
    now.epoch === held.epoch &&
    (now.attempt === held.attempt || leftOut === 'attempt in the catalog') &&
    (isDeepStrictEqual(now.gates, held.gates) || COVERED_BY_GATES.includes(leftOut)) &&
    now.handover?.migration === held.handover?.migration &&
    now.handover?.state.kind === held.handover?.state.kind;
  if (next === held) return { world, value: held };
  if (!same) throw new DroverError('Superseded', 'somebody else was faster');
  const locks = locksOf(next, leftOut);
  if (world.entries.some((other) => other !== now && locksOf(other, leftOut).some((node) => locks.includes(node)))) {
    throw new DroverError('Refused', 'something else changes this collection');
  }
  const entries = replaced(world.entries, world.entries.indexOf(now), next);
  const first = world.entries[0]!.id === held.id && next.epoch !== held.epoch;
  const routes = first ? [...(world.routers.length > 0 ? world.routes : []), routeOnly(next)] : world.routes;
  return { world: { ...world, entries, routes }, value: next };
}

function locksOf(partition: Partition, leftOut: Element | undefined): string[] {
  if (leftOut === 'lock per collection') return [];
  return leftOut === 'lock without a migration' && partition.handover === null ? [] : lockedNodes(partition);
}

function afterEvent(held: Partition, event: HandoverEvent, leftOut: Element | undefined): Partition {
  const state = held.handover?.state;
  if (leftOut === 'point of no return' && event.kind === 'undo' && state?.kind === 'owned') {
    const { direction, interval } = state;
    const boundary = direction === 'forward' ? interval.low : interval.high;
    const route = { ...held.route, boundary };
    const handover = { ...held.handover!, state: { kind: 'undoing', direction, interval } as const };
    return { ...held, epoch: held.epoch + 1, route, handover };
  }
  if (leftOut === 'a gate of its own for each attempt' && event.kind === 'takeOver') {
    return { ...transition(held, event), gates: held.gates };
  }
  return transition(held, event);
}

/** Older gates: who comes late leaves those of newer attempts alone, and who has no lock those of other partitions. */
function dropGates(world: World, partition: Partition, leftOut: Element | undefined): World {
  const { id, attempt, gates, handover } = partition;
  const kept = (gate: Gate) => {
    const [maker, madeBy] = gate.split('/');
    if (maker !== id) return handover === null || leftOut === 'dropping gates of other partitions';
    return gates.includes(gate) || (leftOut !== 'gates of newer attempts' && Number(madeBy) > attempt);
  };
  return nodesOf(partition).reduce<World>((before, node) => {
    const server = before.servers[node as Site];
    return withServer(before, node as Site, {
      gates: server.gates.filter(kept),
      shutOut: { ...server.shutOut, [id]: Math.max(server.shutOut[id] ?? 0, attempt) },
    });
  }, world);
}

function makeGates(world: World, partition: Partition): Done {
  const names = Array.from({ length: MADE_AT_ONCE }, (_, i) => `${partition.id}/${partition.attempt}/${i}`);
  return { world: withGates(world, partition, names), value: names };
}

const makeMissingGate = (world: World, partition: Partition): World =>
  withGates(world, partition, partition.gates.slice(0, 1));

const withGates = (world: World, partition: Partition, names: readonly Gate[]): World =>
  nodesOf(partition).reduce<World>((before, node) => {
    const { gates } = before.servers[node as Site];
    return withServer(before, node as Site, { gates: [...new Set([...gates, ...names])].sort() });
  }, world);

function setAccepted(
  world: World,
  partition: Partition,
  node: Site,
  sharing: readonly Partition[],
  leftOut: Element | undefined,
): Done {
  const server = world.servers[node];
  const gate = partition.gates[0];
  const gated = leftOut !== 'gate';
  if (gated && (gate === undefined || !server.gates.includes(gate))) throw new DroverError('Superseded', 'no gate');
  if ((server.shutOut[partition.id] ?? 0) > partition.attempt && leftOut === undefined) {
    throw new Violation('an attempt that was shut out has changed a fence');
  }
  const intervals = acceptedBy([partition, ...sharing], node);
  const accepts = world.truth
    .map((_, token) => token)
    .filter((token) => intervals.some((each) => contains(each, BigInt(token))));
  const losing = accepts.length < server.accepts.length;
  if (leftOut === 'closing the losing side' && losing) return { world, value: true };
  return { world: withServer(world, node, { accepts }), value: true };
}

function checkpointOf(world: World, direction: 'forward' | 'back') {
  const checkpoint = world.checkpoints[direction];
  if (checkpoint === null) throw new DroverError('Superseded', 'the migration has ended');
  return checkpoint;
}

type CloseCopy = Effect & { readonly do: 'closeCopy' };

/** A closed collection under a name of its own stands ready; those of other attempts are gone. */
function readyToReplace(world: World, { partition, node }: CloseCopy): World {
  if (entryOf(world, partition.id).attempt !== partition.attempt) throw new DroverError('Superseded', 'not mine');
  return withServer(world, node as Site, { replacements: [partition.attempt] });
}

function replaceByClosed(world: World, { partition, node }: CloseCopy): World {
  const site = node as Site;
  if (!world.servers[site].replacements.includes(partition.attempt)) return world;
  const documents = world.truth.map(() => null);
  return withServer(world, site, { accepts: [], gates: [], documents, log: [], replacements: [] });
}
