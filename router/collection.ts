import type {
  BulkWriteOptions,
  ClientSession,
  Collection,
  DeleteOptions,
  DeleteResult,
  Document,
  Filter,
  FindCursor,
  FindOneAndDeleteOptions,
  FindOneAndReplaceOptions,
  FindOneAndUpdateOptions,
  FindOptions,
  InsertManyResult,
  InsertOneOptions,
  InsertOneResult,
  ModifyResult,
  OptionalUnlessRequiredId,
  ReplaceOptions,
  UpdateFilter,
  UpdateOptions,
  UpdateResult,
  WithId,
  WithoutId,
} from 'mongodb';
import { MongoInvalidArgumentError, ObjectId } from 'mongodb';
import type { Token } from '../domain/token.js';
import { isFenced } from '../store/fenced-collection.js';
import { tokenOfKey } from '../store/key-token.js';
import * as guarded from './guarded-delete.js';
import { insertByPartition } from './insert-many.js';
import type { KeyspaceHandle } from './keyspaces.js';
import { MAJORITY, majorityWithin } from './majority.js';
import { checkReplacementKeepsKey, checkUpdateKeepsKey, keyOfDocument, keyOfFilter } from './requests.js';
import { changedNothing, deletedNothing, foundNothing, isLinearizable, refusedInTheMiddle } from './results.js';
import type { Router } from './router.js';
import { inSameTransaction } from './same-transaction.js';
import type { DroverSession, Routed } from './session.js';

type WithMetadata<O> = Routed<O> & { includeResultMetadata: true };

/**
 * A partitioned collection with the driver's own methods, options, results and errors. Each request goes to the node
 * that owns its key at that moment; a write of a key that is changing hands waits a moment.
 */
export class DroverCollection<TSchema extends Document = Document> {
  constructor(
    private readonly router: Router,
    readonly namespace: string,
  ) {}

  async insertOne(
    document: OptionalUnlessRequiredId<TSchema>,
    options?: Routed<InsertOneOptions>,
  ): Promise<InsertOneResult<TSchema>> {
    const keyspace = await this.keyspace();
    // Given here, not by the driver, so that a repeated attempt stores the same document.
    if (document._id === undefined) document._id = new ObjectId() as never;
    const token = tokenOfKey(keyOfDocument(document, keyspace.field));
    return this.one(keyspace, token, options, undefined, (collection, session) =>
      collection.insertOne(document, { ...options, session, writeConcern: MAJORITY }),
    );
  }

  async insertMany(
    documents: readonly OptionalUnlessRequiredId<TSchema>[],
    options?: Routed<BulkWriteOptions>,
  ): Promise<InsertManyResult<TSchema>> {
    const keyspace = await this.keyspace();
    return insertByPartition(this.router, keyspace, documents, options);
  }

  async findOne(filter: Filter<TSchema>, options?: Routed<FindOptions>): Promise<WithId<TSchema> | null> {
    const keyspace = await this.keyspace();
    const token = this.tokenOf(filter, keyspace, 'findOne');
    const request = (collection: Collection, session?: ClientSession) =>
      collection.findOne<WithId<TSchema>>(
        filter as Filter<Document>,
        (session === undefined ? options : { ...options, session }) as FindOptions,
      );
    return isLinearizable(options)
      ? this.router.readStrictly(keyspace, token, request, options?.session)
      : this.router.read(keyspace, token, request, options?.session);
  }

  /**
   * The driver's own cursor, on the node that owns the key.
   *
   * @throws MongoInvalidArgumentError for the read concern `linearizable`: a cursor can't be asked again; `findOne` can
   */
  find(filter: Filter<TSchema>, options?: Routed<FindOptions>): FindCursor<WithId<TSchema>> {
    if (isLinearizable(options)) {
      throw new MongoInvalidArgumentError('find does not support the read concern "linearizable"; findOne does');
    }
    const keyspace = this.router.keyspaces.peek(this.namespace);
    const token = this.tokenOf(filter, keyspace, 'find');
    return this.router.openCursor(keyspace, token, filter as Filter<Document>, options) as FindCursor<WithId<TSchema>>;
  }

  async updateOne(
    filter: Filter<TSchema>,
    update: UpdateFilter<TSchema> | Document[],
    options?: Routed<UpdateOptions>,
  ): Promise<UpdateResult<TSchema>> {
    const keyspace = await this.keyspace();
    const token = this.tokenOf(filter, keyspace, 'updateOne');
    const changes = update as UpdateFilter<Document>;
    checkUpdateKeepsKey(changes, keyspace.field);
    return this.one(keyspace, token, options, changedNothing, (collection, session) =>
      collection.updateOne(filter as Filter<Document>, changes, {
        ...options,
        session,
        writeConcern: MAJORITY,
      }),
    );
  }

  /**
   * Sent once: the server can't tell which documents it has changed already. An unknown outcome is thrown, and so is a refusal
   * by a fence, which only a client meets that was cut off from the catalog for longer than its lease.
   */
  async updateMany(
    filter: Filter<TSchema>,
    update: UpdateFilter<TSchema> | Document[],
    options?: Routed<UpdateOptions>,
  ): Promise<UpdateResult<TSchema>> {
    const keyspace = await this.keyspace();
    const token = this.tokenOf(filter, keyspace, 'updateMany');
    const changes = update as UpdateFilter<Document>;
    checkUpdateKeepsKey(changes, keyspace.field);
    return this.router.write(
      keyspace,
      token,
      async ({ collection, session }) => {
        const settings = { ...options, session, writeConcern: MAJORITY } as UpdateOptions;
        try {
          return await collection.updateMany(filter as Filter<Document>, changes, settings);
        } catch (error) {
          if (session?.inTransaction() || !isFenced(error)) throw error;
          await this.router.refused(this.router.routeOf(keyspace, token));
          throw refusedInTheMiddle();
        }
      },
      changedNothing,
      options?.session,
    );
  }

  async replaceOne(
    filter: Filter<TSchema>,
    replacement: WithoutId<TSchema>,
    options?: Routed<ReplaceOptions>,
  ): Promise<UpdateResult<TSchema>> {
    const keyspace = await this.keyspace();
    const token = this.tokenOf(filter, keyspace, 'replaceOne');
    checkReplacementKeepsKey(replacement, token, keyspace.field, 'replaceOne');
    return this.one(keyspace, token, options, changedNothing, (collection, session) =>
      collection.replaceOne(filter as Filter<Document>, replacement, {
        ...options,
        session,
        writeConcern: MAJORITY,
      }),
    );
  }

  async findOneAndUpdate(
    filter: Filter<TSchema>,
    update: UpdateFilter<TSchema> | Document[],
    options: WithMetadata<FindOneAndUpdateOptions>,
  ): Promise<ModifyResult<TSchema>>;
  async findOneAndUpdate(
    filter: Filter<TSchema>,
    update: UpdateFilter<TSchema> | Document[],
    options?: Routed<FindOneAndUpdateOptions>,
  ): Promise<WithId<TSchema> | null>;
  async findOneAndUpdate(
    filter: Filter<TSchema>,
    update: UpdateFilter<TSchema> | Document[],
    options?: Routed<FindOneAndUpdateOptions>,
  ): Promise<unknown> {
    const keyspace = await this.keyspace();
    const token = this.tokenOf(filter, keyspace, 'findOneAndUpdate');
    const changes = update as UpdateFilter<Document>;
    checkUpdateKeepsKey(changes, keyspace.field);
    return this.one<unknown>(keyspace, token, options, foundNothing(options), (collection, session) =>
      collection.findOneAndUpdate(filter as Filter<Document>, changes, {
        ...options,
        session,
        writeConcern: majorityWithin(session),
      } as FindOneAndUpdateOptions),
    );
  }

  async findOneAndReplace(
    filter: Filter<TSchema>,
    replacement: WithoutId<TSchema>,
    options: WithMetadata<FindOneAndReplaceOptions>,
  ): Promise<ModifyResult<TSchema>>;
  async findOneAndReplace(
    filter: Filter<TSchema>,
    replacement: WithoutId<TSchema>,
    options?: Routed<FindOneAndReplaceOptions>,
  ): Promise<WithId<TSchema> | null>;
  async findOneAndReplace(
    filter: Filter<TSchema>,
    replacement: WithoutId<TSchema>,
    options?: Routed<FindOneAndReplaceOptions>,
  ): Promise<unknown> {
    const keyspace = await this.keyspace();
    const token = this.tokenOf(filter, keyspace, 'findOneAndReplace');
    checkReplacementKeepsKey(replacement, token, keyspace.field, 'findOneAndReplace');
    return this.one<unknown>(keyspace, token, options, foundNothing(options), (collection, session) =>
      collection.findOneAndReplace(filter as Filter<Document>, replacement, {
        ...options,
        session,
        writeConcern: majorityWithin(session),
      } as FindOneAndReplaceOptions),
    );
  }

  /** The document as it was before it was deleted. */
  async findOneAndDelete(
    filter: Filter<TSchema>,
    options: WithMetadata<FindOneAndDeleteOptions>,
  ): Promise<ModifyResult<TSchema>>;
  async findOneAndDelete(
    filter: Filter<TSchema>,
    options?: Routed<FindOneAndDeleteOptions>,
  ): Promise<WithId<TSchema> | null>;
  async findOneAndDelete(filter: Filter<TSchema>, options?: Routed<FindOneAndDeleteOptions>): Promise<unknown> {
    const keyspace = await this.keyspace();
    return this.router.write<unknown>(
      keyspace,
      this.tokenOf(filter, keyspace, 'findOneAndDelete'),
      (place) => guarded.findOneAndDelete(place, filter as Filter<Document>, options),
      foundNothing(options),
      options?.session,
      'transactions',
    );
  }

  async deleteOne(filter: Filter<TSchema>, options?: Routed<DeleteOptions>): Promise<DeleteResult> {
    const keyspace = await this.keyspace();
    return this.router.write(
      keyspace,
      this.tokenOf(filter, keyspace, 'deleteOne'),
      (place) => guarded.deleteOne(place, filter as Filter<Document>, options),
      deletedNothing,
      options?.session,
      'transactions',
    );
  }

  /**
   * Deletes in small transactions, each of them at whoever owns the key at that moment: one that a fence refuses has
   * deleted nothing and goes to the new owner. An error in the middle has what was deleted before in `deletedCount`.
   */
  async deleteMany(filter: Filter<TSchema>, options?: Routed<DeleteOptions>): Promise<DeleteResult> {
    const keyspace = await this.keyspace();
    const token = this.tokenOf(filter, keyspace, 'deleteMany');
    return guarded.deleteMany(this.router, keyspace, token, filter as Filter<Document>, options);
  }

  /** A write of one document, which the server applies once however often it is sent. */
  private one<T>(
    keyspace: KeyspaceHandle,
    token: Token,
    options: { readonly session?: DroverSession | undefined } | undefined,
    restsOnLease: ((result: T) => boolean) | undefined,
    operation: (collection: Collection, session: ClientSession) => Promise<T>,
  ): Promise<T> {
    return this.router.write<T>(
      keyspace,
      token,
      (place) => inSameTransaction(place, (session) => operation(place.collection, session)),
      restsOnLease,
      options?.session,
    );
  }

  private keyspace(): Promise<KeyspaceHandle> {
    return this.router.keyspaces.get(this.namespace);
  }

  private tokenOf(filter: Filter<TSchema>, keyspace: KeyspaceHandle, operation: string): Token {
    return tokenOfKey(keyOfFilter(filter as Filter<Document>, keyspace.field, operation));
  }
}
