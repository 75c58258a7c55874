import type {
  BulkWriteOptions,
  DeleteOptions,
  DeleteResult,
  Document,
  Filter,
  FindCursor,
  FindOptions,
  InsertManyResult,
  InsertOneOptions,
  InsertOneResult,
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
import { tokenOfKey } from '../store/key-token.js';
import { insertByPartition } from './insert-many.js';
import { MAJORITY } from './majority.js';
import { checkUpdateKeepsKey, keyOfDocument, keyOfFilter } from './requests.js';
import type { KeyspaceHandle, Router } from './router.js';

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
    options?: InsertOneOptions,
  ): Promise<InsertOneResult<TSchema>> {
    const keyspace = await this.keyspace();
    // Given here, not by the driver, so that a repeated attempt stores the same document.
    if (document._id === undefined) document._id = new ObjectId() as never;
    return this.router.write(keyspace, tokenOfKey(keyOfDocument(document, keyspace.field)), (collection) =>
      collection.insertOne(document, { ...options, writeConcern: MAJORITY }),
    );
  }

  async insertMany(
    documents: readonly OptionalUnlessRequiredId<TSchema>[],
    options?: BulkWriteOptions,
  ): Promise<InsertManyResult<TSchema>> {
    const keyspace = await this.keyspace();
    return insertByPartition(this.router, keyspace, documents, options);
  }

  async findOne(filter: Filter<TSchema>, options?: FindOptions): Promise<WithId<TSchema> | null> {
    const keyspace = await this.keyspace();
    return this.router.read<WithId<TSchema> | null>(keyspace, this.tokenOf(filter, keyspace, 'findOne'), (collection) =>
      collection.findOne<WithId<TSchema>>(filter as Filter<Document>, options),
    );
  }

  /** The driver's own cursor, on the node that owns the key. */
  find(filter: Filter<TSchema>, options?: FindOptions): FindCursor<WithId<TSchema>> {
    const keyspace = this.router.keyspaceNow(this.namespace);
    const collection = this.router.readable(keyspace, this.tokenOf(filter, keyspace, 'find'));
    return collection.find(filter as Filter<Document>, options) as unknown as FindCursor<WithId<TSchema>>;
  }

  async updateOne(
    filter: Filter<TSchema>,
    update: UpdateFilter<TSchema> | Document[],
    options?: UpdateOptions,
  ): Promise<UpdateResult<TSchema>> {
    const keyspace = await this.keyspace();
    checkUpdateKeepsKey(update as UpdateFilter<Document> | Document[], keyspace.field);
    return this.router.write(keyspace, this.tokenOf(filter, keyspace, 'updateOne'), (collection) =>
      collection.updateOne(filter as Filter<Document>, update as UpdateFilter<Document>, {
        ...options,
        writeConcern: MAJORITY,
      }),
    );
  }

  async replaceOne(
    filter: Filter<TSchema>,
    replacement: WithoutId<TSchema>,
    options?: ReplaceOptions,
  ): Promise<UpdateResult<TSchema>> {
    const keyspace = await this.keyspace();
    const token = this.tokenOf(filter, keyspace, 'replaceOne');
    if (tokenOfKey(keyOfDocument(replacement, keyspace.field)) !== token) {
      throw new MongoInvalidArgumentError(`replaceOne can't change the partition key "${keyspace.field}"`);
    }
    return this.router.write(keyspace, token, (collection) =>
      collection.replaceOne(filter as Filter<Document>, replacement, { ...options, writeConcern: MAJORITY }),
    );
  }

  async deleteOne(filter: Filter<TSchema>, options?: DeleteOptions): Promise<DeleteResult> {
    const keyspace = await this.keyspace();
    return this.router.write(keyspace, this.tokenOf(filter, keyspace, 'deleteOne'), (collection) =>
      collection.deleteOne(filter as Filter<Document>, { ...options, writeConcern: MAJORITY }),
    );
  }

  private keyspace(): Promise<KeyspaceHandle> {
    return this.router.keyspace(this.namespace);
  }

  private tokenOf(filter: Filter<TSchema>, keyspace: KeyspaceHandle, operation: string): Token {
    return tokenOfKey(keyOfFilter(filter as Filter<Document>, keyspace.field, operation));
  }
}
