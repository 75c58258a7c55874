import type { Direction, Partition } from '../../../domain/partition.js';
import { handOver, isApplied } from '../../../domain/replication.js';
import type { Element } from './elements.js';
import type { Action } from './explorer.js';
import { ownerOf } from './routers.js';
import type { Late, Version, World } from './world.js';
import { DESTINATION, ORIGIN, spend, store, withCheckpoint, withServer } from './world.js';

const DIRECTIONS: readonly Direction[] = ['forward', 'back'];

/** Each follower applies its origin's changes one by one, in one transaction with its position and the scope. */
export function* followerActions(world: World, leftOut: Element | undefined): Generator<Action> {
  for (const direction of DIRECTIONS) {
    const next = world.servers[ORIGIN[direction]].log[0];
    const checkpoint = world.checkpoints[direction];
    if (next === undefined || checkpoint === null) continue;
    if (leftOut === 'scope told by the route' && next.kind !== 'marker') {
      for (const route of world.routes) {
        yield [
          `replication ${direction}: ${next.kind} by route ${route.epoch}`,
          () => follow(world, direction, leftOut, route),
        ];
      }
      continue;
    }
    yield [`replication ${direction}: ${next.kind}`, () => follow(world, direction, leftOut)];
    if (world.left.followers > 0 && next.kind !== 'marker') {
      yield [`replication ${direction}: another follower takes over`, () => takeOver(world, direction)];
    }
  }
}

/** One change of the origin, read and applied. */
export function follow(world: World, direction: Direction, leftOut?: Element, known?: Partition): World {
  const origin = world.servers[ORIGIN[direction]];
  const checkpoint = world.checkpoints[direction]!;
  const [change, ...log] = origin.log;
  const read = withServer(world, ORIGIN[direction], { log });
  if (change!.kind === 'marker') {
    if (change!.direction !== direction) return read;
    const { marker } = change!;
    const scope = leftOut === 'scope in the checkpoint' ? checkpoint.scope : handOver(checkpoint.scope, marker);
    return withCheckpoint(read, direction, { scope, marker: marker.epoch });
  }
  const { token } = change!;
  const time = leftOut === 'time of the hand-over' ? Number.MAX_SAFE_INTEGER : origin.time - origin.log.length + 1;
  const covered =
    known === undefined
      ? isApplied(checkpoint.scope, BigInt(token), BigInt(time))
      : ownerOf(known, token) === ORIGIN[direction];
  return covered ? apply(read, direction, token, versionOf(world, direction)) : read;
}

/** What the next change says of its document. A document that is looked up in vain was deleted later: that follows. */
function versionOf(world: World, direction: Direction): Version | 'skipped' {
  const origin = world.servers[ORIGIN[direction]];
  const change = origin.log[0]!;
  if (change.kind === 'marker') return 'skipped';
  if (change.kind !== 'update') return change.version;
  return origin.documents[change.token] ?? 'skipped';
}

function apply(world: World, direction: Direction, token: number, version: Version | 'skipped'): World {
  const site = DESTINATION[direction];
  // The same again is no change; and of what is not there, no key can be found.
  if (version === 'skipped' || world.servers[site].documents[token] === version) return world;
  return store(world, site, token, version === null ? 'delete' : 'put', version);
}

function takeOver(world: World, direction: Direction): World {
  const { log, time } = world.servers[ORIGIN[direction]];
  const change = log[0]!;
  const version = versionOf(world, direction);
  const { attempt } = world.checkpoints[direction]!;
  const after = withCheckpoint(spend(world, 'followers'), direction, { attempt: attempt + 1 });
  if (change.kind === 'marker' || version === 'skipped') return after;
  const { token } = change;
  const zombie: Late = { kind: 'follower', direction, attempt, token, time: time - log.length + 1, version };
  return { ...after, late: [...after.late, zombie] };
}

/** A follower that was taken over commits what it had read. */
export function zombieFollows(world: World, zombie: Late & { kind: 'follower' }, leftOut: Element | undefined): World {
  const { direction, attempt, token, time, version } = zombie;
  const checkpoint = world.checkpoints[direction];
  if (checkpoint === null) return world;
  if (checkpoint.attempt !== attempt && leftOut !== 'attempt in the checkpoint') return world;
  if (!isApplied(checkpoint.scope, BigInt(token), BigInt(time))) return world;
  return apply(world, direction, token, version);
}
