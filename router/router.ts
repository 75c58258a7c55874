import type { Collection, Document } from 'mongodb';
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

/** A keyspace as requests need it. */
export interface KeyspaceHandle {
  readonly name: string;
  readonly database: string;
  /** Path of the partition key. */
  readonly field: string;
}

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
    /** Longest wait of a write for a hand-over, milliseconds. */
    private readonly holdTimeoutMs: number,
  ) {}

  /** Until when a write that begins now may wait, by `performance.now()`. */
  deadline(): number {
    return performance.now() + this.holdTimeoutMs;
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
    return this.recorded(keyspace, route, token, 'reads', async () =>
      request(await this.collection(keyspace, route, route.readOwner(token))),
    );
  }

  /** The collection to read a token from, for cursors; counted as one read. */
  readable(keyspace: KeyspaceHandle, token: Token): Collection {
    const route = this.routeOf(keyspace, token);
    const owner = route.readOwner(token);
    const client = this.nodes.peek(owner);
    if (client === undefined) throw new DroverError('Unavailable', `node "${owner}" is not connected`);
    this.recorder.count(keyspace.name, route.partition.name, token, 'reads', 0, false);
    return client.db(keyspace.database).collection(route.partition.collection);
  }

  /**
   * Runs a write at the token's owner. While the token is fenced the write waits; what a node's own fence refuses was
   * not written, and is sent again by the newer route.
   *
   * @throws DroverError `TimedOut` when a hand-over does not end in time; what the driver throws otherwise
   */
  async write<T>(keyspace: KeyspaceHandle, token: Token, request: (collection: Collection) => Promise<T>): Promise<T> {
    const route = this.routeOf(keyspace, token);
    const deadline = this.deadline();
    return this.recorded(keyspace, route, token, 'writes', async () => {
      for (;;) {
        try {
          return await this.attempt(keyspace, route, [token], request, deadline);
        } catch (error) {
          if (!isFenced(error) || performance.now() > deadline) throw error;
        }
        await this.refused(route);
      }
    });
  }

  /** One attempt of a write of several documents of one partition; the caller sorts out which were refused. */
  async writeMany<T>(
    keyspace: KeyspaceHandle,
    route: PartitionRoute,
    tokens: Token[],
    request: (collection: Collection) => Promise<T>,
  ): Promise<T> {
    const deadline = this.deadline();
    return this.recorded(keyspace, route, tokens[0]!, 'writes', () =>
      this.attempt(keyspace, route, tokens, request, deadline),
    );
  }

  /** After a refusal by a fence: the route is read again, and the new owner given a moment to open. */
  async refused(route: PartitionRoute): Promise<void> {
    const before = route.epoch;
    await this.feed.refresh(route.partition);
    if (route.epoch === before) await new Promise((resolve) => setTimeout(resolve, REFUSED_PAUSE_MS));
  }

  private async attempt<T>(
    keyspace: KeyspaceHandle,
    route: PartitionRoute,
    tokens: Token[],
    request: (collection: Collection) => Promise<T>,
    deadline: number,
  ): Promise<T> {
    let owner: string | null;
    while ((owner = route.beginWrite(tokens)) === null) {
      if (performance.now() > deadline) {
        throw new DroverError(
          'TimedOut',
          `a write of ${route.partition.id} waited ${this.holdTimeoutMs} ms for a hand-over to end`,
        );
      }
      await route.nextChange(deadline);
    }
    try {
      return await request(await this.collection(keyspace, route, owner));
    } finally {
      route.endWrite(tokens);
    }
  }

  private async collection(keyspace: KeyspaceHandle, route: PartitionRoute, node: string): Promise<Collection> {
    const client = this.nodes.peek(node) ?? (await this.nodes.get(node));
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
