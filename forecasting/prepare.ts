/** A series without gaps, and which of its values were observed. */
export interface PreparedSeries {
  readonly values: Float64Array;
  /** One by one: what was filled in is not, nor what is known for a longer time only. */
  readonly observed: readonly boolean[];
  /** How many were filled in. */
  readonly gaps: number;
}

/** A sensor that says the same for this share of the shortest season, and says it at no other time, is taken for dead. */
const DEAD_SHARE = 0.25;

/**
 * Fills gaps (`NaN`): by the value a season earlier or else later, short ones by a straight line. A run of one value
 * that is found nowhere else, long and over by now, was a sensor that had died, and counts as a gap, too.
 *
 * @param season Length of the shortest season in steps; 1 without a season.
 * @param spread so many of the first values are means over a longer time
 */
export function prepareSeries(series: ArrayLike<number>, season: number, spread = 0): PreparedSeries {
  const values = Float64Array.from(series);
  // Means over an hour are the same for an hour.
  if (season > 1) forgetDeadRuns(values.subarray(spread), season * DEAD_SHARE);
  const isGap = Array.from(values, (value) => Number.isNaN(value));
  for (const [from, to] of runsOf(values, (value) => Number.isNaN(value))) fill(values, from, to, season);
  const observed = isGap.map((gap, at) => !gap && at >= spread);
  return { values, observed, gaps: isGap.filter(Boolean).length };
}

function forgetDeadRuns(values: Float64Array, atLeast: number): void {
  const runs = runsOf(values, (value, before) => value === before).map(([from, to]) => [from - 1, to] as const);
  for (const [from, to] of runs) {
    if (to - from < atLeast || to === values.length || from === 0) continue;
    const value = values[from]!;
    const elsewhere = values.findIndex((other, at) => other === value && (at < from || at >= to));
    if (elsewhere < 0) values.fill(NaN, from, to);
  }
}

/** `[from, to)` of the stretches in which `belongs` holds. */
function runsOf(values: Float64Array, belongs: (value: number, before: number | undefined) => boolean) {
  const runs: (readonly [number, number])[] = [];
  let from = -1;
  for (let at = 0; at <= values.length; at++) {
    const inside = at < values.length && belongs(values[at]!, values[at - 1]);
    if (inside && from < 0) from = at;
    if (!inside && from >= 0) {
      runs.push([from, at]);
      from = -1;
    }
  }
  return runs;
}

function fill(values: Float64Array, from: number, to: number, season: number): void {
  const before = values[from - 1] ?? values[to] ?? 0;
  const after = values[to] ?? before;
  const short = to - from <= Math.max(1, season / 24);
  for (let at = from; at < to; at++) {
    const straight = before + ((after - before) * (at - from + 1)) / (to - from + 1);
    const seasonal = season > 1 && !short ? (known(values[at - season]) ?? known(values[at + season])) : undefined;
    values[at] = seasonal ?? straight;
  }
}

const known = (value: number | undefined): number | undefined =>
  value === undefined || Number.isNaN(value) ? undefined : value;
