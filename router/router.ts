import type { ClientSession, Collection } from 'mongodb';
import { MongoBulkWriteError, MongoErrorLabel, MongoServerError } from 'mongodb';
import pMap from 'p-map';
import type { Origin } from '../domain/access.js';
import { DroverError } from '../domain/errors.js';
import type { NodeName } from '../domain/partition.js';
import type { Token } from '../domain/token.js';
import { isFenced } from '../store/fenced-collection.js';
import type { NodePool } from '../store/node-pool.js';
import type { AccessRecorder } from './access-recorder.js';
import { readCopy } from './copy-read.js';
import type { Crowd, Entrance, Within } from './entrance.js';
import { Everywhere } from './everywhere.js';
import { HeldRequests } from './held-requests.js';
import type { KeyspaceHandle, Keyspaces } from './keyspaces.js';
import { LeaseCheck } from './lease-check.js';
import type { Nearest } from './nearest.js';
import type { OriginOptions } from './origin.js';
import { ownHandle } from './own-read-concern.js';
import type { Reading } from './reading.js';
import { isOfPrimary } from './reading.js';
import type { RouteFeed } from './route-feed.js';
import type { KnownRoute, PartitionRoute, RouteTable } from './route-table.js';
import type { Place } from './same-transaction.js';
import { RangeWrites } from './range-writes.js';
import { PARALLEL, Scatter } from './scatter.js';
import type { DroverSession } from './session.js';
import { SessionCluster } from './session-cluster.js';
import { changingHands } from './session-transaction.js';
import type { Wanted } from './wanted.js';

export interface RouterOptions {
  /** Longest wait of a write for a hand-over, milliseconds. */
  readonly holdTimeoutMs: number;
  readonly onLeaseExpired: 'refuse' | 'serve';
  /** Requests that may wait for hand-overs at once. */
  readonly maxHeldRequests: number;
  /** Of requests that don't say anything else. */
  readonly origin: Origin;
}

/** Says of a result that nothing was there to change: no fence has seen that, so it rests on the lease. */
type RestsOnLease<T> = (result: T) => boolean;

const always = () => true;

/** The errors that a bulk write is made of. */
export const partsOf = (error: unknown): unknown[] =>
  error instanceof MongoBulkWriteError ? [error.writeErrors].flat() : [];

/** The token may have changed hands before the node answered: the request goes to whoever owns it now. */
const AGAIN = Symbol('again');

/** After a fence has refused a write although the route looks right, the new owner is about to open. */
const REFUSED_PAUSE_MS = 5;

/** Sends requests to the node that owns their token, and lets writes wait while a token changes hands. */
export class Router {
  /** Reads of more than one key. */
  readonly scatter: Scatter;
  /** Writes of more than one key. */
  readonly ranges: RangeWrites;
  /** Changes of indexes. */
  readonly everywhere: Everywhere;
  readonly sessions: SessionCluster;
  private readonly lease: LeaseCheck;

  constructor(
    readonly keyspaces: Keyspaces,
    private readonly table: RouteTable,
    private readonly feed: RouteFeed,
    private readonly nodes: NodePool,
    private readonly entrance: Entrance,
    private readonly recorder: AccessRecorder,
    private readonly nearest: Nearest,
    private readonly options: RouterOptions,
    /** Requests that wait for a hand-over. */
    readonly held = new HeldRequests(options.maxHeldRequests),
  ) {
    const { origin, holdTimeoutMs, onLeaseExpired } = options;
    this.lease = new LeaseCheck(feed, onLeaseExpired);
    this.sessions = new SessionCluster(keyspaces, table, feed, nodes, origin.region, holdTimeoutMs);
    this.scatter = new Scatter(keyspaces, table, nodes, recorder, nearest, origin);
    this.everywhere = new Everywhere(this, nodes);
    this.ranges = new RangeWrites(this, nodes, entrance, feed, recorder);
  }

  /** The same for requests from elsewhere. */
  from(options: OriginOptions): Router {
    const { keyspaces, table, feed, nodes, entrance, recorder, nearest, held } = this;
    const origin = this.sessions.originOf(options);
    return new Router(keyspaces, table, feed, nodes, entrance, recorder, nearest, { ...this.options, origin }, held);
  }

  originOf(session: DroverSession | undefined): Origin {
    return session?.origin ?? this.options.origin;
  }

  /** Until when a write that begins now may wait, by `performance.now()`. */
  deadline(): number {
    return performance.now() + this.options.holdTimeoutMs;
  }

  /** While it is the same, nobody takes over what is being written; undefined while the lease does not hold. */
  leaseNumber(): number | undefined {
    return this.feed.leaseValid() ? this.feed.leaseNumber : undefined;
  }

  routeOf(keyspace: KeyspaceHandle, token: Token): PartitionRoute {
    const route = this.table.find(keyspace.name, token);
    if (route === undefined)
      throw new DroverError('InvalidRequest', `no partition of "${keyspace.name}" covers token ${token}`);
    return route;
  }

  /** The routes that a request goes by, and their epochs at this moment: for {@link areConfirmed}. */
  routesOf(keyspace: KeyspaceHandle, wanted: Wanted): KnownRoute[] {
    const routes = this.scatter.units(keyspace, wanted).flatMap((unit) => unit.routes);
    return routes.map((route) => ({ route, epoch: route.epoch }));
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

  async read<T>(
    keyspace: KeyspaceHandle,
    token: Token,
    request: (collection: Collection, session?: ClientSession) => Promise<T>,
    session?: DroverSession,
    reading?: Reading,
  ): Promise<T> {
    if (session !== undefined) await session.ready();
    const route = this.routeOf(keyspace, token);
    return this.recorded(keyspace, route, token, 'reads', session, async (from) => {
      if (session?.inTransaction()) {
        return this.inTransaction(
          keyspace,
          route,
          [token],
          (place) => request(place.collection, place.session),
          session,
        );
      }
      const nearest = reading?.nearest;
      if (nearest) {
        const copy = this.nearest.copyOf(keyspace, route, route.readOwner(token), nearest, session);
        const read = copy && (await readCopy(keyspace, route, copy, request, session));
        if (read !== undefined) {
          from(copy!.node);
          return read.result;
        }
      }
      const node = route.readOwner(token);
      const read = route.reads.begin(node);
      try {
        const client = this.nodes.peek(node) ?? (await this.nodes.get(node));
        const { database } = keyspace;
        const collection = route.collection(database, node, client);
        if (session === undefined) return await request(collection);
        const ofPrimary = isOfPrimary(collection, reading);
        const answered = await session.comeAlong([route], client, { database, ofPrimary });
        const own = ownHandle(client, collection, session.snapshotEnabled);
        const result = await request(own, session.at(client, [route]));
        answered();
        if (nearest) session.servedBy(route, node);
        return result;
      } finally {
        route.reads.end(read);
      }
    });
  }

  /** A read that sees every write acknowledged before it: like a write, it waits for a hand-over, and rests on the lease. */
  async readStrictly<T>(
    keyspace: KeyspaceHandle,
    token: Token,
    request: (collection: Collection, session?: ClientSession) => Promise<T>,
    session?: DroverSession,
  ): Promise<T> {
    if (session !== undefined) await session.ready();
    const route = this.routeOf(keyspace, token);
    const perform = (place: Place) => request(place.collection, place.session);
    return this.recorded(keyspace, route, token, 'reads', session, () =>
      this.untilSettled(keyspace, route, token, perform, always, session),
    );
  }

  /**
   * Runs a write at the token's owner. While the token is fenced the write waits; what a node's own fence refuses was
   * not written, and is sent again by the newer route. So is a write that found nothing at a node that may not have owned
   * the token any more.
   *
   * @throws DroverError `TimedOut` when a hand-over does not end in time, `Unavailable` when a result that rests on the
   * lease can't be confirmed or too many requests wait already; what the driver throws otherwise
   */
  async write<T>(
    keyspace: KeyspaceHandle,
    token: Token,
    request: (place: Place) => Promise<T>,
    restsOnLease?: RestsOnLease<T>,
    session?: DroverSession,
    crowd?: Crowd,
  ): Promise<T> {
    if (session !== undefined) await session.ready();
    const route = this.routeOf(keyspace, token);
    return this.recorded(keyspace, route, token, 'writes', session, () =>
      this.untilSettled(keyspace, route, token, request, restsOnLease, session, crowd),
    );
  }

  /** One attempt of a write of several documents of one partition; the caller sorts out which were refused. */
  async writeMany<T>(
    keyspace: KeyspaceHandle,
    route: PartitionRoute,
    tokens: Token[],
    request: (place: Place) => Promise<T>,
    session?: DroverSession,
    crowd?: Crowd,
  ): Promise<T> {
    if (session !== undefined) await session.ready();
    const deadline = this.deadline();
    return this.recorded(keyspace, route, tokens[0]!, 'writes', session, async () => {
      if (session?.inTransaction()) return this.inTransaction(keyspace, route, tokens, request, session);
      const result = await this.attempt(keyspace, route, tokens, request, deadline, undefined, session, crowd);
      return result as Exclude<typeof result, typeof AGAIN>;
    });
  }

  /** After a refusal by a fence: the route is read again, and the new owner given a moment to open. */
  async refused(route: PartitionRoute): Promise<void> {
    const before = route.epoch;
    await this.feed.refresh(route.partition);
    if (route.epoch === before) await new Promise((resolve) => setTimeout(resolve, REFUSED_PAUSE_MS));
  }

  private async untilSettled<T>(
    keyspace: KeyspaceHandle,
    route: PartitionRoute,
    token: Token,
    request: (place: Place) => Promise<T>,
    restsOnLease?: RestsOnLease<T>,
    session?: DroverSession,
    crowd?: Crowd,
  ): Promise<T> {
    if (session?.inTransaction()) {
      return this.inTransaction(keyspace, route, [token], request, session, restsOnLease);
    }
    const deadline = this.deadline();
    for (;;) {
      try {
        const result = await this.attempt(keyspace, route, [token], request, deadline, restsOnLease, session, crowd);
        if (result !== AGAIN) return result;
      } catch (error) {
        if (!isFenced(error) || performance.now() > deadline) throw error;
        await this.refused(route);
      }
    }
  }

  private async attempt<T>(
    keyspace: KeyspaceHandle,
    route: PartitionRoute,
    tokens: Token[],
    request: (place: Place) => Promise<T>,
    deadline: number,
    restsOnLease?: RestsOnLease<T>,
    session?: DroverSession,
    crowd?: Crowd,
  ): Promise<T | typeof AGAIN> {
    const { owner, client, leave, epoch } = await this.comeInToWrite(route, tokens, deadline, crowd);
    try {
      const collection = route.collection(keyspace.database, owner, client);
      const sentAt = performance.now();
      let result: T;
      try {
        result = await request({ client, collection, session: session?.at(client, [route]), deadline });
        session?.wrote(owner, sentAt);
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

  /**
   * One request of the application's transaction. Nothing waits for a hand-over here, as the hand-over waits for the
   * transaction: it is to be repeated as a whole.
   */
  private async inTransaction<T>(
    keyspace: KeyspaceHandle,
    route: PartitionRoute,
    tokens: readonly Token[],
    request: (place: Place) => Promise<T>,
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

  /** A refusal by a fence, for the application to repeat its transaction. @returns the error */
  async ofTransaction(error: unknown, routes: readonly PartitionRoute[]): Promise<unknown> {
    if (error instanceof MongoServerError && (isFenced(error) || partsOf(error).some(isFenced))) {
      await Promise.all(routes.map(({ partition }) => this.feed.refresh(partition)));
      error.addErrorLabel(MongoErrorLabel.TransientTransactionError);
    }
    return error;
  }

  /** On return the write is among those under way, which a fence waits for. */
  private async comeInToWrite(
    route: PartitionRoute,
    tokens: Token[],
    deadline: number,
    crowd?: Crowd,
  ): Promise<Within & { readonly owner: string; readonly epoch: number }> {
    for (;;) {
      const owner = route.ownerOfAll(tokens);
      if (owner === null) {
        if (performance.now() > deadline) throw this.timedOut(route);
        await this.held.nextChange(route, deadline);
        continue;
      }
      const within = await this.entrance.comeIn(owner, deadline, crowd);
      const now = route.beginWrite(tokens);
      // The epoch of this very moment: an answer counts as one by this route.
      if (now === owner) return { ...within, owner, epoch: route.epoch };
      if (now !== null) route.endWrite(tokens);
      within.leave();
    }
  }

  /** Whatever waits fails, and whatever comes. */
  close(): void {
    this.keyspaces.close();
    this.held.close();
    this.entrance.close();
  }

  timedOut(route: PartitionRoute): DroverError {
    const { holdTimeoutMs } = this.options;
    return new DroverError(
      'TimedOut',
      `a request to ${route.partition.id} waited ${holdTimeoutMs} ms for a hand-over to end`,
    );
  }

  private async recorded<T>(
    keyspace: KeyspaceHandle,
    route: PartitionRoute,
    token: Token,
    kind: 'reads' | 'writes',
    session: DroverSession | undefined,
    request: (from: (node: NodeName) => void) => Promise<T>,
  ): Promise<T> {
    const startedAt = performance.now();
    let failed = true;
    let node: NodeName | undefined;
    try {
      const result = await request((copy) => (node = copy));
      failed = false;
      return result;
    } finally {
      const ms = performance.now() - startedAt;
      const { name } = route.partition;
      node ??= route.readOwner(token);
      this.recorder.count(this.originOf(session), keyspace.name, name, node, token, kind, ms, failed);
    }
  }
}
