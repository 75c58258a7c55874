import { MongoBulkWriteError, MongoErrorLabel, MongoServerError } from 'mongodb';
import pMap from 'p-map';
import type { Origin } from '../domain/access.js';
import { DroverError } from '../domain/errors.js';
import type { Token } from '../domain/token.js';
import { isFenced } from '../store/fenced-collection.js';
import type { NodePool } from '../store/node-pool.js';
import type { Crowd, Entrance, Within } from './entrance.js';
import { HeldRequests } from './held-requests.js';
import type { KeyspaceHandle } from './keyspaces.js';
import { LeaseCheck } from './lease-check.js';
import type { RouteFeed } from './route-feed.js';
import type { KnownRoute, PartitionRoute, RouteTable } from './route-table.js';
import type { Place } from './same-transaction.js';
import { PARALLEL } from './scatter.js';
import type { DroverSession } from './session.js';
import { changingHands } from './session-transaction.js';

export interface RouterOptions {
  /** Longest wait of a write for a hand-over, milliseconds. */
  readonly holdTimeoutMs: number;
  readonly onLeaseExpired: 'refuse' | 'serve';
  /** Requests that may wait for hand-overs at once. */
  readonly maxHeldRequests: number;
  /** Of requests that don't say anything else. */
  readonly origin: Origin;
}

/** A request at the owner of what it concerns. */
export type AtOwner<T> = (place: Place) => Promise<T>;

/** Says of a result that nothing was there to change: no fence has seen that, so it rests on the lease. */
export type RestsOnLease<T> = (result: T) => boolean;

/** The errors that a bulk write is made of. */
export const partsOf = (error: unknown): unknown[] =>
  error instanceof MongoBulkWriteError ? [error.writeErrors].flat() : [];

/** The token may have changed hands before the node answered: the request goes to whoever owns it now. */
const AGAIN = Symbol('again');

/** After a fence has refused a write although the route looks right, the new owner is about to open. */
const REFUSED_PAUSE_MS = 5;

interface WithinAsOwner extends Within {
  /** Of the moment in which the write was entered: an answer counts as one by this route. */
  readonly epoch: number;
}

/** Runs requests at the owner of their token, and lets them wait while the token changes hands. */
export class OwnerRequests {
  private readonly lease: LeaseCheck;

  constructor(
    protected readonly table: RouteTable,
    protected readonly feed: RouteFeed,
    protected readonly nodes: NodePool,
    protected readonly entrance: Entrance,
    protected readonly options: RouterOptions,
    /** Requests that wait for a hand-over. */
    readonly held = new HeldRequests(options.maxHeldRequests),
  ) {
    this.lease = new LeaseCheck(feed, options.onLeaseExpired);
  }

  routeOf(keyspace: KeyspaceHandle, token: Token): PartitionRoute {
    const route = this.table.find(keyspace.name, token);
    if (route === undefined)
      throw new DroverError('InvalidRequest', `no partition of "${keyspace.name}" covers token ${token}`);
    return route;
  }

  /** Until when a write that begins now may wait, by `performance.now()`. */
  deadline(): number {
    return performance.now() + this.options.holdTimeoutMs;
  }

  timedOut(route: PartitionRoute): DroverError {
    const { holdTimeoutMs } = this.options;
    return new DroverError(
      'TimedOut',
      `a request to ${route.partition.id} waited ${holdTimeoutMs} ms for a hand-over to end`,
    );
  }

  /** While it is the same, nobody takes over what is being written; undefined while the lease does not hold. */
  leaseNumber(): number | undefined {
    return this.feed.leaseValid() ? this.feed.leaseNumber : undefined;
  }

  /**
   * Whether routes were right all the time since they were known: what nodes have answered is true then.
   *
   * @throws DroverError `Unavailable` when it can't be told
   */
  async areConfirmed(known: readonly KnownRoute[], deadline: number): Promise<boolean> {
    const unsure = known.filter(({ route, epoch }) => !this.lease.isSure(route, epoch));
    const confirmed = await pMap(unsure, ({ route, epoch }) => this.lease.confirm(route, epoch, deadline), {
      concurrency: PARALLEL,
    });
    return !confirmed.includes(false);
  }

  /** After a refusal by a fence: the route is read again, and the new owner given a moment to open. */
  async refused(route: PartitionRoute): Promise<void> {
    const before = route.epoch;
    await this.feed.refresh(route.partition);
    if (route.epoch === before) await new Promise((resolve) => setTimeout(resolve, REFUSED_PAUSE_MS));
  }

  /** A refusal by a fence, for the application to repeat its transaction. @returns the error */
  async ofTransaction(error: unknown, routes: readonly PartitionRoute[]): Promise<unknown> {
    if (error instanceof MongoServerError && (isFenced(error) || partsOf(error).some(isFenced))) {
      await Promise.all(routes.map(({ partition }) => this.feed.refresh(partition)));
      error.addErrorLabel(MongoErrorLabel.TransientTransactionError);
    }
    return error;
  }

  /** Until its result is one of the token's owner. */
  protected async settled<T>(
    keyspace: KeyspaceHandle,
    route: PartitionRoute,
    token: Token,
    request: AtOwner<T>,
    restsOnLease?: RestsOnLease<T>,
    session?: DroverSession,
    crowd?: Crowd,
  ): Promise<T> {
    const tokens = [token];
    if (session?.inTransaction()) {
      return this.inTransaction(keyspace, route, tokens, request, session, restsOnLease);
    }
    const deadline = this.deadline();
    for (;;) {
      try {
        const result = await this.attempt(keyspace, route, tokens, request, deadline, restsOnLease, session, crowd);
        if (result !== AGAIN) return result;
      } catch (error) {
        if (!isFenced(error) || performance.now() > deadline) throw error;
        await this.refused(route);
      }
    }
  }

  /** Once, whatever a fence says. */
  protected async once<T>(
    keyspace: KeyspaceHandle,
    route: PartitionRoute,
    tokens: Token[],
    request: AtOwner<T>,
    session?: DroverSession,
    crowd?: Crowd,
  ): Promise<T> {
    if (session?.inTransaction()) return this.inTransaction(keyspace, route, tokens, request, session);
    const result = await this.attempt(keyspace, route, tokens, request, this.deadline(), undefined, session, crowd);
    return result as Exclude<typeof result, typeof AGAIN>;
  }

  /**
   * One request of the application's transaction. Nothing waits for a hand-over here, as the hand-over waits for the
   * transaction: it is to be repeated as a whole.
   */
  protected async inTransaction<T>(
    keyspace: KeyspaceHandle,
    route: PartitionRoute,
    tokens: readonly Token[],
    request: AtOwner<T>,
    session: DroverSession,
    restsOnLease?: RestsOnLease<T>,
  ): Promise<T> {
    const owner = tokens.map((token) => session.hold(route, token))[0]!;
    const client = this.nodes.peek(owner) ?? (await this.nodes.get(owner));
    const collection = route.collection(keyspace.database, owner, client);
    const deadline = this.deadline();
    const { epoch } = route;
    try {
      const result = await request({ client, collection, session: session.at(client, [route]), deadline });
      if (restsOnLease?.(result) !== true || this.lease.isSure(route, epoch)) return result;
      if (await this.lease.confirm(route, epoch, deadline)) return result;
    } catch (error) {
      throw await this.ofTransaction(error, [route]);
    }
    throw changingHands(route);
  }

  private async attempt<T>(
    keyspace: KeyspaceHandle,
    route: PartitionRoute,
    tokens: Token[],
    request: AtOwner<T>,
    deadline: number,
    restsOnLease?: RestsOnLease<T>,
    session?: DroverSession,
    crowd?: Crowd,
  ): Promise<T | typeof AGAIN> {
    const { node, client, leave, epoch } =
      this.tryToComeIn(route, tokens, crowd) ?? (await this.comeIn(route, tokens, deadline, crowd));
    try {
      const collection = route.collection(keyspace.database, node, client);
      const sentAt = session && performance.now();
      let result: T;
      try {
        result = await request({ client, collection, session: session?.at(client, [route]), deadline });
        if (sentAt !== undefined) session?.wrote(node, sentAt);
      } finally {
        // Whoever waits for the catalog now keeps nobody from the node.
        leave();
      }
      if (restsOnLease === undefined || !restsOnLease(result)) return result;
      if (this.lease.isSure(route, epoch) || (await this.lease.confirm(route, epoch, deadline))) return result;
    } finally {
      route.endWrite(tokens);
    }
    if (performance.now() > deadline) throw this.timedOut(route);
    return AGAIN;
  }

  private async comeIn(
    route: PartitionRoute,
    tokens: Token[],
    deadline: number,
    crowd?: Crowd,
  ): Promise<WithinAsOwner> {
    for (;;) {
      const owner = route.ownerOfAll(tokens);
      if (owner === null) {
        if (performance.now() > deadline) throw this.timedOut(route);
        await this.held.nextChange(route, deadline);
        continue;
      }
      const within = await this.entrance.comeIn(owner, deadline, crowd);
      const entered = this.enter(route, tokens, within);
      if (entered !== undefined) return entered;
    }
  }

  /** Nearly always there is nothing to wait for. */
  private tryToComeIn(route: PartitionRoute, tokens: Token[], crowd?: Crowd): WithinAsOwner | undefined {
    const owner = route.ownerOfAll(tokens);
    const within = owner === null ? undefined : this.entrance.tryComeIn(owner, crowd);
    return within && this.enter(route, tokens, within);
  }

  /** Enters the write among those under way, which a fence waits for, if the node is the owner at this moment. */
  private enter(route: PartitionRoute, tokens: Token[], { node, client, leave }: Within): WithinAsOwner | undefined {
    const owner = route.beginWrite(tokens);
    if (owner === node) return { node, client, leave, epoch: route.epoch };
    if (owner !== null) route.endWrite(tokens);
    leave();
    return undefined;
  }
}
