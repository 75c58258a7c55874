import type { ClientSession, Collection, Document, Filter, FindCursor, FindOptions, WithId } from 'mongodb';
import { CollectionSettings } from './collection-settings.js';
import { DroverFindCursor } from './find-cursor.js';
import type { KeyspaceHandle } from './keyspaces.js';
import { isLinearizable, notLinearizable } from './results.js';
import type { Routed } from './session.js';
import type { Wanted } from './wanted.js';
import { isCollated, wantedBy } from './wanted.js';

/** What a partitioned collection is read by: with one key at its owner, without it at all nodes that hold what is asked for. */
export abstract class CollectionReads<TSchema extends Document> extends CollectionSettings {
  async findOne(filter: Filter<TSchema> = {}, given: Routed<FindOptions> = {}): Promise<WithId<TSchema> | null> {
    const options = this.resolved(given);
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
  find(filter: Filter<TSchema> = {}, given: Routed<FindOptions> = {}): FindCursor<WithId<TSchema>> {
    const options = this.resolved(given);
    if (isLinearizable(options)) {
      throw notLinearizable();
    }
    return new DroverFindCursor<WithId<TSchema>>(this.router.scatter, this.namespace, filter, options);
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
