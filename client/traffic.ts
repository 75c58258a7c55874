import type { WithBytes } from '../domain/access-bytes.js';
import { totalBytes } from '../domain/access-bytes.js';

/** Bytes of the documents that requests have carried (docs/router/records.md). */
export interface Traffic {
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** Of how many requests that is known. */
  readonly requests: number;
}

export function trafficOf(windows: readonly WithBytes[]): Traffic | null {
  const { bytes } = totalBytes(windows);
  if (bytes === undefined) return null;
  const { read, written, requests } = bytes;
  return { bytesRead: Math.round(read), bytesWritten: Math.round(written), requests: Math.round(requests) };
}
