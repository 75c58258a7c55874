import { DroverError } from '../../../domain/errors.js';
import { begun, perform, sendMarker } from './effects.js';
import type { Element } from './elements.js';
import type { Action } from './explorer.js';
import type { Outcome, Program } from './program.js';
import { Place } from './program.js';
import type { Attempt, Runner, World } from './world.js';
import { entryOf, replaced, spend, without } from './world.js';

/** Effects that change nothing: nobody notices when they are done after their caller has given up. */
const LOOKING = new Set(['awaitRouters', 'awaitTransactions', 'awaitReplication', 'readTime']);

const READ_ANEW = 'partitions of the collection read anew' satisfies Element;

/**
 * Movers ask for the effects of their programs, one after the other. Every effect may fail to be answered, and is then
 * not done at all, or done later; a mover may be replaced at any time, and be dead, or go on at any later time.
 */
export function* moverActions(
  world: World,
  goals: readonly (readonly Program[])[],
  leftOut: Element | undefined,
): Generator<Action> {
  for (const [index, runner] of world.runners.entries()) {
    for (const [at, attempt] of runner.attempts.entries()) {
      yield* effectActions({ world, goals, leftOut, index, at }, attempt);
    }
    const finished = runner.goal === goals[index]!.length;
    if (finished || world.left.attempts === 0) continue;
    const paid = spend(world, 'attempts');
    const who = `mover of ${runner.partition}`;
    if (runner.failed) yield [`${who}: another attempt`, () => start(paid, goals, index, runner.goal, runner.attempts)];
    else {
      yield [
        `${who}: dies, another attempt`,
        () => start(paid, goals, index, runner.goal, runner.attempts.slice(0, -1)),
      ];
      if (world.left.zombies > 0) {
        yield [
          `${who}: sleeps, another attempt`,
          () => start(spend(paid, 'zombies'), goals, index, runner.goal, runner.attempts),
        ];
      }
    }
  }
}

interface Mover {
  readonly world: World;
  readonly goals: readonly (readonly Program[])[];
  readonly leftOut: Element | undefined;
  readonly index: number;
  /** Number of the attempt. */
  readonly at: number;
}

function* effectActions(mover: Mover, attempt: Attempt): Generator<Action> {
  const { world, index, at, leftOut } = mover;
  const { sharing, sent } = attempt;
  const effect = attempt.at.effect!;
  const runner = world.runners[index]!;
  const zombie = at < runner.attempts.length - 1 || runner.failed ? ' (zombie)' : '';
  const about =
    effect.do === 'advance' ? effect.event.kind : effect.do === 'setAccepted' ? `fence of ${effect.node}` : effect.do;
  const who = `mover of ${runner.partition}${zombie}: ${about}`;

  if (effect.do === 'passMarker' && !sent) {
    yield [`${who}, sent`, () => withAttempt(sendMarker(world, effect), index, at, { ...attempt, sent: true })];
  } else if (effect.do === 'setAccepted' && !sent && world.entries.length > 1 && leftOut !== READ_ANEW) {
    const others = world.entries.filter(({ id }) => id !== effect.partition.id);
    yield [`${who}, computed`, () => withAttempt(world, index, at, { ...attempt, sharing: others, sent: true })];
    return;
  } else {
    try {
      for (const { world: after, value } of perform(world, effect, sharing, leftOut)) {
        yield [who, () => goOn({ ...mover, world: after }, attempt, { kind: 'returns', value })];
      }
    } catch (error) {
      if (!(error instanceof DroverError)) {
        yield [who, () => raise(error)];
        return;
      }
      yield [`${who}: ${error.code}`, () => goOn(mover, attempt, { kind: 'throws', code: error.code })];
      return;
    }
  }
  if (effect.do === 'setAccepted' && world.left.busy > 0) {
    const paid = { ...mover, world: spend(world, 'busy') };
    yield [`${who}: a transaction is in the way`, () => goOn(paid, attempt, { kind: 'returns', value: false })];
  }
  if (world.left.faults === 0) return;
  const failing = { ...mover, world: spend(world, 'faults') };
  const noAnswer: Outcome = { kind: 'throws', code: 'no answer' };
  yield [`${who} fails`, () => goOn(failing, attempt, noAnswer)];
  if (LOOKING.has(effect.do) || (effect.do === 'passMarker' && sent)) return;
  yield [`${who} comes later`, () => {
    const after = begun(failing.world, effect);
    const late = [...after.late, { kind: 'effect', effect, sharing } as const];
    return goOn({ ...failing, world: { ...after, late } }, attempt, noAnswer);
  }]; // prettier-ignore
}

const withRunner = (world: World, index: number, change: Partial<Runner>): World => ({
  ...world,
  runners: replaced(world.runners, index, { ...world.runners[index]!, ...change }),
});

const withAttempt = (world: World, index: number, at: number, attempt: Attempt): World =>
  withRunner(world, index, { attempts: replaced(world.runners[index]!.attempts, at, attempt) });

/** Waits of no consequence are over at once: see `perform`. */
function settled(place: Place): Place {
  const waits = place.effect?.do === 'awaitTransactions' || place.effect?.do === 'awaitReplication';
  return waits ? settled(place.next({ kind: 'returns', value: true })) : place;
}

function goOn({ world, goals, index, at }: Mover, attempt: Attempt, outcome: Outcome): World {
  const place = settled(attempt.at.next(outcome));
  if (place.effect !== null) return withAttempt(world, index, at, { ...attempt, at: place, sent: false });
  const { attempts, goal, failed } = world.runners[index]!;
  const rest = without(attempts, at);
  const last = at === attempts.length - 1 && !failed;
  if (!last) return withRunner(world, index, { attempts: rest });
  return place.failed
    ? withRunner(world, index, { attempts: rest, failed: true })
    : start(world, goals, index, goal + 1, rest);
}

/** An attempt reads the catalog, and begins with its goal. */
export function start(
  world: World,
  goals: readonly (readonly Program[])[],
  index: number,
  goal: number,
  others: readonly Attempt[],
): World {
  const program = goals[index]![goal];
  if (program === undefined) return withRunner(world, index, { goal, attempts: others, failed: true });
  const held = entryOf(world, world.runners[index]!.partition);
  const sharing = world.entries.filter(({ id }) => id !== held.id);
  const attempt: Attempt = { at: settled(Place.start(program, held)), sharing, sent: false };
  if (attempt.at.effect === null) return start(world, goals, index, goal + 1, others);
  return withRunner(world, index, { goal, attempts: [...others, attempt], failed: false });
}

function raise(error: unknown): never {
  throw error;
}
