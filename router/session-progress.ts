import type { NodeName } from '../domain/partition.js';
import { sidesOf } from '../domain/partition.js';
import type { PartitionRoute } from './route-table.js';
import type { SeenRoute, SessionToken } from './session-token.js';
import { FIRST_EPOCH } from './session-token.js';

interface Seen {
  /** When the session first used the partition, by `performance.now()`; what a token brought was seen before anything else. */
  readonly since: number;
  /** Newest epoch that it went by. */
  epoch: number;
}

/**
 * What a session has seen of partitions, and whether its times at the nodes cover that. At each node the driver orders what a
 * session does by the node's own clock; what was seen at another node comes with the partition, at a time of the new owner that the
 * session does not know yet. All times here are of `performance.now()`.
 */
export class SessionProgress {
  private readonly seen = new Map<PartitionRoute, Seen>();
  /** The session's times at a node cover everything that the node owned then. */
  private readonly coveredAt = new Map<NodeName, number>();
  /** When something of what a node owns was last read from a copy elsewhere, which may be ahead of the session's times there. */
  private readonly copiedAt = new Map<NodeName, number>();

  constructor(private readonly before: SessionToken | undefined) {}

  /** The session uses partitions by the routes of this moment. */
  use(routes: readonly PartitionRoute[]): void {
    for (const route of routes) {
      const seen = this.seen.get(route);
      if (seen !== undefined) seen.epoch = Math.max(seen.epoch, route.epoch);
      else this.seen.set(route, { since: this.firstUse(route), epoch: route.epoch });
    }
  }

  /** Whether a node may have to answer by something later than the session's times there. */
  isBehind(routes: readonly PartitionRoute[], node: NodeName): boolean {
    const covered = this.coveredAt.get(node) ?? -Infinity;
    const copied = this.copiedAt.get(node);
    if (copied !== undefined && copied >= covered) return true;
    return routes.some((route) => {
      const gained = route.gainedAt(node);
      return gained >= covered && gained >= (this.seen.get(route)?.since ?? Infinity);
    });
  }

  /** @param at before the node's primary was asked for its time */
  cover(node: NodeName, at: number): void {
    this.coveredAt.set(node, Math.max(at, this.coveredAt.get(node) ?? -Infinity));
  }

  /**
   * A node has answered that was chosen at a time. What has been gained by others since may have changed there by now, and come back to
   * this one as a copy.
   */
  readAt(node: NodeName, routes: readonly PartitionRoute[], chosenAt: number): void {
    for (const route of routes) {
      for (const { node: owner } of sidesOf(route.partition)) {
        if (owner !== node && route.gainedAt(owner) >= chosenAt) this.readCopyOf(owner);
      }
    }
  }

  /** The session has read from a copy of what `owner` owns. */
  readCopyOf(owner: NodeName): void {
    this.copiedAt.set(owner, performance.now());
  }

  /** All that was seen, what a token brought included. */
  routes(): Pick<SessionToken, 'keyspaces' | 'routes'> {
    const keyspaces = new Set(this.before?.keyspaces);
    const routes = new Map<string, SeenRoute>(this.before?.routes);
    for (const [route, { epoch }] of this.seen) {
      const behind = sidesOf(route.partition).some(({ node }) => this.isBehind([route], node));
      keyspaces.add(route.partition.keyspace);
      routes.set(route.partition.id, { epoch, behind });
    }
    return { keyspaces, routes };
  }

  private firstUse(route: PartitionRoute): number {
    const { id, keyspace } = route.partition;
    if (this.before?.keyspaces.has(keyspace) !== true) return performance.now();
    const { epoch, behind } = this.before.routes.get(id) ?? { epoch: FIRST_EPOCH, behind: false };
    // By the same route, what the token says of the nodes' times covers all that was seen.
    return epoch === route.epoch && !behind ? performance.now() : -Infinity;
  }
}
