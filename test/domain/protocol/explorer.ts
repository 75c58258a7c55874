import { text } from './program.js';
import type { World } from './world.js';

/** What one party can do next, in words, and the world after it. */
export type Action = readonly [what: string, act: () => World];

/** Something that must never be, found while an action is done. */
export class Violation extends Error {
  override readonly name = 'Violation';
}

export interface Rules {
  readonly actions: (world: World) => Iterable<Action>;
  /** What has to hold in every state; throws a `Violation`. */
  readonly check: (world: World) => void;
  /** What has to hold when nothing can happen any more. */
  readonly atEnd: (world: World) => void;
}

export interface Exploration {
  readonly states: number;
  readonly actions: number;
  readonly ends: number;
  /** What went wrong first, and the shortest way there. */
  readonly violation: { readonly problem: string; readonly trace: readonly string[] } | null;
}

interface Step {
  readonly what: string;
  readonly before: Step | null;
}

/**
 * Every state that can be reached, breadth first, each once; ends with the first violation.
 *
 * @throws Error when there are more than `limit` states: nothing is known then
 */
export function explore(start: World, rules: Rules, limit = 2_000_000): Exploration {
  const seen = new Set<string>([key(start)]);
  let open: { world: World; step: Step | null }[] = [{ world: start, step: null }];
  let [actions, ends] = [0, 0];
  const result = (violation: Exploration['violation']) => ({ states: seen.size, actions, ends, violation });
  while (open.length > 0) {
    const next: typeof open = [];
    for (const { world, step } of open) {
      let what = 'at the end';
      try {
        let stuck = true;
        for (const [label, act] of rules.actions(world)) {
          what = label;
          const after = act();
          stuck = false;
          actions++;
          const id = key(after);
          if (seen.has(id)) continue;
          if (seen.size >= limit) throw new Error(`more than ${limit} states`);
          seen.add(id);
          rules.check(after);
          next.push({ world: after, step: { what, before: step } });
        }
        if (!stuck) continue;
        what = 'at the end';
        ends++;
        rules.atEnd(world);
      } catch (error) {
        if (!(error instanceof Violation)) throw error;
        return result({ problem: error.message, trace: traceOf({ what, before: step }) });
      }
    }
    open = next;
  }
  return result(null);
}

function traceOf(last: Step): string[] {
  const trace: string[] = [];
  for (let step: Step | null = last; step !== null; step = step.before) trace.unshift(step.what);
  return trace;
}

const numbers = new WeakMap<object, number>();
const byText = new Map<string, number>();

/** Equal parts of worlds have equal numbers; most parts are shared between a world and the next. */
function numberOf(part: object): number {
  let number = numbers.get(part);
  if (number === undefined) {
    const written = text(part);
    number = byText.get(written);
    if (number === undefined) byText.set(written, (number = byText.size));
    numbers.set(part, number);
  }
  return number;
}

/** Routers differ in nothing but what they know and do, so their order says nothing; nor does that of late arrivals. */
function key(world: World): string {
  const { servers, checkpoints, routers, late, ...parts } = world;
  return [...Object.values(parts), servers.A, servers.B, checkpoints.forward ?? 'none', checkpoints.back ?? 'none']
    .map((part) => (typeof part === 'object' ? numberOf(part) : part))
    .concat(['r', ...routers.map(numberOf).sort(), 'l', ...late.map(numberOf).sort()])
    .join();
}
