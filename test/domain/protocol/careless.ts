import type { Effect, Step } from '../../../domain/step.js';
import type { Program } from './program.js';

type Which = (effect: Effect) => boolean;

/** The program as it would be if somebody had forgotten an effect: it is not done, and taken to have succeeded. */
export function leavingOut(which: Which, program: Program): Program {
  return changed(program, 'without', function* (effect) {
    return which(effect) ? undefined : yield effect;
  });
}

/** The program with one effect moved behind another one. */
export function postponing(which: Which, behind: Which, program: Program): Program {
  let postponed: Effect | null = null;
  return changed(
    program,
    'postponing',
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
    'undoing as itself',
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

function changed(
  { name, step }: Program,
  how: string,
  perform: (effect: Effect) => Step<unknown>,
  begin: () => void = () => undefined,
): Program {
  return {
    name: `${how}: ${name}`,
    *step(held) {
      begin();
      const inner = step(held);
      let next = inner.next();
      while (next.done !== true) {
        try {
          next = inner.next(yield* perform(next.value));
        } catch (error) {
          next = inner.throw(error);
        }
      }
      return next.value;
    },
  };
}
