import pMap from 'p-map';
import { DroverError } from '../domain/errors.js';
import type { NodeName } from '../domain/partition.js';
import { acceptedBy, collectionOn, isSharedOn } from '../domain/partition.js';
import { hasFence } from '../store/fenced-collection.js';
import type { NodePool } from '../store/node-pool.js';
import type { KeyspaceHandle } from './keyspaces.js';
import type { RouteFeed } from './route-feed.js';
import type { KnownRoute, PartitionRoute, RouteTable } from './route-table.js';

/** The lease in which a read began; undefined when none held. */
export type ReadLease = number | undefined;

/** What was read: partitions that are in one collection at a node. */
export interface ReadPlace {
  readonly keyspace: KeyspaceHandle;
  readonly node: NodeName;
  readonly routes: readonly PartitionRoute[];
}

/** Nodes' fences that are looked at at once. */
const AT_ONCE = 16;

/**
 * Tells whether the copy that answered a plain read was still there to be read. While the lease holds, it was: no copy goes away before
 * this router has read its last there. Nobody waits for a router whose lease has run out, as that of a process that was stopped or
 * of a computer that slept: it may have asked the empty collection that took the copy's place.
 */
export class ReadCheck {
  constructor(
    private readonly feed: RouteFeed,
    private readonly table: RouteTable,
    private readonly nodes: NodePool,
    private readonly onExpired: 'refuse' | 'serve',
  ) {}

  begin(): ReadLease {
    return this.feed.leaseValid() ? this.feed.leaseNumber : undefined;
  }

  /** Known without a round trip. */
  isSure(begun: ReadLease): boolean {
    return begun !== undefined && this.feed.leaseValid() && this.feed.leaseNumber === begun;
  }

  /**
   * Waits for the lease to hold again, with which all routes have been read. Without the catalog, what was found is given as it is; that
   * there was nothing, where the node's own fence says that it still owns what it did.
   *
   * @param known the routes that the read went by
   * @param nothingAt where nothing was found
   * @returns false when it has to go by the newer ones
   * @throws DroverError `Unavailable` when nothing tells whether that is so because the data has moved, and it is not to be served
   */
  async confirm(known: readonly KnownRoute[], nothingAt: () => readonly ReadPlace[]): Promise<boolean> {
    const isRegained = await this.feed.regained();
    const isSame = ({ route, epoch }: KnownRoute) =>
      this.table.route(route.partition.id) === route && route.epoch === epoch;
    if (!known.every(isSame)) return false;
    if (!isRegained) await this.refuseUnsure(nothingAt());
    return true;
  }

  /** As {@link confirm} for what reads on in one place: the copy there stays for as long as the route names the node. */
  async confirmStay(known: readonly KnownRoute[], place: ReadPlace, foundNothing: boolean): Promise<boolean> {
    const isRegained = await this.feed.regained();
    const isThere = ({ route, epoch }: KnownRoute) => {
      const { source, target } = route.partition.route;
      const isKnown = this.table.route(route.partition.id) === route;
      return isKnown && (route.epoch === epoch || source === place.node || target === place.node);
    };
    if (!known.every(isThere)) return false;
    if (!isRegained && foundNothing) await this.refuseUnsure([place]);
    return true;
  }

  private async refuseUnsure(nothingAt: readonly ReadPlace[]): Promise<void> {
    if (this.onExpired === 'serve') return;
    const areOwned = await pMap(nothingAt, (place) => this.isAsKnown(place), { concurrency: AT_ONCE });
    if (!areOwned.includes(false)) return;
    throw new DroverError(
      'Unavailable',
      "nothing was found, and whether the data has moved can't be told: this client's lease has run out and the catalog does not " +
        'answer. Repeat the request when the catalog can be reached, or connect with ' +
        "{ onLeaseExpired: 'serve' } to take such results as they are",
    );
  }

  private async isAsKnown({ keyspace, node, routes: [route] }: ReadPlace): Promise<boolean> {
    const { partition } = route!;
    const collection = collectionOn(partition, node);
    const inIt = isSharedOn(partition, node)
      ? this.table
          .all(keyspace.name)
          .map((each) => each.partition)
          .filter((each) => isSharedOn(each, node) && collectionOn(each, node) === collection)
      : [partition];
    const client = this.nodes.peek(node) ?? (await this.nodes.get(node));
    const fence = { keyField: keyspace.field, accepted: acceptedBy(inIt, node) };
    return hasFence(client.db(keyspace.database), collection, fence);
  }
}

/** Reads on in one place, through a cursor. */
export class LongStay {
  private hasFound = false;

  /**
   * @param lease in which the routes were looked at
   * @param known the routes that it goes by
   */
  constructor(
    private readonly check: ReadCheck,
    private lease: ReadLease,
    private readonly known: readonly KnownRoute[],
    private readonly place: ReadPlace,
  ) {}

  /**
   * To be told of each answer.
   *
   * @returns whether it can be relied on
   * @throws DroverError `Unavailable` as {@link ReadCheck.confirm}
   */
  answered(hasFound: boolean): boolean | Promise<boolean> {
    this.hasFound ||= hasFound;
    return this.check.isSure(this.lease) || this.confirm();
  }

  private async confirm(): Promise<boolean> {
    const lease = this.check.begin();
    const isThere = await this.check.confirmStay(this.known, this.place, !this.hasFound);
    this.lease = lease ?? this.check.begin();
    return isThere;
  }
}

/** Of one node's answer: what an empty collection would have answered, too. */
export const isNothing = (answer: unknown): boolean =>
  answer === null || answer === 0 || (Array.isArray(answer) && answer.length === 0);
