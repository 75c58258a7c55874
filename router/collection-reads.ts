import type { ClientSession, Collection, Document, Filter, FindCursor, FindOptions, WithId } from 'mongodb';
import { DroverFindCursor } from './find-cursor.js';
import type { KeyspaceHandle } from './keyspaces.js';
import { isLinearizable, notLinearizable } from './results.js';
import type { Router } from './router.js';
import type { Routed } from './session.js';
import type { Wanted } from './wanted.js';
import { isCollated, wantedBy } from './wanted.js';

/** What a partitioned collection is read by: with one key at its owner, without it at all nodes that hold what is asked for. */
export abstract class CollectionReads<TSchema extends Document> {
  constructor(
    protected readonly router: Router,
    readonly namespace: string,
  ) {}

  async findOne(filter: Filter<TSchema> = {}, options?: Routed<FindOptions>): Promise<WithId<TSchema> | null> {
    const keyspace = await this.keyspace();
    const wanted = this.wanted(keyspace, filter, options);
    if (wanted === 'all' || wanted.length > 1) {
      const cursor = this.find(filter, { ...options, limit: 1 });
      try {
        return await cursor.next();
      } finally {
        await cursor.close();
      }
    }
    const request = (collection: Collection, session?: ClientSession) =>
      collection.findOne<WithId<TSchema>>(
        filter as Filter<Document>,
        (session === undefined ? options : { ...options, session }) as FindOptions,
      );
    return isLinearizable(options)
      ? this.router.readStrictly(keyspace, wanted[0], request, options?.session)
      : this.router.read(keyspace, wanted[0], request, options?.session);
  }

  /**
   * The driver's own cursor, over all nodes that hold what is asked for.
   *
   * @throws MongoInvalidArgumentError for the read concern `linearizable`: a cursor can't be asked again; `findOne` of a key can
   */
  find(filter: Filter<TSchema> = {}, options: Routed<FindOptions> = {}): FindCursor<WithId<TSchema>> {
    if (isLinearizable(options)) {
      throw notLinearizable();
    }
    return new DroverFindCursor<WithId<TSchema>>(this.router.scatter, this.namespace, filter, options);
  }

  protected keyspace(): Promise<KeyspaceHandle> {
    return this.router.keyspaces.get(this.namespace);
  }

  /** The keys that a request is for. */
  protected wanted(
    { field }: KeyspaceHandle,
    filter: Filter<TSchema> | undefined,
    options: Pick<FindOptions, 'collation'> | undefined,
  ): Wanted {
    return wantedBy(filter, field, isCollated(options?.collation));
  }
}
