/**
 * MongoDB's own hashed-index value of a partition key: a signed 64-bit integer.
 *
 * Bounds of intervals are half open, `[low, high)`, so the end of the token space is one past the largest token.
 */
export type Token = bigint;

export const TOKEN_MIN: Token = -(2n ** 63n);
/** One past the largest token; stored as MaxKey, since it does not fit into 64 bits. */
export const TOKEN_END: Token = 2n ** 63n;

/** Tokens `low <= t < high`. */
export interface Interval {
  readonly low: Token;
  readonly high: Token;
}

export const contains = (interval: Interval, token: Token): boolean => token >= interval.low && token < interval.high;

export const isEmpty = (interval: Interval): boolean => interval.low >= interval.high;

export const overlaps = (a: Interval, b: Interval): boolean => a.low < b.high && b.low < a.high;

/** The tokens in both, none where the result is empty. */
export const intersection = (a: Interval, b: Interval): Interval => ({
  low: a.low > b.low ? a.low : b.low,
  high: a.high < b.high ? a.high : b.high,
});

/** What is left of `intervals` when `cut` is taken out of each. */
export function subtract<T extends Interval>(intervals: readonly T[], cut: Interval): T[] {
  return intervals.flatMap((interval) =>
    [
      { ...interval, high: cut.low < interval.high ? cut.low : interval.high },
      { ...interval, low: cut.high > interval.low ? cut.high : interval.low },
    ].filter((rest) => !isEmpty(rest)),
  );
}

/** The same tokens in as few intervals as possible, in order. */
export function union(intervals: readonly Interval[]): Interval[] {
  const merged: Interval[] = [];
  for (const next of [...intervals].sort((a, b) => (a.low < b.low ? -1 : 1))) {
    const last = merged.at(-1);
    if (last === undefined || next.low > last.high) merged.push(next);
    else if (next.high > last.high) merged[merged.length - 1] = { ...last, high: next.high };
  }
  return merged;
}
