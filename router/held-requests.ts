import { DroverError } from '../domain/errors.js';
import { clientClosed } from './client-closed.js';
import type { PartitionRoute } from './route-table.js';

/** Requests that wait for a hand-over to end: so many at most, and none once the client is closed. */
export class HeldRequests {
  private readonly byRoute = new Map<PartitionRoute, number>();
  private held = 0;
  private closed = false;

  constructor(private readonly most: number) {}

  get count(): number {
    return this.held;
  }

  /**
   * Ends with the next change of the route, or at the deadline (milliseconds of `performance.now()`).
   *
   * @throws DroverError `Unavailable` at once when too many wait already, or when the client is closed meanwhile
   */
  async nextChange(route: PartitionRoute, deadline: number): Promise<void> {
    if (this.closed) throw clientClosed();
    if (this.held >= this.most) {
      throw new DroverError(
        'Unavailable',
        `a part of ${route.partition.id} is changing hands, and ${this.most} requests wait for hand-overs already: this one was ` +
          'not sent; repeat it in a moment, or connect with a larger { maxHeldRequests }',
      );
    }
    this.held += 1;
    this.byRoute.set(route, (this.byRoute.get(route) ?? 0) + 1);
    try {
      await route.nextChange(deadline);
    } finally {
      this.held -= 1;
      const left = this.byRoute.get(route)! - 1;
      if (left === 0) this.byRoute.delete(route);
      else this.byRoute.set(route, left);
    }
    if (this.closed) throw clientClosed();
  }

  close(): void {
    this.closed = true;
    for (const route of this.byRoute.keys()) route.wake();
  }
}
