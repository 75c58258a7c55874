import type { NodeName } from './partition.js';
import type { Interval } from './token.js';
import { TOKEN_MIN } from './token.js';

/** The token space cut into `count` intervals of equal width (within one token). */
export function equalIntervals(count: number): Interval[] {
  const bound = (i: number) => TOKEN_MIN + (BigInt(i) * 2n ** 64n) / BigInt(count);
  return Array.from({ length: count }, (_, i) => ({ low: bound(i), high: bound(i + 1) }));
}

/**
 * Places partitions on nodes by consistent hashing with bounded load: highest random weight (rendezvous hashing; Thaler and
 * Ravishankar 1998) decides, and no node gets more than `ceil(partitions / nodes)` (Mirrokni et al. 2018). A node that
 * joins or leaves changes the place of few partitions.
 */
export function place(partitions: readonly string[], nodes: readonly NodeName[]): Map<string, NodeName> {
  const room = Math.ceil(partitions.length / Math.max(1, nodes.length));
  const taken = new Map<NodeName, number>();
  const placed = new Map<string, NodeName>();
  for (const partition of partitions) {
    const ranked = [...nodes].sort((a, b) => rank(partition, b) - rank(partition, a) || (a < b ? -1 : 1));
    const node = ranked.find((candidate) => (taken.get(candidate) ?? 0) < room);
    if (node === undefined) continue;
    taken.set(node, (taken.get(node) ?? 0) + 1);
    placed.set(partition, node);
  }
  return placed;
}

const rank = (partition: string, node: string): number => hash32(`${partition}\u0000${node}`);

/** A well-mixed number below 2^32: FNV-1a, then the finaliser of MurmurHash3. */
export function hash32(text: string): number {
  let hash = 0x811c9dc5;
  for (const char of text) {
    hash = Math.imul(hash ^ char.codePointAt(0)!, 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
