import type { ClusterTime } from './partition.js';

/**
 * One look at a copy that replication keeps: the origin was asked for its time, and once it had answered, the copy's checkpoint was
 * read. Looks follow each other: the origin is asked again only after the checkpoint was read.
 */
export interface Look {
  /** Before the origin was asked; milliseconds of the reader's own monotonic clock. */
  readonly askedAt: number;
  /** Not earlier than anything that the origin had acknowledged when it was asked. */
  readonly originTime: ClusterTime;
  /** Changes of the origin before this time had been read from its log and applied. */
  readonly position: ClusterTime;
}

/** What a copy has, as of the last look at it. */
export interface Freshness {
  /** Everything that was acknowledged before; milliseconds of the reader's own monotonic clock. */
  readonly asOf: number;
  /** Every change of the origin before this time. */
  readonly position: ClusterTime;
}

/**
 * How fresh a copy is for certain. No clock of a server is compared with that of another one, nor with the reader's.
 *
 * Replication looks up the present state of what has changed. So the copy may be ahead of its position; but a document that
 * was deleted by the time of its look-up stays as it was before the change until the delete comes. Only when the position has passed
 * a time of the origin that is later than every such look-up, the copy has everything up to the earlier position. That is
 * the position of a look, once the origin's time in the next one has been passed.
 *
 * @param looks in the order in which they were made; any of them may be missing
 */
export function freshness(looks: readonly Look[]): Freshness | undefined {
  const last = looks.at(-1);
  if (last === undefined) return undefined;
  const settled = looks.findLast((_, i) => i + 1 < looks.length && looks[i + 1]!.originTime < last.position);
  if (settled === undefined) return undefined;
  const { position } = settled;
  // The position itself may be in the middle of what happened at that time.
  const seen = looks.findLast(({ originTime }) => originTime < position);
  return seen && { asOf: seen.askedAt, position };
}

const MOST_LOOKS = 64;

/** The looks that may still matter, with a new one. */
export function withLook(looks: readonly Look[], look: Look): Look[] {
  const all = [...looks, look];
  const fresh = freshness(all);
  const kept = fresh === undefined ? all : all.filter(({ askedAt }) => askedAt >= fresh.asOf);
  // A copy that stands still: some of the old looks are enough.
  return kept.length <= MOST_LOOKS ? kept : kept.filter((_, i) => i % 2 === 0 || i >= kept.length / 2);
}
