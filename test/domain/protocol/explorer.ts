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
  const numbering = new Numbering();
  const numbers = numbering.of(partsOf(start));
  const seen = new Set<string>([key(start, numbers)]);
  let open: { world: World; numbers: readonly number[]; step: Step | null }[] = [{ world: start, numbers, step: null }];
  let [actions, ends] = [0, 0];
  const result = (violation: Exploration['violation']) => ({ states: seen.size, actions, ends, violation });
  while (open.length > 0) {
    const next: typeof open = [];
    for (const { world, numbers, step } of open) {
      const parts = partsOf(world);
      let what = 'at the end';
      try {
        let stuck = true;
        for (const [label, act] of rules.actions(world)) {
          what = label;
          const after = act();
          stuck = false;
          actions++;
          const numbersAfter = numbering.of(partsOf(after), parts, numbers);
          const id = key(after, numbersAfter);
          if (seen.has(id)) continue;
          if (seen.size >= limit) throw new Error(`more than ${limit} states`);
          seen.add(id);
          rules.check(after);
          next.push({ world: after, numbers: numbersAfter, step: { what, before: step } });
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

/** Gives equal parts of worlds equal numbers. */
class Numbering {
  private readonly byText = new Map<string, number>();

  /** What a world shares with the one before it, of which the numbers are known, is not looked at again. */
  of(parts: readonly unknown[], before: readonly unknown[] = [], numbers: readonly number[] = []): number[] {
    return parts.map((part, i) => (i < before.length && part === before[i] ? numbers[i]! : this.numberOf(part)));
  }

  private numberOf(part: unknown): number {
    const written = text(part);
    let number = this.byText.get(written);
    if (number === undefined) this.byText.set(written, (number = this.byText.size));
    return number;
  }
}

/** What changes each by itself, in a fixed order. */
function partsOf({ entries, routes, servers, checkpoints, runners, late, routers, truth, written, left }: World) {
  const { forward, back } = checkpoints;
  return [entries, routes, servers.A, servers.B, forward, back, runners, truth, written, left, ...routers, ...late];
}

/** Routers differ in nothing but what they know and do, so their order says nothing; nor does that of late arrivals. */
function key({ routers, late }: World, numbers: readonly number[]): string {
  const lateAt = numbers.length - late.length;
  const routersAt = lateAt - routers.length;
  let id = '';
  for (let i = 0; i < routersAt; i++) id += coded(numbers[i]!);
  for (const number of numbers.slice(routersAt, lateAt).sort(ascending)) id += coded(number);
  for (const number of numbers.slice(lateAt).sort(ascending)) id += coded(number);
  return id;
}

const ascending = (a: number, b: number): number => a - b;

/** Two characters. */
const coded = (number: number): string => String.fromCharCode(number & 0xffff, number >>> 16);
