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
