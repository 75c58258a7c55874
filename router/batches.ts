/** Documents as they come, some at a time. */
export interface Batches<T> {
  /** Never empty; `null` at the end. */
  next(): Promise<T[] | null>;
  close(): Promise<void>;
}

/** Leaves the first `skip` out, and all after the next `limit`. */
export class Window<T> implements Batches<T> {
  private toSkip: number;
  private rest: number;

  constructor(
    private readonly batches: Batches<T>,
    skip = 0,
    limit = Infinity,
  ) {
    this.toSkip = skip;
    this.rest = limit;
  }

  async next(): Promise<T[] | null> {
    while (this.rest > 0) {
      const batch = await this.batches.next();
      if (batch === null) return null;
      const left = batch.slice(this.toSkip, this.toSkip + this.rest);
      this.toSkip -= Math.min(this.toSkip, batch.length);
      if (left.length === 0) continue;
      this.rest -= left.length;
      // As a server closes its cursor with the last document.
      if (this.rest === 0) await this.close();
      return left;
    }
    return null;
  }

  close(): Promise<void> {
    return this.batches.close();
  }
}
