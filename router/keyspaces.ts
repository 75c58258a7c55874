import { MongoInvalidArgumentError } from 'mongodb';
import type { Catalog } from '../store/catalog/catalog.js';
import type { KeyspaceDocument } from '../store/catalog/keyspaces.js';
import { clientClosed } from './client-closed.js';
import type { NodeHistory } from './node-history.js';
import type { RouteFeed } from './route-feed.js';

/** A keyspace as requests need it. */
export interface KeyspaceHandle {
  readonly name: string;
  readonly database: string;
  /** Path of the partition key. */
  readonly field: string;
}

/** The keyspaces of the catalog, each read once: what requests need of them never changes. */
export class Keyspaces {
  private readonly handles = new Map<string, KeyspaceHandle>();
  private closed = false;

  constructor(
    private readonly catalog: Catalog,
    private readonly feed: RouteFeed,
    readonly nodeHistory: NodeHistory,
  ) {}

  async load(): Promise<void> {
    for (const keyspace of await this.catalog.keyspaces.list()) this.remember(keyspace);
  }

  /** Every request asks for its keyspace first: none begins any more. */
  close(): void {
    this.closed = true;
  }

  /** @throws DroverError `InvalidRequest` when there is no such keyspace, `Unavailable` once the client is closed */
  async get(name: string): Promise<KeyspaceHandle> {
    if (this.closed) throw clientClosed();
    const known = this.handles.get(name);
    if (known !== undefined) return known;
    const keyspace = await this.catalog.keyspaces.get(name);
    await this.feed.reload(name);
    return this.remember(keyspace);
  }

  /** For calls that can't wait. @throws MongoInvalidArgumentError when the keyspace is not known yet */
  peek(name: string): KeyspaceHandle {
    if (this.closed) throw clientClosed();
    const known = this.handles.get(name);
    if (known === undefined) {
      throw new MongoInvalidArgumentError(`"${name}" is not a keyspace that was there when this client connected`);
    }
    return known;
  }

  /** Whatever the state of the client is. */
  known(name: string): KeyspaceHandle | undefined {
    return this.handles.get(name);
  }

  private remember({ _id, database, dimensions }: KeyspaceDocument): KeyspaceHandle {
    const handle = { name: _id, database, field: dimensions[0].field };
    this.handles.set(_id, handle);
    return handle;
  }
}
