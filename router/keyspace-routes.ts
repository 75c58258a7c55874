import type { Partition } from '../domain/partition.js';
import { tokensOf } from '../domain/partition.js';
import type { Token } from '../domain/token.js';
import { contains } from '../domain/token.js';

const ROOM = 64;

/** A partition as it is known at this moment. */
interface Route {
  readonly partition: Partition;
  readonly epoch: number;
}

/** Partitions of one keyspace, ordered by their low token. No two of them overlap. */
export class KeyspaceRoutes<R extends Route> {
  readonly routes: R[] = [];
  /** Low tokens of the routes as numbers, which are quicker to compare but not exact, and room for more. */
  private lows = new Float64Array(ROOM);

  find(token: Token): R | undefined {
    const route = this.routes[this.after(token) - 1];
    return route !== undefined && contains(tokensOf(route.partition), token) ? route : undefined;
  }

  /**
   * Puts a route in the place of those that it overlaps, if it is newer than each of them.
   *
   * @returns those that are not here any more: they, or the route itself
   */
  insert(route: R): R[] {
    const { low, high } = tokensOf(route.partition);
    const after = this.after(low);
    const before = this.routes[after - 1];
    const from = before !== undefined && tokensOf(before.partition).high > low ? after - 1 : after;
    let to = from;
    while (to < this.routes.length && tokensOf(this.routes[to]!.partition).low < high) to += 1;
    const overlapping = this.routes.slice(from, to);
    if (overlapping.some(({ epoch }) => epoch >= route.epoch)) return [route];
    this.replace(from, to, [route]);
    return overlapping;
  }

  /** @param low its low token when it was inserted */
  remove(route: R, low: Token): void {
    const at = this.after(low) - 1;
    if (this.routes[at] === route) this.replace(at, at + 1, []);
  }

  /** Position of the first route that begins after the token. */
  private after(token: Token): number {
    const number = Number(token);
    let low = 0;
    let high = this.routes.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.lows[middle]! <= number) low = middle + 1;
      else high = middle;
    }
    // Tokens that are the same as numbers.
    while (low > 0 && tokensOf(this.routes[low - 1]!.partition).low > token) low -= 1;
    return low;
  }

  private replace(from: number, to: number, routes: readonly R[]): void {
    const { length } = this.routes;
    const grown = length - (to - from) + routes.length;
    if (grown > this.lows.length) {
      const larger = new Float64Array(2 * grown);
      larger.set(this.lows);
      this.lows = larger;
    }
    this.lows.copyWithin(from + routes.length, to, length);
    for (const [i, { partition }] of routes.entries()) this.lows[from + i] = Number(tokensOf(partition).low);
    this.routes.splice(from, to - from, ...routes);
  }
}
