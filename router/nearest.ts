import type { ClientSession, MongoClient, Timestamp } from 'mongodb';
import { DroverError } from '../domain/errors.js';
import type { NodeName } from '../domain/partition.js';
import { collectionOn, sidesOf, tokensOf } from '../domain/partition.js';
import type { Interval } from '../domain/token.js';
import { timeFromBson } from '../store/codec.js';
import type { NodePool } from '../store/node-pool.js';
import { CopyWatch } from './copy-watch.js';
import type { KeyspaceHandle } from './keyspaces.js';
import type { NodeRegions } from './node-regions.js';
import type { NearestReads } from './reading.js';
import type { RouteFeed } from './route-feed.js';
import type { PartitionRoute } from './route-table.js';
import type { DroverSession } from './session.js';
import { borrowSession, returnSession } from './session-pool.js';

/** A copy that a read may go to. */
export interface Copy {
  readonly node: NodeName;
  readonly owner: NodeName;
  readonly client: MongoClient;
  /** Time of its node at which all is there that the read has to see. */
  readonly visibleAt: Timestamp;
  /** Whether the copy has been there all the time until now: whoever removes it waits for this router as long as the lease holds. */
  readonly isSure: () => boolean;
  /** The copy's node does not answer. */
  readonly forget: () => void;
}

/**
 * Chooses copies that are nearer than the owner. While a partition changes hands, both nodes have a copy of what the other one
 * owns, from when the target is named in the route (complete, compared, and with changes flowing both ways) until it no longer is.
 */
export class Nearest {
  private readonly watches = new Map<string, CopyWatch>();

  constructor(
    private readonly region: string,
    private readonly regions: NodeRegions,
    private readonly nodes: NodePool,
    private readonly feed: RouteFeed,
    private readonly onLeaseExpired: 'refuse' | 'serve',
    private readonly onProblem: (problem: string, error: unknown) => void,
  ) {}

  /** A nearer copy of what `owner` owns of a partition, fresh enough, and not older than what the session has seen. */
  copyOf(
    { database }: KeyspaceHandle,
    route: PartitionRoute,
    owner: NodeName,
    { maxStalenessMS }: NearestReads,
    session: DroverSession | undefined,
  ): Copy | undefined {
    const { source, target } = route.partition.route;
    const { migration } = route.partition.handover ?? {};
    if (target === null || migration === undefined) return undefined;
    if (session?.inTransaction() === true || session?.snapshotEnabled === true) return undefined;
    const node = owner === source ? target : source;
    if (!this.isPreferred(route, node, owner, session)) return undefined;
    const [client, origin] = [this.nodes.peek(node), this.nodes.peek(owner)];
    for (const each of [node, owner]) if (this.nodes.peek(each) === undefined) void this.connect(each);
    if (client === undefined || origin === undefined || !this.feed.leaseValid()) return undefined;

    const direction = node === target ? 'forward' : 'back';
    const id = `${route.partition.id} ${migration} ${direction}`;
    let watch = this.watches.get(id);
    if (watch === undefined) {
      this.forgetIdle();
      const collection = collectionOn(route.partition, owner);
      const [originDb, copy] = [origin.db(database), client.db(database)];
      watch = new CopyWatch({ migration, direction, origin: originDb, collection, copy }, this.onProblem);
      this.watches.set(id, watch);
    }
    const state = watch.within(maxStalenessMS);
    if (state === undefined) return undefined;
    const seen = session?.operationTimeAt(owner);
    if (seen !== undefined && state.position <= timeFromBson(seen)) return undefined;
    const { leaseNumber } = this.feed;
    const isSure = () => this.feed.leaseValid() && this.feed.leaseNumber === leaseNumber;
    return { node, owner, client, visibleAt: state.visibleAt, isSure, forget: () => watch.forget() };
  }

  /** As `sidesOf`, with the nodes where each side is read: `chosen` is told of the copies among them. */
  sidesOf(
    keyspace: KeyspaceHandle,
    route: PartitionRoute,
    nearest: NearestReads,
    session: DroverSession | undefined,
    chosen: (copy: Copy) => void,
  ): { readonly node: NodeName; readonly tokens: Interval }[] {
    const sides = sidesOf(route.partition).map(({ node: owner, tokens }) => {
      const copy = this.copyOf(keyspace, route, owner, nearest, session);
      if (copy !== undefined) chosen(copy);
      return { node: copy?.node ?? owner, tokens };
    });
    const [first, second] = sides;
    return first?.node === second?.node ? [{ node: first!.node, tokens: tokensOf(route.partition) }] : sides;
  }

  /** @throws DroverError `Unavailable` when a copy may have been removed while it was read from */
  confirm(copies: readonly Copy[]): void {
    if (this.onLeaseExpired === 'serve' || copies.every((copy) => copy.isSure())) return;
    throw new DroverError(
      'Unavailable',
      "this client's lease has run out while a copy was read, which may have been removed meanwhile: repeat the request",
    );
  }

  async close(): Promise<void> {
    await Promise.all([...this.watches.values()].map((watch) => watch.close()));
  }

  private isPreferred(route: PartitionRoute, node: NodeName, owner: NodeName, session?: DroverSession): boolean {
    const stuck = session?.stuckAt(route);
    if (stuck === node || stuck === owner) return stuck === node;
    const [ofNode, ofOwner] = [this.regions.of(node), this.regions.of(owner)];
    return ofNode === this.region && ofOwner !== undefined && ofOwner !== this.region;
  }

  /** To one that was added since: the next reads may go there. */
  private async connect(node: NodeName): Promise<void> {
    try {
      await this.nodes.get(node);
    } catch (error) {
      this.onProblem(`connecting to node "${node}" for nearest reads`, error);
    }
  }

  /** Of migrations that have ended, above all. */
  private forgetIdle(): void {
    for (const [id, watch] of this.watches) if (watch.isIdle) this.watches.delete(id);
  }
}

/** The driver's session in which a copy is read: the application's, if that orders reads, or one that does. */
export interface CopySession {
  readonly session: ClientSession;
  readonly end: () => void;
}

export function sessionAtCopy(
  { client, visibleAt }: Pick<Copy, 'client' | 'visibleAt'>,
  routes: readonly PartitionRoute[],
  ours: DroverSession | undefined,
): CopySession {
  const given = ours?.atCopy(client, routes, visibleAt);
  if (given !== undefined) return { session: given, end: () => undefined };
  const session = borrowSession(client, true);
  session.advanceOperationTime(visibleAt);
  return { session, end: () => returnSession(client, session) };
}
