import { shutOut } from '../../../domain/boundary-step.js';
import { sides } from '../../../domain/handover.js';
import type { Effect, Step } from '../../../domain/step.js';
import { advance, perform } from '../../../domain/step.js';
import type { Program } from './program.js';

type Which = (effect: Effect) => boolean;

/** The program as it would be if somebody had forgotten an effect: it is not done, and taken to have succeeded. */
export function leavingOut(which: Which, program: Program): Program {
  return changed(program, function* (effect) {
    return which(effect) ? undefined : yield effect;
  });
}

/** The program with one effect moved behind another one. */
export function postponing(which: Which, behind: Which, program: Program): Program {
  let postponed: Effect | null = null;
  return changed(
    program,
    function* (effect) {
      if (which(effect)) {
        postponed = effect;
        return effect.do === 'readTime' ? 0n : undefined;
      }
      const outcome = yield effect;
      if (postponed !== null && behind(effect)) {
        const waiting = postponed;
        postponed = null;
        yield waiting;
      }
      return outcome;
    },
    () => (postponed = null),
  );
}

/** A take-over in the middle of an attempt's own step that is none: the attempt goes on under its number, with its gate. */
export function undoingAsItself(program: Program): Program {
  let first = true;
  return changed(
    program,
    function* (effect) {
      const takesOver = effect.do === 'advance' && effect.event.kind === 'takeOver';
      if (takesOver && !first) return effect.partition;
      if (takesOver) first = false;
      return yield effect;
    },
    () => (first = true),
  );
}

export const named =
  (...names: Effect['do'][]): Which =>
  (effect) =>
    names.includes(effect.do);
export const event =
  (kind: string): Which =>
  (effect) =>
    effect.do === 'advance' && effect.event.kind === kind;

/** The program, but for a step that another attempt has left behind as owned: that one is undone. */
export const undoingWhatIsOwned = (program: Program): Program =>
  function* (held) {
    const state = held.handover?.state;
    if (state?.kind !== 'owned') return yield* program(held);
    const undoing = yield* advance(yield* shutOut(held), { kind: 'undo' });
    const { direction } = state;
    yield* perform<'takeBack'>({ do: 'takeBack', direction, begun: undoing.epoch - 2, undone: undoing.epoch });
    const node = sides(undoing, direction).losing;
    yield* perform<'setAccepted'>({ do: 'setAccepted', partition: undoing, node });
    return yield* advance(undoing, { kind: 'settle' });
  };

function changed(
  program: Program,
  change: (effect: Effect) => Step<unknown>,
  begin: () => void = () => undefined,
): Program {
  return function* (held) {
    begin();
    const inner = program(held);
    let next = inner.next();
    while (next.done !== true) {
      try {
        next = inner.next(yield* change(next.value));
      } catch (error) {
        next = inner.throw(error);
      }
    }
    return next.value;
  };
}
