import type { BSONSerializeOptions, Collection, CollectionOptions, ReadConcern, ReadPreference } from 'mongodb';
import { MongoInvalidArgumentError, WriteConcern } from 'mongodb';
import { definedOf } from '../domain/defined.js';
import type { KeyspaceHandle } from './keyspaces.js';
import { MAJORITY } from './majority.js';
import { ownReadConcern } from './own-read-concern.js';
import type { NearestReads } from './reading.js';
import { checkNearest } from './reading.js';
import type { Router } from './router.js';
import type { DroverSession } from './session.js';

/** What all methods of a collection look at. */
interface Shared {
  readonly session?: DroverSession | undefined;
  readonly bypassDocumentValidation?: boolean | undefined;
}

/** The name of a partitioned collection, and what its requests are asked with where they say nothing else. */
export abstract class CollectionSettings {
  /** As requests take them; undefined where there are none. */
  private readonly defaults: CollectionOptions | undefined;

  constructor(
    protected readonly router: Router,
    readonly namespace: string,
    private readonly chosen: CollectionOptions = {},
    protected readonly nearest?: NearestReads | false,
  ) {
    checkNearest(nearest);
    // Whatever they say, writes are acknowledged by a majority.
    const { writeConcern: _, timeoutMS: __, readConcern, ...defaults } = chosen;
    const all = { ...defaults, ...ownReadConcern(readConcern) };
    const given = definedOf(all);
    this.defaults = Object.keys(given).length === 0 ? undefined : given;
  }

  get dbName(): string {
    return this.namespace.slice(0, this.namespace.indexOf('.'));
  }

  get collectionName(): string {
    return this.namespace.slice(this.namespace.indexOf('.') + 1);
  }

  get readConcern(): ReadConcern | undefined {
    return this.anyHandle().readConcern;
  }

  get readPreference(): ReadPreference | undefined {
    return this.anyHandle().readPreference;
  }

  /** A majority of the node, always: a weaker one could lose an acknowledged write. */
  get writeConcern(): WriteConcern {
    return new WriteConcern(MAJORITY.w);
  }

  get bsonOptions(): BSONSerializeOptions {
    return this.anyHandle().bsonOptions;
  }

  protected keyspace(): Promise<KeyspaceHandle> {
    return this.router.keyspaces.get(this.namespace);
  }

  /** The driver's collection of this name at some node, for what needs no document of it: there is none there. */
  protected anyHandle(): Collection {
    return this.router.scatter.anyClient().db(this.dbName).collection(this.collectionName, this.chosen);
  }

  /**
   * The options of a request, and the collection's own where it has none, as with the driver.
   *
   * @throws MongoInvalidArgumentError for `bypassDocumentValidation`: a node that does not own a document any more tells so by
   * its validator
   */
  protected resolved<O extends Shared>(options: O): O {
    if (options.bypassDocumentValidation === true) {
      throw new MongoInvalidArgumentError(
        'bypassDocumentValidation is not there for partitioned collections, whose validators keep documents from being written where ' +
          'they do not belong',
      );
    }
    if (this.defaults === undefined) return options;
    const { readConcern, ...others } = this.defaults;
    const { session } = options;
    // A transaction has a read concern of its own, and so has a snapshot.
    const hasOwn = session?.inTransaction() === true || session?.snapshotEnabled === true;
    const ofRead = readConcern === undefined || hasOwn ? {} : { readConcern };
    return { ...others, ...ofRead, ...definedOf(options) } as unknown as O;
  }
}
