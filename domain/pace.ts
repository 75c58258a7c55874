/** How fast a long piece of work goes, smoothed over about a quarter of a minute. Times in milliseconds by any one clock. */
export interface Pace {
  /** When this work was first looked at. */
  readonly since: number;
  readonly at: number;
  /** Documents, bytes, or whatever else is counted, at that time. */
  readonly done: number;
  /** Absent until enough time has passed to say anything. */
  readonly perSecond?: number;
}

/** What is older than this hardly counts. */
const SMOOTHED_OVER_MS = 15_000;
/** Within less time batches, not a speed, would be seen. */
const ENOUGH_MS = 250;
/** Longer than any phase may take: nobody knows. */
const LONGEST_S = 30 * 86_400;

export const paceFrom = (at: number, done: number): Pace => ({ since: at, at, done });

/**
 * The pace after another look: the mean since the beginning at first, later a moving one. Work that begins anew, and has
 * less done than before, has a new pace.
 *
 * @example
 * paceAt(paceFrom(0, 0), 2_000, 500).perSecond; // 250
 */
export function paceAt(before: Pace, at: number, done: number): Pace {
  if (done < before.done) return paceFrom(at, done);
  const passed = at - before.at;
  if (passed < ENOUGH_MS) return before;
  const now = ((done - before.done) * 1000) / passed;
  const share = Math.max(1 - Math.exp(-passed / SMOOTHED_OVER_MS), passed / (at - before.since));
  const perSecond = before.perSecond === undefined ? now : before.perSecond + share * (now - before.perSecond);
  return { since: before.since, at, done, perSecond };
}

/** Seconds that what is left will take, whole ones; undefined while nobody can know. */
export function secondsLeft(perSecond: number | undefined, left: number): number | undefined {
  if (left <= 0) return 0;
  if (perSecond === undefined || !(perSecond > 0)) return undefined;
  const seconds = Math.ceil(left / perSecond);
  return seconds <= LONGEST_S ? seconds : undefined;
}
