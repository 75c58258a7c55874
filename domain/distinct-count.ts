import { TOKEN_END, TOKEN_MIN } from './token.js';

/** The standard error of an estimate is `1 / sqrt(HASHES_KEPT - 2)`: 6 %. Up to so many different items are counted exactly. */
export const HASHES_KEPT = 256;
const SPACE = Number(TOKEN_END - TOKEN_MIN);

/**
 * How many different items a stream has, in bounded memory, by the smallest of their hashes ("k minimum values": Beyer et al.,
 * SIGMOD 2007). Such sketches are merged by taking the {@link HASHES_KEPT} smallest of all their hashes, wherever they come from.
 *
 * Hashes are signed 64-bit integers, spread evenly, such as {@link Token}s.
 */
export class DistinctCount {
  private hashes = new Set<bigint>();
  /** No larger one is among the smallest. */
  private largest = TOKEN_END;

  add(hash: bigint): void {
    if (hash >= this.largest) return;
    this.hashes.add(hash);
    if (this.hashes.size >= 2 * HASHES_KEPT) this.hashes = new Set(this.sketch());
  }

  /** Ascending. */
  sketch(): readonly bigint[] {
    const sketch = smallest(this.hashes);
    if (sketch.length === HASHES_KEPT) this.largest = sketch.at(-1)!;
    return sketch;
  }
}

/** @returns those that a sketch of all of them keeps, ascending */
export const smallest = (hashes: Iterable<bigint>): bigint[] =>
  [...new Set(hashes)].sort((a, b) => (a < b ? -1 : 1)).slice(0, HASHES_KEPT);

/** @param sketch ascending */
export function distinctIn(sketch: readonly bigint[]): number {
  if (sketch.length < HASHES_KEPT) return sketch.length;
  return Math.round(((HASHES_KEPT - 1) * SPACE) / Number(sketch[HASHES_KEPT - 1]! - TOKEN_MIN));
}
