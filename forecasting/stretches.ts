/** Ends of the stretches in hours, where the shortest season is a day; the last goes on to the end of the horizon. */
const ENDS = [0.25, 1, 3, 6, 12];

/**
 * Cuts a horizon into stretches: what is best for the next minutes is not for tomorrow, so models are weighed and
 * intervals measured for each stretch by itself.
 *
 * @returns the end of each stretch in steps, exclusive, rising; the last is the horizon
 */
export function stretchEnds(horizon: number, unit: number): number[] {
  const ends = ENDS.map((end) => Math.max(1, Math.round(end * unit))).filter((end) => end < horizon);
  return [...new Set(ends), horizon];
}

/** For each step the number of its stretch. */
export function stretchOfSteps(ends: readonly number[]): Uint8Array {
  const stretches = new Uint8Array(ends.at(-1) ?? 0);
  ends.forEach((end, stretch) => stretches.fill(stretch, ends[stretch - 1] ?? 0, end));
  return stretches;
}
