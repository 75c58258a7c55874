import type {
  ClientSession,
  ClientSessionOptions,
  ClusterTime,
  MongoClient,
  ServerSessionId,
  Timestamp,
  TransactionOptions,
} from 'mongodb';
import { MongoAPIError, MongoCompatibilityError, MongoExpiredSessionError, MongoInvalidArgumentError } from 'mongodb';
import type { Origin } from '../domain/access.js';
import { hash32 } from '../domain/hash-ring.js';
import type { NodeName } from '../domain/partition.js';
import { confirmedTime } from '../store/confirmed-time.js';
import type { NearestReads } from './reading.js';
import { checkNearest } from './reading.js';
import type { PartitionRoute } from './route-table.js';
import type { SessionCluster } from './session-cluster.js';
import type { DroverSessionOptions } from './session-options.js';
import { SessionProgress } from './session-progress.js';
import type { NodeTimes, SessionToken } from './session-token.js';
import { decodeToken, encodeToken, timesOfSession } from './session-token.js';

let sessionsBegun = 0;

/** What a session has seen at several nodes: the driver's own session at each of them, opened when it is first needed. */
export abstract class NodeSessions {
  hasEnded = false;
  readonly snapshotEnabled: boolean;
  readonly defaultTransactionOptions: TransactionOptions;
  readonly nearest: NearestReads | undefined;
  readonly origin: Origin | undefined;
  /** Whose requests it has, by a number, where nobody has said who that is. */
  readonly user = hash32(String(sessionsBegun++));
  private readonly options: ClientSessionOptions;
  private readonly isCausal: boolean;
  private readonly before: SessionToken | undefined;
  /** Of the token, also of nodes that this client does not know yet. */
  private readonly timesBefore: Map<NodeName, NodeTimes>;
  private readonly progress: SessionProgress;
  private readonly sessions = new Map<NodeName, ClientSession>();
  /** Where reads of partitions stay. */
  private readonly stuck: Map<PartitionRoute, NodeName> | undefined;
  /** Until the routes are as new as the token's. */
  private catchingUp: Promise<void> | undefined;
  private isReady: boolean;
  /** With `snapshot`: earlier than when it was taken, by `performance.now()`. */
  private snapshotAt: number | undefined;

  /** @throws MongoInvalidArgumentError for options that don't go together, and a wrong token */
  constructor(
    private readonly cluster: SessionCluster,
    { continueFrom, nearest, sticky, origin, ...options }: DroverSessionOptions = {},
  ) {
    checkNearest(nearest);
    this.options = options;
    this.defaultTransactionOptions = { ...options.defaultTransactionOptions };
    this.nearest = nearest;
    this.origin = origin && cluster.originOf(origin);
    this.snapshotEnabled = options.snapshot === true;
    if (this.snapshotEnabled && options.causalConsistency === true) {
      throw new MongoInvalidArgumentError('"causalConsistency" and "snapshot" are mutually exclusive');
    }
    this.isCausal = options.causalConsistency ?? !this.snapshotEnabled;
    if (sticky === true) this.stuck = new Map();
    if (continueFrom !== undefined) {
      this.checkCausal('"continueFrom"');
      this.before = decodeToken(continueFrom);
    }
    this.timesBefore = new Map(this.before?.times);
    this.isReady = this.before === undefined;
    this.progress = new SessionProgress(this.before);
  }

  /** Nodes at which it has been used. */
  get nodes(): readonly NodeName[] {
    return [...this.sessions.keys()];
  }

  /** The server's session at a node; without a name at the only node that was used. */
  idAt(node?: NodeName): ServerSessionId | undefined {
    return this.atNode(node)?.id;
  }

  /** @throws MongoAPIError when it has been used at several nodes: {@link idAt} takes the name of one */
  get id(): ServerSessionId | undefined {
    return this.idAt();
  }

  /** Newest time of an answer of a node; without a name of the only node that was used. */
  operationTimeAt(node?: NodeName): Timestamp | undefined {
    const session = this.atNode(node);
    return session === undefined && node !== undefined
      ? this.timesBefore.get(node)?.operationTime
      : session?.operationTime;
  }

  /** @throws MongoAPIError when it has been used at several nodes: {@link operationTimeAt} takes the name of one */
  get operationTime(): Timestamp | undefined {
    return this.operationTimeAt();
  }

  /** @throws MongoAPIError when it has been used at several nodes: the driver's session of each has a time of its own */
  get clusterTime(): ClusterTime | undefined {
    return this.atNode()?.clusterTime;
  }

  /**
   * As the driver's, for a node at which the session was used already. To go on with another session use its {@link token}.
   *
   * @throws MongoAPIError without the name of a node, unless just one was used
   */
  advanceOperationTime(time: Timestamp, node?: NodeName): void {
    this.usedAt(node).advanceOperationTime(time);
  }

  /** As {@link advanceOperationTime}. */
  advanceClusterTime(time: ClusterTime, node?: NodeName): void {
    this.usedAt(node).advanceClusterTime(time);
  }

  /**
   * What the session has seen, for `startSession({ continueFrom })` of any client of the same catalog. No secret; some 200 bytes for
   * each node that was used, and 30 for each partition that has ever moved.
   *
   * @throws MongoInvalidArgumentError when the session is not causally consistent
   */
  token(): string {
    this.checkCausal('token()');
    const times = new Map(this.timesBefore);
    for (const [node, session] of this.sessions) {
      const seen = timesOfSession(session);
      if (seen !== undefined) times.set(node, seen);
    }
    return encodeToken({ times, ...this.progress.routes() });
  }

  equals(other: NodeSessions): boolean {
    return this === other;
  }

  abstract inTransaction(): boolean;

  /** The driver's session at a node, for a request that concerns partitions. For the router. */
  abstract at(client: MongoClient, routes: readonly PartitionRoute[]): ClientSession;

  /** Before routes are looked at: they have to be as new as those that the token knows. For the router. */
  async ready(): Promise<void> {
    if (this.isReady) return;
    this.catchingUp ??= this.catchUp(this.before!);
    try {
      await this.catchingUp;
      this.isReady = true;
    } finally {
      this.catchingUp = undefined;
    }
  }

  /**
   * Before a read at an owner: what the session has seen of these partitions at other nodes, this one has, too, but members that lag
   * behind may not. The session's time at the node is moved on by one look at its primary, unless it covers that already, or the
   * read itself is answered by the primary (`ofPrimary`). For the router.
   *
   * @returns to be called when the read has been answered
   */
  async comeAlong(
    routes: readonly PartitionRoute[],
    client: MongoClient,
    { database, ofPrimary }: { readonly database: string; readonly ofPrimary: boolean },
  ): Promise<() => void> {
    if (!this.isCausal || this.inTransaction()) return nothing;
    const session = this.at(client, routes);
    const node = this.cluster.nameOf(client);
    if (!this.progress.isBehind(routes, node)) return nothing;
    const at = performance.now();
    const covered = () => this.progress.cover(node, at);
    if (ofPrimary) return covered;
    const { collectionName } = routes[0]!.collection(database, node, client);
    const times = await confirmedTime(client.db(database), collectionName, this.cluster.timeoutMs);
    session.advanceClusterTime(times.clusterTime);
    session.advanceOperationTime(times.operationTime);
    covered();
    return nothing;
  }

  /** A write sent at this time (by `performance.now()`) was answered. For the router. */
  wrote(node: NodeName, sentAt: number): void {
    this.progress.cover(node, sentAt);
  }

  /** The driver's session for a read of a copy that has all of a time, or undefined where the session doesn't order reads. For the router. */
  atCopy(client: MongoClient, routes: readonly PartitionRoute[], visibleAt: Timestamp): ClientSession | undefined {
    if (!this.isCausal) return undefined;
    const session = this.at(client, routes);
    session.advanceOperationTime(visibleAt);
    return session;
  }

  /** Before anything is read, or waited for: what of these partitions changes hands from now on has been seen. For the router. */
  use(routes: readonly PartitionRoute[]): void {
    this.progress.use(routes);
  }

  /** A node has answered that was chosen for these partitions at a time (by `performance.now()`). For the router. */
  readAt(node: NodeName, routes: readonly PartitionRoute[], chosenAt: number): void {
    this.progress.readAt(node, routes, chosenAt);
  }

  /** Something that `owner` owns was read from a copy. For the router. */
  readCopyOf(owner: NodeName): void {
    this.progress.readCopyOf(owner);
  }

  /** Where nearest reads of a partition stay, if they do. For the router. */
  stuckAt(route: PartitionRoute): NodeName | undefined {
    return this.stuck?.get(route);
  }

  /** A nearest read of a partition was served. For the router. */
  servedBy(route: PartitionRoute, node: NodeName): void {
    this.stuck?.set(route, node);
  }

  /** The driver's session at a node, with no regard to transactions. */
  protected sessionAt(client: MongoClient, routes: readonly PartitionRoute[]): ClientSession {
    this.checkOpen();
    const node = this.cluster.nameOf(client);
    if (this.snapshotEnabled) this.checkSnapshot(node, routes);
    this.progress.use(routes);
    return this.sessions.get(node) ?? this.open(node, client);
  }

  protected async endAll(): Promise<void> {
    this.hasEnded = true;
    await Promise.all([...this.sessions.values()].map((session) => session.endSession()));
  }

  private open(node: NodeName, client: MongoClient): ClientSession {
    const session = client.startSession(this.options);
    this.sessions.set(node, session);
    const times = this.timesBefore.get(node);
    if (times === undefined) return session;
    session.advanceClusterTime(times.clusterTime);
    session.advanceOperationTime(times.operationTime);
    return session;
  }

  /** @throws MongoCompatibilityError when the snapshot does not have what is asked for */
  private checkSnapshot(node: NodeName, routes: readonly PartitionRoute[]): void {
    const [other = node] = this.nodes;
    if (other !== node) {
      throw new MongoCompatibilityError(
        `a snapshot session reads from one node: this one from "${other}", but the request concerns "${node}"`,
      );
    }
    this.snapshotAt ??= performance.now();
    const since = this.snapshotAt;
    const moved = routes.find((route) => route.gainedAt(node) >= since);
    if (moved === undefined) return;
    throw new MongoCompatibilityError(
      `${moved.partition.id} came to "${node}" after this session's snapshot was taken: begin another session`,
    );
  }

  private atNode(node?: NodeName): ClientSession | undefined {
    if (node !== undefined) return this.sessions.get(node);
    if (this.sessions.size <= 1) return [...this.sessions.values()][0];
    throw new MongoAPIError(
      `this session has been used at several nodes (${this.nodes.join(', ')}), each with a session and times of its own: name one, ` +
        'or use token() to go on elsewhere',
    );
  }

  private usedAt(node?: NodeName): ClientSession {
    const session = this.atNode(node);
    if (session !== undefined) return session;
    throw new MongoAPIError(
      'this session has not been used at that node yet: to go on with what another session has seen, begin with ' +
        'startSession({ continueFrom: token })',
    );
  }

  private async catchUp({ routes }: SessionToken): Promise<void> {
    // Nobody waits for that: until then the token is only longer than it need be.
    void this.cluster.goneOf([...this.timesBefore.keys()]).then((gone) => {
      for (const node of gone) this.timesBefore.delete(node);
    });
    await this.cluster.catchUp(routes);
  }

  private checkCausal(what: string): void {
    if (this.isCausal) return;
    throw new MongoInvalidArgumentError(
      `${what} needs a causally consistent session, without "snapshot" and "causalConsistency: false"`,
    );
  }

  protected checkOpen(): void {
    if (this.hasEnded) throw new MongoExpiredSessionError('Use of expired sessions is not permitted');
  }
}

const nothing = () => undefined;
