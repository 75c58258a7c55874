/** How fast a move may copy and compare; 0 is no limit. */
export interface CopyLimits {
  /** Megabytes (10^6 bytes) per second. */
  readonly maxMegabytesPerSecond: number;
  readonly maxDocumentsPerSecond: number;
}

/**
 * Less than this would be no pace but a stop: at so many megabytes a second a single document of 16 MB, which is the most there is, takes
 * nearly two days.
 */
export const LEAST_LIMITS: CopyLimits = { maxMegabytesPerSecond: 0.0001, maxDocumentsPerSecond: 0.01 };

/** Whether copying may be limited to so much. */
export const isLimit = (name: keyof CopyLimits, value: number): boolean =>
  value === 0 || (value >= LEAST_LIMITS[name] && Number.isFinite(value));

/** Those of a policy where a move has none of its own; other languages send `null` for that. */
export const limitsOf = (given: Partial<CopyLimits>, policy: CopyLimits): CopyLimits => ({
  maxMegabytesPerSecond: given.maxMegabytesPerSecond ?? policy.maxMegabytesPerSecond,
  maxDocumentsPerSecond: given.maxDocumentsPerSecond ?? policy.maxDocumentsPerSecond,
});

export const BYTES_PER_MEGABYTE = 1_000_000;

/** How long it takes to go once through so much; 0 without a limit. */
export function secondsAtLeast(
  { maxMegabytesPerSecond, maxDocumentsPerSecond }: CopyLimits,
  { bytes, documents }: { readonly bytes: number; readonly documents: number },
): number {
  return Math.max(
    maxMegabytesPerSecond > 0 ? bytes / (maxMegabytesPerSecond * BYTES_PER_MEGABYTE) : 0,
    maxDocumentsPerSecond > 0 ? documents / maxDocumentsPerSecond : 0,
  );
}
