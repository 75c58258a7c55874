import { DroverError } from '../domain/errors.js';
import type { RouteFeed } from './route-feed.js';
import type { PartitionRoute } from './route-table.js';

/** Tells whether a node still was the owner when it answered: every change of ownership raises the route's epoch. */
export class LeaseCheck {
  constructor(
    private readonly feed: RouteFeed,
    private readonly onExpired: 'refuse' | 'serve',
  ) {}

  /** Known without a round trip: while the lease holds, no epoch passes this router by. */
  isSure(route: PartitionRoute, epoch: number): boolean {
    return this.feed.leaseValid() && route.epoch === epoch;
  }

  /**
   * Asks the catalog when the lease does not hold.
   *
   * @returns false when the request has to go by the newer route
   * @throws DroverError `Unavailable` when the catalog does not answer and such results are not to be served
   */
  async confirm(route: PartitionRoute, epoch: number, deadline: number): Promise<boolean> {
    if (this.feed.leaseValid() || (await this.readAgain(route, deadline)) || this.onExpired === 'serve') {
      return route.epoch === epoch;
    }
    throw new DroverError(
      'Unavailable',
      `whether ${route.partition.id} has moved can't be told: this client's lease has run out and the catalog does not ` +
        'answer. Repeat the request when the catalog can be reached, or connect with ' +
        "{ onLeaseExpired: 'serve' } to take such results as they are",
    );
  }

  private readAgain(route: PartitionRoute, deadline: number): Promise<boolean> {
    let timer: NodeJS.Timeout;
    const late = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), Math.max(0, deadline - performance.now()));
    });
    return Promise.race([this.feed.confirm(route.partition), late]).finally(() => clearTimeout(timer));
  }
}
