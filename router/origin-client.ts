import type { CollectionOptions, Document } from 'mongodb';
import type { DroverSessionOptions } from './session-options.js';
import { tokenOfKey } from '../store/key-token.js';
import { DroverCollection } from './collection.js';
import type { OriginOptions } from './origin.js';
import type { NearestReads } from './reading.js';
import type { Router } from './router.js';
import { DroverSession } from './session.js';

export interface DroverCollectionOptions extends CollectionOptions {
  /** Reads of the collection may go to copies that are nearer than the owner. */
  readonly nearest?: NearestReads | false;
}

/** The collections of a cluster, for requests of one origin. */
export class DroverOriginClient {
  constructor(
    protected readonly router: Router,
    private readonly nearest?: NearestReads | false,
  ) {}

  /**
   * The same collections for requests that come from elsewhere, as access records have it: for a service that makes them for
   * others. It costs next to nothing, one for each request of a user is fine, and there is nothing to close.
   *
   * @example
   * const orders = client.withOrigin({ ip: request.ip, region: 'eu' }).db('shop').collection('orders');
   */
  withOrigin(origin: OriginOptions): DroverOriginClient {
    return new DroverOriginClient(this.router.from(origin), this.nearest);
  }

  /** Name of the node that owns a key at this moment, as this client knows it: for diagnosis, not for routing. */
  async ownerOf(namespace: string, key: unknown): Promise<string> {
    const keyspace = await this.router.keyspaces.get(namespace);
    const token = tokenOfKey(key);
    return this.router.routeOf(keyspace, token).readOwner(token);
  }

  db(name: string): DroverDatabase {
    return new DroverDatabase(this.router, name, this.nearest);
  }

  /**
   * A session for requests to one node or several; a transaction stays within one.
   *
   * @throws MongoInvalidArgumentError for options that don't go together, or a wrong token
   */
  startSession(options?: DroverSessionOptions): DroverSession {
    return new DroverSession(this.router.sessions, options);
  }
}

export class DroverDatabase {
  constructor(
    private readonly router: Router,
    readonly databaseName: string,
    private readonly nearest?: NearestReads | false,
  ) {}

  /** @param options what requests are asked with where they say nothing else; writes are acknowledged by a majority anyway */
  collection<TSchema extends Document = Document>(
    name: string,
    { nearest = this.nearest, ...options }: DroverCollectionOptions = {},
  ): DroverCollection<TSchema> {
    return new DroverCollection<TSchema>(this.router, `${this.databaseName}.${name}`, options, nearest);
  }
}
