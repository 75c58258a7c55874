import type { Collection, Document, Filter, FindCursor, FindOptions, MongoClient } from 'mongodb';
import { MongoInvalidArgumentError } from 'mongodb';
import { DroverError } from '../domain/errors.js';
import type { Token } from '../domain/token.js';
import type { Catalog } from '../store/catalog/catalog.js';
import type { KeyspaceDocument } from '../store/catalog/keyspaces.js';
import { isFenced } from '../store/fenced-collection.js';
import type { NodePool } from '../store/node-pool.js';
import type { AccessRecorder } from './access-recorder.js';
import type { RouteFeed } from './route-feed.js';
import type { PartitionRoute, RouteTable } from './route-table.js';
import type { Place } from './same-transaction.js';

/** A keyspace as requests need it. */
export interface KeyspaceHandle {
  readonly name: string;
  readonly database: string;
  /** Path of the partition key. */
  readonly field: string;
}

export interface RouterOptions {
  /** Longest wait of a write for a hand-over, milliseconds. */
  readonly holdTimeoutMs: number;
  readonly onLeaseExpired: 'refuse' | 'serve';
}

/** Says of a result that nothing was there to change: no fence has seen that, so it rests on the lease. */
type RestsOnLease<T> = (result: T) => boolean;

const always = () => true;

/** The token may have changed hands before the node answered: the request goes to whoever owns it now. */
const AGAIN = Symbol('again');

/** After a fence has refused a write although the route looks right, the new owner is about to open. */
const REFUSED_PAUSE_MS = 5;

/** Sends requests to the node that owns their token, and lets writes wait while a token changes hands. */
export class Router {
  private readonly keyspaces = new Map<string, KeyspaceHandle>();

  constructor(
    private readonly catalog: Catalog,
    private readonly table: RouteTable,
    private readonly feed: RouteFeed,
    private readonly nodes: NodePool,
    private readonly recorder: AccessRecorder,
    private readonly options: RouterOptions,
  ) {}

  /** Until when a write that begins now may wait, by `performance.now()`. */
  deadline(): number {
    return performance.now() + this.options.holdTimeoutMs;
  }

  async loadKeyspaces(): Promise<void> {
    for (const keyspace of await this.catalog.keyspaces.list()) this.remember(keyspace);
  }

  /** @throws DroverError `InvalidRequest` when there is no such keyspace */
  async keyspace(name: string): Promise<KeyspaceHandle> {
    const known = this.keyspaces.get(name);
    if (known !== undefined) return known;
    const keyspace = await this.catalog.keyspaces.get(name);
    await this.feed.reload(name);
    return this.remember(keyspace);
  }

  private remember({ _id, database, dimensions }: KeyspaceDocument): KeyspaceHandle {
    const handle = { name: _id, database, field: dimensions[0].field };
    this.keyspaces.set(_id, handle);
    return handle;
  }

  /** For calls that can't wait. @throws MongoInvalidArgumentError when the keyspace is not known yet */
  keyspaceNow(name: string): KeyspaceHandle {
    const known = this.keyspaces.get(name);
    if (known === undefined) {
      throw new MongoInvalidArgumentError(`"${name}" is not a keyspace that was there when this client connected`);
    }
    return known;
  }

  routeOf(keyspace: KeyspaceHandle, token: Token): PartitionRoute {
    const route = this.table.find(keyspace.name, token);
    if (route === undefined)
      throw new DroverError('InvalidRequest', `no partition of "${keyspace.name}" covers token ${token}`);
    return route;
  }

  async read<T>(keyspace: KeyspaceHandle, token: Token, request: (collection: Collection) => Promise<T>): Promise<T> {
    const route = this.routeOf(keyspace, token);
    return this.recorded(keyspace, route, token, 'reads', async () => {
      const node = route.readOwner(token);
      const read = route.reads.begin(node);
      try {
        return await request(this.collection(keyspace, route, this.nodes.peek(node) ?? (await this.nodes.get(node))));
      } finally {
        route.reads.end(read);
      }
    });
  }

  /** A read that sees every write acknowledged before it: like a write, it waits for a hand-over, and rests on the lease. */
  async readStrictly<T>(
    keyspace: KeyspaceHandle,
    token: Token,
    request: (collection: Collection) => Promise<T>,
  ): Promise<T> {
    const route = this.routeOf(keyspace, token);
    return this.recorded(keyspace, route, token, 'reads', () =>
      this.untilSettled(keyspace, route, token, ({ collection }) => request(collection), always),
    );
  }

  /** The driver's own cursor, on the node that owns the token now; counted as one read. */
  openCursor(keyspace: KeyspaceHandle, token: Token, filter: Filter<Document>, options?: FindOptions): FindCursor {
    const route = this.routeOf(keyspace, token);
    const owner = route.readOwner(token);
    const client = this.nodes.peek(owner);
    if (client === undefined) throw new DroverError('Unavailable', `node "${owner}" is not connected`);
    this.recorder.count(keyspace.name, route.partition.name, token, 'reads', 0, false);
    const cursor = this.collection(keyspace, route, client).find(filter, options);
    route.reads.cursor(owner, cursor);
    return cursor;
  }

  /**
   * Runs a write at the token's owner. While the token is fenced the write waits; what a node's own fence refuses was
   * not written, and is sent again by the newer route. So is a write that found nothing at a node that may not have owned
   * the token any more.
   *
   * @throws DroverError `TimedOut` when a hand-over does not end in time, `Unavailable` when a result that rests on the
   * lease can't be confirmed; what the driver throws otherwise
   */
  async write<T>(
    keyspace: KeyspaceHandle,
    token: Token,
    request: (place: Place) => Promise<T>,
    restsOnLease?: RestsOnLease<T>,
  ): Promise<T> {
    const route = this.routeOf(keyspace, token);
    return this.recorded(keyspace, route, token, 'writes', () =>
      this.untilSettled(keyspace, route, token, request, restsOnLease),
    );
  }

  /** One attempt of a write of several documents of one partition; the caller sorts out which were refused. */
  async writeMany<T>(
    keyspace: KeyspaceHandle,
    route: PartitionRoute,
    tokens: Token[],
    request: (place: Place) => Promise<T>,
  ): Promise<T> {
    const deadline = this.deadline();
    return this.recorded(keyspace, route, tokens[0]!, 'writes', async () => {
      const result = await this.attempt(keyspace, route, tokens, request, deadline);
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
  ): Promise<T> {
    const deadline = this.deadline();
    for (;;) {
      try {
        const result = await this.attempt(keyspace, route, [token], request, deadline, restsOnLease);
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
  ): Promise<T | typeof AGAIN> {
    let owner: string | null;
    while ((owner = route.beginWrite(tokens)) === null) {
      if (performance.now() > deadline) throw this.timedOut(route);
      await route.nextChange(deadline);
    }
    const { epoch } = route;
    try {
      const client = this.nodes.peek(owner) ?? (await this.nodes.get(owner));
      const result = await request({ client, collection: this.collection(keyspace, route, client), deadline });
      if (restsOnLease === undefined || !restsOnLease(result)) return result;
      // The common case costs no round trip.
      if (this.feed.leaseValid() && route.epoch === epoch) return result;
      if (await this.isConfirmed(route, epoch, deadline)) return result;
    } finally {
      route.endWrite(tokens);
    }
    if (performance.now() > deadline) throw this.timedOut(route);
    return AGAIN;
  }

  /** Whether the owner by the route of this epoch still was the owner when it had answered. */
  private async isConfirmed(route: PartitionRoute, epoch: number, deadline: number): Promise<boolean> {
    if (
      !this.feed.leaseValid() &&
      !(await this.readAgain(route, deadline)) &&
      this.options.onLeaseExpired === 'refuse'
    ) {
      throw new DroverError(
        'Unavailable',
        `whether ${route.partition.id} has moved can't be told: this client's lease has run out and the catalog does not ` +
          'answer. The request has changed nothing; repeat it when the catalog can be reached, or connect with ' +
          "{ onLeaseExpired: 'serve' } to take such results as they are",
      );
    }
    return route.epoch === epoch;
  }

  private readAgain(route: PartitionRoute, deadline: number): Promise<boolean> {
    let timer: NodeJS.Timeout;
    const late = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), Math.max(0, deadline - performance.now()));
    });
    return Promise.race([this.feed.refresh(route.partition), late]).finally(() => clearTimeout(timer));
  }

  private timedOut(route: PartitionRoute): DroverError {
    const { holdTimeoutMs } = this.options;
    return new DroverError(
      'TimedOut',
      `a request to ${route.partition.id} waited ${holdTimeoutMs} ms for a hand-over to end`,
    );
  }

  private collection(keyspace: KeyspaceHandle, route: PartitionRoute, client: MongoClient): Collection {
    return client.db(keyspace.database).collection<Document>(route.partition.collection);
  }

  private async recorded<T>(
    keyspace: KeyspaceHandle,
    route: PartitionRoute,
    token: Token,
    kind: 'reads' | 'writes',
    request: () => Promise<T>,
  ): Promise<T> {
    const startedAt = performance.now();
    let failed = true;
    try {
      const result = await request();
      failed = false;
      return result;
    } finally {
      this.recorder.count(keyspace.name, route.partition.name, token, kind, performance.now() - startedAt, failed);
    }
  }
}
