/** Slopes of all pairs are looked at: of more points, neighbours are taken together. */
const MOST_POINTS = 64;
const LEAST_POINTS = 4;

/** A load or a size at a time. */
export interface TimedValue {
  readonly time: number;
  readonly value: number;
}

export interface Trend {
  /** By how much there is more after a unit of time; less where it is negative. */
  readonly perUnit: number;
  readonly median: number;
}

/**
 * Where values go. The slope is the median of those of all pairs of points (Theil 1950, Sen 1968), which a third of wild values does not
 * change.
 *
 * @param points oldest first, at any distances in time
 * @param unit of time, in what the points' times are in
 * @returns undefined where there are fewer than four points
 */
export function trend(points: readonly TimedValue[], unit: number): Trend | undefined {
  const together = Math.ceil(points.length / MOST_POINTS);
  const merged: TimedValue[] = [];
  for (let end = points.length; end - together >= 0 && together > 0; end -= together) {
    merged.unshift(meanOf(points.slice(end - together, end)));
  }
  if (merged.length < LEAST_POINTS) return undefined;
  const slopes: number[] = [];
  for (const [i, from] of merged.entries()) {
    for (const to of merged.slice(i + 1)) {
      if (to.time > from.time) slopes.push((to.value - from.value) / (to.time - from.time));
    }
  }
  if (slopes.length === 0) return undefined;
  return { perUnit: median(slopes) * unit, median: median(merged.map(({ value }) => value)) };
}

/**
 * Growth of a load or a size, as a share of its median per unit of time: 0.1 grows by 10 %, -0.1 shrinks by it.
 *
 * @param values at equal distances in time, oldest first
 * @param perUnit how many of them make up the unit of time, such as those of a day
 * @returns undefined where there are fewer than four points, or their median is 0
 */
export function growth(values: readonly number[], perUnit: number): number | undefined {
  const points = values.map((value, time) => ({ time, value }));
  return shareOf(trend(points, perUnit));
}

/** What grows by as much as it is grows by 1. */
export const shareOf = (found: Trend | undefined): number | undefined =>
  found === undefined || found.median <= 0 ? undefined : found.perUnit / found.median;

function meanOf(points: readonly TimedValue[]): TimedValue {
  const mean = (of: (point: TimedValue) => number) => points.reduce((sum, point) => sum + of(point), 0) / points.length;
  return { time: mean(({ time }) => time), value: mean(({ value }) => value) };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
