/**
 * Less than this would be no pace but a stop: a single document of 16 MB, which is the most there is, takes nearly two days.
 * Megabytes (10^6 bytes) per second.
 */
export const LEAST_MEGABYTES_PER_SECOND = 0.0001;

/** Whether copying may be limited to so many megabytes a second; 0 is no limit. */
export const isCopyRate = (megabytesPerSecond: number): boolean =>
  megabytesPerSecond === 0 || (megabytesPerSecond >= LEAST_MEGABYTES_PER_SECOND && Number.isFinite(megabytesPerSecond));
