import { takeOver } from '../../../domain/boundary-step.js';
import { DroverError } from '../../../domain/errors.js';
import type { Direction, Partition } from '../../../domain/partition.js';
import { arrive, perform, sendMarker } from './effects.js';
import type { Element } from './elements.js';
import type { Exploration, Rules } from './explorer.js';
import { explore, Violation } from './explorer.js';
import { follow, followerActions, zombieFollows } from './followers.js';
import { moverActions, start } from './movers.js';
import type { Program } from './program.js';
import { ownerOf, routerActions, straggler } from './routers.js';
import type { Beginning, Kind, Late, World } from './world.js';
import { beginning, entryOf, ORIGIN, SITES, without } from './world.js';

/** Who wants what, and what can go wrong meanwhile. */
export interface Scenario extends Beginning {
  /** Of each partition's mover. */
  readonly goals: readonly (readonly Program[])[];
  /** What the first partition's mover has done before, without trouble; a stale router knows nothing of it. */
  readonly before?: readonly Program[];
  readonly kinds?: readonly Kind[];
  /** Tokens that are written; the first one if nothing is said. */
  readonly written?: readonly number[];
  /** How often the janitor may be stopped by what others have left behind, before that is a fault. */
  readonly looks?: number;
  readonly leftOut?: Element;
}

export function exploreScenario(scenario: Scenario, limit?: number): Exploration {
  const { goals, before = [], leftOut } = scenario;
  const prepared = before.reduce(
    (world, program) => runThrough(world, world.entries[0]!.id, program, leftOut),
    beginning(scenario),
  );
  const world = goals.reduce((each, _, index) => start(each, goals, index, 0, []), prepared);
  return explore(world, rulesOf(scenario), limit);
}

const rulesOf = ({ goals, kinds = [], written = [0], looks = 1, leftOut }: Scenario): Rules => ({
  *actions(world) {
    yield* moverActions(world, goals, leftOut);
    yield* routerActions(world, kinds, written, leftOut);
    yield* followerActions(world, leftOut);
    for (const [index, late] of world.late.entries()) {
      const rest = { ...world, late: without(world.late, index) };
      yield [nameOf(late), () => arriveLate(rest, late, leftOut)];
    }
  },
  check: acceptedOnce,
  atEnd: (world) => wholeAgain(world, looks, leftOut),
});

const nameOf = (late: Late): string => {
  if (late.kind === 'effect') return `late: ${late.effect.do}`;
  return late.kind === 'write' ? 'late: a write' : `late: replication ${late.direction}`;
};

function arriveLate(world: World, late: Late, leftOut: Element | undefined): World {
  switch (late.kind) {
    case 'effect':
      return arrive(world, late.effect, late.sharing, leftOut);
    case 'follower':
      return zombieFollows(world, late, leftOut);
    case 'write':
      return straggler(world, late.op, leftOut);
  }
}

/** At every moment each token is accepted by one server at most. */
function acceptedOnce({ servers }: World): void {
  for (const token of servers.A.accepts) {
    if (servers.B.accepts.includes(token)) throw new Violation(`token ${token} is accepted at both sides`);
  }
}

/**
 * When nothing happens any more, the janitor takes the step over; then nothing may be half-done: each token has one server
 * that accepts it, which has all that was written, and so has the copy as long as replication runs.
 */
function wholeAgain(ended: World, looks: number, leftOut: Element | undefined): void {
  const world = drained(
    ended.entries.reduce((before, { id }) => cleanedUp(before, id, looks, leftOut), ended),
    leftOut,
  );
  acceptedOnce(world);
  for (const entry of world.entries) {
    if (!['idle', 'retiring', undefined].includes(entry.handover?.state.kind))
      throw new Violation('a step is left half-done');
    for (let token = Number(entry.box[0].low); token < Number(entry.box[0].high); token++) whole(world, entry, token);
  }
}

function whole({ servers, checkpoints, truth }: World, entry: Partition, token: number): void {
  const owner = ownerOf(entry, token);
  if (!servers[owner].accepts.includes(token)) throw new Violation(`at the end nobody accepts token ${token}`);
  const replicated = checkpoints.forward !== null && checkpoints.back !== null;
  for (const site of SITES) {
    if (site !== owner && !replicated) continue;
    if (servers[site].documents[token] !== truth[token]) {
      throw new Violation(`at the end ${site} has not what was written of token ${token}`);
    }
  }
}

/** The janitor's take-over, without trouble. */
function cleanedUp(world: World, id: string, looks: number, leftOut: Element | undefined): World {
  for (let look = 1; look <= looks; look++) {
    const state = entryOf(world, id).handover?.state.kind;
    if (state === undefined || state === 'idle' || state === 'retiring') return world;
    world = runThrough(world, id, takeOver, leftOut);
  }
  return world;
}

function runThrough(begun: World, id: string, program: Program, leftOut: Element | undefined): World {
  let world = begun;
  const sharing = world.entries.filter((entry) => entry.id !== id);
  const step = program(entryOf(world, id));
  try {
    let next = step.next();
    while (next.done !== true) {
      const effect = next.value;
      if (effect.do === 'passMarker') world = drained(sendMarker(world, effect), leftOut);
      const done = perform(world, effect, sharing, leftOut)[0]!;
      world = done.world;
      next = step.next(done.value);
    }
  } catch (error) {
    if (!(error instanceof DroverError)) throw error;
  }
  return world;
}

/** Everything that is in the change logs is applied. */
function drained(world: World, leftOut: Element | undefined): World {
  for (const direction of ['forward', 'back'] as readonly Direction[]) {
    while (world.checkpoints[direction] !== null && world.servers[ORIGIN[direction]].log.length > 0) {
      world = follow(world, direction, leftOut);
    }
  }
  const more = (['forward', 'back'] as const).some(
    (direction) => world.checkpoints[direction] !== null && world.servers[ORIGIN[direction]].log.length > 0,
  );
  return more ? drained(world, leftOut) : world;
}
