/** How fast a move may copy and compare; 0 is no limit. */
export interface CopyLimits {
  /** Megabytes (10^6 bytes) per second. */
  readonly maxMegabytesPerSecond: number;
  readonly maxDocumentsPerSecond: number;
}

/**
 * Less than this would be no pace but a stop: a single document of 16 MB, which is the most there is, takes nearly two days.
 * Megabytes (10^6 bytes) per second.
 */
export const LEAST_MEGABYTES_PER_SECOND = 0.0001;
export const LEAST_DOCUMENTS_PER_SECOND = 0.01;

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

const isLimit = (value: number, least: number): boolean => value === 0 || (value >= least && Number.isFinite(value));

/** Whether copying may be limited to so many megabytes a second; 0 is no limit. */
export const isCopyRate = (megabytesPerSecond: number): boolean =>
  isLimit(megabytesPerSecond, LEAST_MEGABYTES_PER_SECOND);

/** The same for documents a second. */
export const isDocumentRate = (documentsPerSecond: number): boolean =>
  isLimit(documentsPerSecond, LEAST_DOCUMENTS_PER_SECOND);
