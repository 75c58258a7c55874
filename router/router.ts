import type { ClientSession, Collection } from 'mongodb';
import type { Origin } from '../domain/access.js';
import type { NodeName } from '../domain/partition.js';
import type { Token } from '../domain/token.js';
import type { NodePool } from '../store/node-pool.js';
import type { AccessRecorder } from './access-recorder.js';
import { readCopy } from './copy-read.js';
import type { Crowd, Entrance } from './entrance.js';
import { Everywhere } from './everywhere.js';
import type { HeldRequests } from './held-requests.js';
import type { KeyspaceHandle, Keyspaces } from './keyspaces.js';
import type { Nearest } from './nearest.js';
import { ObservedRequests } from './observed-requests.js';
import type { OriginOptions } from './origin.js';
import { ownHandle } from './own-read-concern.js';
import type { AtOwner, RestsOnLease, RouterOptions } from './owner-requests.js';
import { OwnerRequests } from './owner-requests.js';
import { RangeWrites } from './range-writes.js';
import { isNothing, ReadCheck } from './read-check.js';
import type { Reading } from './reading.js';
import { isOfPrimary } from './reading.js';
import type { RouteFeed } from './route-feed.js';
import type { KnownRoute, PartitionRoute, RouteTable } from './route-table.js';
import type { Place } from './same-transaction.js';
import { Scatter } from './scatter.js';
import type { DroverSession } from './session.js';
import { SessionCluster } from './session-cluster.js';
import { inBorrowedSession } from './session-pool.js';
import { changingHands } from './session-transaction.js';
import type { ShapeRecorder } from './shape-recorder.js';
import type { Wanted } from './wanted.js';

/** What is asked of the owner of a key, or of several keys. */
export interface OwnerRequest<T> {
  readonly perform: AtOwner<T>;
  readonly restsOnLease?: RestsOnLease<T> | undefined;
  readonly session?: DroverSession | undefined;
  readonly crowd?: Crowd | undefined;
  /** Documents, updates and replacements that it sends to be stored: one, or a list of them. */
  readonly written?: unknown;
  /** The document in its answer. */
  readonly returned?: ((result: T) => unknown) | undefined;
}

/** A read of a collection, in the driver's session if there is one. */
type ReadOf<T> = (collection: Collection, session?: ClientSession) => Promise<T>;

const always = () => true;
const itself = (result: unknown) => result;

/** Sends requests to the node that owns their token, and lets writes wait while a token changes hands. */
export class Router extends OwnerRequests {
  /** Reads of more than one key. */
  readonly scatter: Scatter;
  /** Writes of more than one key. */
  readonly ranges: RangeWrites;
  /** Changes of indexes. */
  readonly everywhere: Everywhere;
  readonly sessions: SessionCluster;
  private readonly check: ReadCheck;
  /** Requests by their shape. */
  readonly observed: ObservedRequests;

  constructor(
    readonly keyspaces: Keyspaces,
    table: RouteTable,
    feed: RouteFeed,
    nodes: NodePool,
    entrance: Entrance,
    private readonly recorder: AccessRecorder,
    private readonly shapes: ShapeRecorder,
    private readonly nearest: Nearest,
    options: RouterOptions,
    held?: HeldRequests,
  ) {
    super(table, feed, nodes, entrance, options, held);
    const { origin, holdTimeoutMs } = options;
    this.sessions = new SessionCluster(keyspaces, table, feed, nodes, origin.region, holdTimeoutMs);
    this.check = new ReadCheck(feed, table, nodes, options.onLeaseExpired);
    this.observed = new ObservedRequests(shapes, keyspaces, table, origin);
    this.scatter = new Scatter(keyspaces, table, nodes, recorder, nearest, origin, this.check, this.observed);
    this.everywhere = new Everywhere(this, nodes);
    this.ranges = new RangeWrites(this, nodes, entrance, feed, recorder);
  }

  /** The same for requests from elsewhere. */
  from(options: OriginOptions): Router {
    const { keyspaces, table, feed, nodes, entrance, recorder, shapes, nearest, held } = this;
    const settings = { ...this.options, origin: this.sessions.originOf(options) };
    return new Router(keyspaces, table, feed, nodes, entrance, recorder, shapes, nearest, settings, held);
  }

  originOf(session: DroverSession | undefined): Origin {
    return session?.origin ?? this.options.origin;
  }

  /** Undefined where nobody knows: an application has many. */
  userOf(session: DroverSession | undefined): number | undefined {
    return this.originOf(session).user ?? session?.user;
  }

  /** The routes that a request goes by, and their epochs at this moment: for {@link areConfirmed}. */
  routesOf(keyspace: KeyspaceHandle, wanted: Wanted): KnownRoute[] {
    const routes = this.scatter.units(keyspace, wanted).flatMap((unit) => unit.routes);
    return routes.map((route) => ({ route, epoch: route.epoch }));
  }

  async read<T>(
    keyspace: KeyspaceHandle,
    token: Token,
    request: ReadOf<T>,
    session?: DroverSession,
    reading?: Reading,
  ): Promise<T> {
    if (session !== undefined) await session.ready();
    let route = this.routeOf(keyspace, token);
    const startedAt = performance.now();
    let node: NodeName | undefined;
    let answer: unknown;
    let failed = true;
    try {
      const copy = reading?.nearest && this.copyOf(keyspace, route, token, reading, session);
      const read = copy && (await readCopy(keyspace, route, copy, request, session));
      if (read) {
        failed = false;
        node = copy.node;
        answer = read.result;
        return read.result;
      }
      for (; ; route = this.routeOf(keyspace, token)) {
        const known = { route, epoch: route.epoch };
        const lease = this.check.begin();
        const result = await this.readOwner(keyspace, route, token, request, session, reading);
        const nothingAt = () =>
          isNothing(result) ? [{ keyspace, node: route.readOwner(token), routes: [route] }] : [];
        if (this.check.isSure(lease) || (await this.check.confirm([known], nothingAt))) {
          failed = false;
          answer = result;
          return result;
        }
        if (session?.inTransaction()) throw changingHands(route);
      }
    } finally {
      node ??= route.readOwner(token);
      this.count('reads', keyspace, route, token, session, startedAt, failed, node);
      this.countBytes(keyspace, route, node, session, 'read', answer);
    }
  }

  /** A read that sees every write acknowledged before it: like a write, it waits for a hand-over, and rests on the lease. */
  readStrictly<T>(keyspace: KeyspaceHandle, token: Token, request: ReadOf<T>, session?: DroverSession): Promise<T> {
    const perform = (place: Place) => request(place.collection, place.session);
    return this.counted('reads', keyspace, token, { perform, restsOnLease: always, session, returned: itself });
  }

  /**
   * Runs a write at the token's owner. While the token is fenced the write waits; what a node's own fence refuses was
   * not written, and is sent again by the newer route. So is a write that found nothing at a node that may not have owned
   * the token any more.
   *
   * @throws DroverError `TimedOut` when a hand-over does not end in time, `Unavailable` when a result that rests on the
   * lease can't be confirmed or too many requests wait already; what the driver throws otherwise
   */
  write<T>(keyspace: KeyspaceHandle, token: Token, request: OwnerRequest<T>): Promise<T> {
    return this.counted('writes', keyspace, token, request);
  }

  /** One attempt of a write of several documents of one partition; the caller sorts out which were refused. */
  async writeMany<T>(
    keyspace: KeyspaceHandle,
    route: PartitionRoute,
    tokens: Token[],
    { perform, session, crowd, written }: Omit<OwnerRequest<T>, 'restsOnLease' | 'returned'>,
  ): Promise<T> {
    if (session !== undefined) await session.ready();
    const startedAt = performance.now();
    let failed = true;
    try {
      const result = await this.once(keyspace, route, tokens, perform, session, crowd);
      failed = false;
      return result;
    } finally {
      const node = route.readOwner(tokens[0]!);
      this.count('writes', keyspace, route, tokens[0]!, session, startedAt, failed, node);
      this.recorder.entities?.useAll(this.userOf(session), keyspace.name, tokens);
      this.countBytes(keyspace, route, node, session, 'written', written);
    }
  }

  /** Whatever waits fails, and whatever comes. */
  close(): void {
    this.keyspaces.close();
    this.held.close();
    this.entrance.close();
  }

  private async counted<T>(
    kind: 'reads' | 'writes',
    keyspace: KeyspaceHandle,
    token: Token,
    { perform, restsOnLease, session, crowd, written, returned }: OwnerRequest<T>,
  ): Promise<T> {
    if (session !== undefined) await session.ready();
    const route = this.routeOf(keyspace, token);
    const startedAt = performance.now();
    let answer: unknown;
    let failed = true;
    try {
      const result = await this.settled(keyspace, route, token, perform, restsOnLease, session, crowd);
      failed = false;
      answer = returned?.(result);
      return result;
    } finally {
      const node = route.readOwner(token);
      this.count(kind, keyspace, route, token, session, startedAt, failed, node);
      this.countBytes(keyspace, route, node, session, 'written', written);
      this.countBytes(keyspace, route, node, session, 'read', answer);
    }
  }

  /** The copy that a read goes to in place of the owner, if any. */
  private copyOf(
    keyspace: KeyspaceHandle,
    route: PartitionRoute,
    token: Token,
    { nearest }: Reading,
    session: DroverSession | undefined,
  ) {
    if (!nearest || session?.inTransaction()) return undefined;
    return this.nearest.copyOf(keyspace, route, route.readOwner(token), nearest, session);
  }

  private async readOwner<T>(
    keyspace: KeyspaceHandle,
    route: PartitionRoute,
    token: Token,
    request: ReadOf<T>,
    session: DroverSession | undefined,
    reading: Reading | undefined,
  ): Promise<T> {
    if (session?.inTransaction()) {
      const perform = (place: Place) => request(place.collection, place.session);
      return this.inTransaction(keyspace, route, [token], perform, session);
    }
    const node = route.readOwner(token);
    const read = route.reads.begin(node);
    try {
      const client = this.nodes.peek(node) ?? (await this.nodes.get(node));
      const { database } = keyspace;
      const collection = route.collection(database, node, client);
      if (session === undefined) return await inBorrowedSession(client, (own) => request(collection, own));
      const ofPrimary = isOfPrimary(collection, reading);
      const answered = await session.comeAlong([route], client, { database, ofPrimary });
      const own = ownHandle(client, collection, session.snapshotEnabled);
      const result = await request(own, session.at(client, [route]));
      answered();
      if (reading?.nearest) session.servedBy(route, node);
      return result;
    } finally {
      route.reads.end(read);
    }
  }

  /** @param startedAt by `performance.now()` @param node that answered: the owner, or one that has a copy */
  private count(
    kind: 'reads' | 'writes',
    keyspace: KeyspaceHandle,
    route: PartitionRoute,
    token: Token,
    session: DroverSession | undefined,
    startedAt: number,
    failed: boolean,
    node: NodeName,
  ): void {
    const ms = performance.now() - startedAt;
    this.recorder.count(this.originOf(session), keyspace.name, route.partition.name, node, token, kind, ms, failed);
    this.recorder.entities?.use(this.userOf(session), keyspace.name, token);
  }

  /** What failed has been sent all the same; what was sent several times counts once. */
  private countBytes(
    { name: keyspace }: KeyspaceHandle,
    { partition: { name: partition } }: PartitionRoute,
    node: NodeName,
    session: DroverSession | undefined,
    direction: 'read' | 'written',
    documents: unknown,
  ): void {
    const bytes = this.recorder.bytesOf(documents);
    if (bytes === 0) return;
    this.recorder.addBytes({ origin: this.originOf(session), keyspace, partition, node }, direction, bytes);
  }
}
