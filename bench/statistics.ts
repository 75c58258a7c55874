/** Least, middle and largest of several measurements of one thing. */
export interface Spread {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

/**
 * The value that a share `q` of all values does not exceed (nearest rank: always one that was measured).
 *
 * @example
 * quantile([30, 10, 20], 0.5); // 20
 */
export function quantile(values: readonly number[], q: number): number {
  if (values.length === 0) throw new RangeError('nothing was measured');
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length, Math.max(1, Math.ceil(q * sorted.length))) - 1]!;
}

export const spread = (values: readonly number[]): Spread => ({
  min: quantile(values, 0),
  median: quantile(values, 0.5),
  max: quantile(values, 1),
});
