import { compareNames } from './names.js';

export interface Waiting<T> {
  readonly waiting: readonly T[];
  readonly nameOf: (each: T) => string;
  /** Who had the last turn, the time before. */
  readonly last: string | undefined;
  /** What is left of the time for all of them together, milliseconds. */
  readonly leftMs: () => number;
}

export interface TurnsTaken {
  /** Who had the last turn by now; undefined where nobody ever had one. */
  readonly last: string | undefined;
  /** For whom all of the time is not enough. */
  readonly tooLong?: string;
}

/**
 * Work that there is too little time for: one after the other in the order of their names, from after the one that had the last turn on,
 * until the time is used up; the others come next time. Each has its turn before any has a second one. Whoever began late, and was not
 * finished, is the first next time, and has all of the time then.
 *
 * @param work false where the time that is left was too short
 */
export async function takeTurns<T>(
  { waiting, nameOf, last, leftMs }: Waiting<T>,
  work: (each: T, leftMs: number) => Promise<boolean>,
): Promise<TurnsTaken> {
  const sorted = [...waiting].sort((a, b) => compareNames(nameOf(a), nameOf(b)));
  const next = sorted.findIndex((each) => last !== undefined && compareNames(nameOf(each), last) > 0);
  const order = next < 0 ? sorted : [...sorted.slice(next), ...sorted.slice(0, next)];
  let [had, tooLong]: (string | undefined)[] = [last];
  for (const each of order) {
    const left = leftMs();
    if (left <= 0) break;
    if (!(await work(each, left))) {
      if (each !== order[0]) break;
      tooLong = nameOf(each);
    }
    had = nameOf(each);
  }
  return { last: had, ...(tooLong === undefined ? {} : { tooLong }) };
}
