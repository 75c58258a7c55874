/** Bytes of documents (BSON) that requests have carried. Those of routers are estimates (router/sampled-sizes.ts). */
export interface AccessBytes {
  /** Of documents that nodes have sent in answer. */
  readonly read: number;
  /** Of documents, updates and replacements that were sent to be stored. */
  readonly written: number;
  /** Of how many requests this is known: of others, nothing is. */
  readonly requests: number;
}

/** What may have been written by somebody who did not count bytes: unknown, then, and not zero. */
export interface WithBytes {
  readonly bytes?: AccessBytes;
}

/** Added up, as far as they are known; without any that are, nothing. */
export function totalBytes(all: readonly WithBytes[]): WithBytes {
  let total: AccessBytes | undefined;
  for (const { bytes } of all) {
    if (bytes === undefined) continue;
    const { read, written, requests } = total ?? NONE;
    total = { read: read + bytes.read, written: written + bytes.written, requests: requests + bytes.requests };
  }
  return total === undefined ? {} : { bytes: total };
}

/** An even part of them. */
export function partOfBytes({ bytes }: WithBytes, parts: number): WithBytes {
  if (bytes === undefined) return {};
  const { read, written, requests } = bytes;
  return { bytes: { read: read / parts, written: written / parts, requests: requests / parts } };
}

const NONE: AccessBytes = { read: 0, written: 0, requests: 0 };
