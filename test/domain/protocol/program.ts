import { DroverError } from '../../../domain/errors.js';
import type { ErrorCode } from '../../../domain/errors.js';
import type { Partition } from '../../../domain/partition.js';
import type { Effect, Step } from '../../../domain/step.js';

/** A part of the protocol, from what an attempt has read in the catalog when it began. */
export type Program = (held: Partition) => Step<unknown>;

export type Outcome =
  | { readonly kind: 'returns'; readonly value: unknown }
  | { readonly kind: 'throws'; readonly code: ErrorCode | 'no answer' };

/**
 * A place in a program that runs. A generator can't be copied, so a place is what has led there: the outcomes of all
 * effects so far, which are played again to a fresh generator when the next one is asked for.
 */
export class Place {
  private static count = 0;
  private static readonly roots = new Map<Program, Map<string, Place>>();
  private readonly after = new Map<string, Place>();
  readonly id = Place.count++;
  /** The next effect; `null` at the end. */
  readonly effect: Effect | null;
  readonly failed: boolean;

  private constructor(
    private readonly program: Program,
    private readonly held: Partition,
    private readonly outcomes: readonly Outcome[],
  ) {
    const { effect, failed } = replay(program(held), outcomes);
    this.effect = effect;
    this.failed = failed;
  }

  static start(program: Program, held: Partition): Place {
    const roots = Place.roots.get(program) ?? new Map<string, Place>();
    Place.roots.set(program, roots);
    return found(roots, text(held), () => new Place(program, held, []));
  }

  next(outcome: Outcome): Place {
    return found(this.after, text(outcome), () => new Place(this.program, this.held, [...this.outcomes, outcome]));
  }
}

function found(places: Map<string, Place>, key: string, make: () => Place): Place {
  let place = places.get(key);
  if (place === undefined) places.set(key, (place = make()));
  return place;
}

function replay(step: Step<unknown>, outcomes: readonly Outcome[]): { effect: Effect | null; failed: boolean } {
  try {
    let result = step.next();
    for (const outcome of outcomes) {
      result = outcome.kind === 'returns' ? step.next(outcome.value) : step.throw(errorOf(outcome.code));
    }
    return { effect: result.done === true ? null : result.value, failed: false };
  } catch (error) {
    // What the protocol does not foresee is a fault of the protocol.
    if (!(error instanceof DroverError)) throw error;
    return { effect: null, failed: true };
  }
}

const errorOf = (code: ErrorCode | 'no answer'): Error =>
  code === 'no answer' ? new DroverError('Unavailable', code) : new DroverError(code, code);

/** As JSON, which knows no bigint and would be slower. */
export function text(value: unknown): string {
  if (typeof value !== 'object' || value === null) return typeof value === 'string' ? `"${value}"` : String(value);
  if (value instanceof Place) return `@${value.id}`;
  let written = '';
  if (Array.isArray(value)) {
    for (const item of value as unknown[]) written += `${text(item)},`;
    return `[${written}]`;
  }
  for (const name in value) written += `${name}:${text((value as Record<string, unknown>)[name])},`;
  return `{${written}}`;
}
