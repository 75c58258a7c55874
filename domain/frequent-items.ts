/**
 * Counts the frequent items of a stream in bounded memory (Misra and Gries 1982, with the reduction of Agarwal et al., "Mergeable
 * Summaries", 2012).
 *
 * Of `n` items an item's count is never too large, and too small by at most `n / (most + 1)`: one with a larger share is
 * always there. Up to `2 * most` different items all counts are exact.
 */
export class FrequentItems<T> {
  private readonly counts = new Map<T, number>();

  constructor(private readonly most: number) {}

  /**
   * @param times that it is to be counted: where each item stands for others, or another stream's counts are added
   * @returns whether the item was not among those counted before
   */
  add(item: T, times = 1): boolean {
    const count = this.counts.get(item);
    this.counts.set(item, count === undefined ? times : count + times);
    if (count !== undefined) return false;
    if (this.counts.size > 2 * this.most) this.thinOut();
    return true;
  }

  /** Different items that are counted at this moment. */
  get size(): number {
    return this.counts.size;
  }

  /** The most frequent ones, most frequent first. */
  top(number: number): (readonly [item: T, count: number])[] {
    return [...this.counts].sort((a, b) => b[1] - a[1]).slice(0, number);
  }

  /** Takes as much from every item as leaves `most` of them at the most. */
  private thinOut(): void {
    const excess = Float64Array.from(this.counts.values())
      .sort()
      .at(-1 - this.most)!;
    for (const [item, count] of this.counts) {
      if (count > excess) this.counts.set(item, count - excess);
      else this.counts.delete(item);
    }
  }
}
