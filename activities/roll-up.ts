import type { Dependencies } from './dependencies.js';

/** Real time between two roll-ups, over all workers, milliseconds: once per window, within these bounds. */
const LEAST_BETWEEN_MS = 10_000;
const MOST_BETWEEN_MS = 5 * 60_000;

/**
 * Rolls up the access records that are old enough, when it is time for that. Any worker may do it, at any time; neither Temporal nor
 * an end of what the last one did is needed.
 *
 * @returns records that were rolled up; undefined when it was not time, or another worker is at it
 */
export async function rollUpWhenDue(dependencies: Dependencies, signal: AbortSignal): Promise<number | undefined> {
  const { catalog, access, clockRate } = dependencies;
  const everyMs = Math.min(MOST_BETWEEN_MS, Math.max(LEAST_BETWEEN_MS, access.window / clockRate));
  if (!(await catalog.settings.takeTurn('rollUp', everyMs))) return undefined;
  const { keep } = access;
  return catalog.accessRollUp.run(
    {
      before: dependencies.now() - keep.records,
      // The server removes by real time, and what is old from the beginning is kept as long as anything.
      keepWindowsMs: keep.windows / clockRate,
      keepHoursMs: keep.hours / clockRate,
      // What takes longer is not begun by another worker, too.
      onProgress: () => catalog.settings.holdTurn('rollUp', everyMs),
    },
    signal,
  );
}
