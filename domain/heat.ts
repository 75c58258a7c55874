/** Requests per second over a time; 0 for no time at all. */
export const requestsPerSecond = (requests: number, observedMs: number): number =>
  observedMs > 0 ? (1000 * requests) / observedMs : 0;

/**
 * Rate of requests now, per window: the mean of all windows, each with half the weight of the one `halfLife` windows later
 * (exponential smoothing, Brown 1956, divided by its own weights, so that the first windows count as they are).
 *
 * @param requests per window, oldest first
 */
export function recentRate(requests: readonly number[], halfLife: number): number {
  const factor = 0.5 ** (1 / Math.max(halfLife, Number.MIN_VALUE));
  let sum = 0;
  let weights = 0;
  for (const count of requests) {
    sum = sum * factor + count;
    weights = weights * factor + 1;
  }
  return weights > 0 ? sum / weights : 0;
}

/**
 * How hot something is among its like, in [0, 1): `rate / (rate + mean rate)`. 0: nobody uses it; 0.5: as much used as the
 * mean of all; 0.9: nine times as much. Independent of how busy all of them are.
 *
 * @returns undefined where none of them is used
 */
export function heat(rate: number, meanRate: number): number | undefined {
  return meanRate > 0 ? rate / (rate + meanRate) : undefined;
}

/** Slopes of all pairs are looked at: of more windows, neighbours are added up. */
const MOST_POINTS = 64;
const LEAST_POINTS = 4;

/**
 * Growth of a load or a size, as a share of its median per unit of time: 0.1 grows by 10 %, -0.1 shrinks by it. The slope is the median
 * of those of all pairs of points (Theil 1950, Sen 1968), which a third of wild values does not change.
 *
 * @param values at equal distances in time, oldest first
 * @param perUnit how many of them make up the unit of time, such as those of a day
 * @returns undefined where there are fewer than four points, or their median is 0
 */
export function growth(values: readonly number[], perUnit: number): number | undefined {
  const together = Math.ceil(values.length / MOST_POINTS);
  const points: number[] = [];
  for (let end = values.length; end - together >= 0 && together > 0; end -= together) {
    points.unshift(values.slice(end - together, end).reduce((sum, value) => sum + value, 0) / together);
  }
  if (points.length < LEAST_POINTS) return undefined;
  const middle = median(points);
  if (middle <= 0) return undefined;
  const slopes: number[] = [];
  for (let i = 0; i < points.length; i++) {
    for (let j = i + 1; j < points.length; j++) slopes.push((points[j]! - points[i]!) / (j - i));
  }
  return ((median(slopes) / together) * perUnit) / middle;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
