/** Requests to one partition that a node has served. */
export interface ServedRequests {
  readonly reads: number;
  readonly writes: number;
}

/** What a node uses, as far as it tells. */
export interface NodeUse {
  /** CPU in cores. */
  readonly cpuCores?: number | undefined;
  readonly diskReadMbPerSecond?: number | undefined;
  readonly diskWriteMbPerSecond?: number | undefined;
  /** Mean time of one, by the server itself. */
  readonly latencyMs?: { readonly reads?: number; readonly writes?: number } | undefined;
}

/** A partition's part in what its node uses; unknown where the node does not tell, or nothing was served. */
export interface AttributedUse {
  /** Of the node's work for requests, in [0, 1]. */
  readonly share: number | null;
  readonly cpuCores: number | null;
  readonly diskReadMbPerSecond: number | null;
  readonly diskWriteMbPerSecond: number | null;
}

/**
 * Attributes what a node uses to its partitions ("Resource use" of source document 3): CPU by the time that the server takes for their
 * reads and writes, reading from disk by their reads, writing by their writes. An estimate: what the server does for itself, and for
 * others, is divided along.
 */
export function attributed(served: readonly ServedRequests[], use: NodeUse): AttributedUse[] {
  const { reads: readMs, writes: writeMs } = use.latencyMs ?? {};
  // Of one kind alone nothing is known of the other.
  const [read, write] = readMs === undefined || writeMs === undefined ? [1, 1] : [readMs, writeMs];
  const work = sharesOf(served.map(({ reads, writes }) => reads * read + writes * write));
  const reading = sharesOf(served.map(({ reads }) => reads));
  const writing = sharesOf(served.map(({ writes }) => writes));
  return served.map((_, i) => ({
    share: work[i]!,
    cpuCores: part(use.cpuCores, work[i]!),
    diskReadMbPerSecond: part(use.diskReadMbPerSecond, reading[i]!),
    diskWriteMbPerSecond: part(use.diskWriteMbPerSecond, writing[i]!),
  }));
}

function sharesOf(weights: readonly number[]): (number | null)[] {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => (total > 0 ? weight / total : null));
}

const part = (of: number | undefined, share: number | null): number | null =>
  of === undefined || share === null ? null : of * share;
