import type {
  BulkWriteOptions,
  Collection,
  DeleteOptions,
  DeleteResult,
  Document,
  Filter,
  FindCursor,
  FindOneAndDeleteOptions,
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
import { tokenOfKey } from '../store/key-token.js';
import * as guarded from './guarded-delete.js';
import { insertByPartition } from './insert-many.js';
import { MAJORITY } from './majority.js';
import { checkUpdateKeepsKey, keyOfDocument, keyOfFilter } from './requests.js';
import type { KeyspaceHandle, Router } from './router.js';
import { inSameTransaction } from './same-transaction.js';

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
    return this.router.write(keyspace, tokenOfKey(keyOfDocument(document, keyspace.field)), (place) =>
      inSameTransaction(place, (session) =>
        place.collection.insertOne(document, { ...options, session, writeConcern: MAJORITY }),
      ),
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
    const token = this.tokenOf(filter, keyspace, 'findOne');
    const request = (collection: Collection) =>
      collection.findOne<WithId<TSchema>>(filter as Filter<Document>, options);
    return isLinearizable(options)
      ? this.router.readStrictly(keyspace, token, request)
      : this.router.read(keyspace, token, request);
  }

  /**
   * The driver's own cursor, on the node that owns the key.
   *
   * @throws MongoInvalidArgumentError for the read concern `linearizable`: a cursor can't be asked again; `findOne` can
   */
  find(filter: Filter<TSchema>, options?: FindOptions): FindCursor<WithId<TSchema>> {
    if (isLinearizable(options)) {
      throw new MongoInvalidArgumentError('find does not support the read concern "linearizable"; findOne does');
    }
    const keyspace = this.router.keyspaceNow(this.namespace);
    const token = this.tokenOf(filter, keyspace, 'find');
    return this.router.openCursor(keyspace, token, filter as Filter<Document>, options) as FindCursor<WithId<TSchema>>;
  }

  async updateOne(
    filter: Filter<TSchema>,
    update: UpdateFilter<TSchema> | Document[],
    options?: UpdateOptions,
  ): Promise<UpdateResult<TSchema>> {
    const keyspace = await this.keyspace();
    checkUpdateKeepsKey(update as UpdateFilter<Document> | Document[], keyspace.field);
    return this.router.write(
      keyspace,
      this.tokenOf(filter, keyspace, 'updateOne'),
      (place) =>
        inSameTransaction(place, (session) =>
          place.collection.updateOne(filter as Filter<Document>, update as UpdateFilter<Document>, {
            ...options,
            session,
            writeConcern: MAJORITY,
          }),
        ),
      changedNothing,
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
    return this.router.write(
      keyspace,
      token,
      (place) =>
        inSameTransaction(place, (session) =>
          place.collection.replaceOne(filter as Filter<Document>, replacement, {
            ...options,
            session,
            writeConcern: MAJORITY,
          }),
        ),
      changedNothing,
    );
  }

  async deleteOne(filter: Filter<TSchema>, options?: DeleteOptions): Promise<DeleteResult> {
    const keyspace = await this.keyspace();
    return this.router.write(
      keyspace,
      this.tokenOf(filter, keyspace, 'deleteOne'),
      (place) => guarded.deleteOne(place, filter as Filter<Document>, options),
      deletedNothing,
    );
  }

  /**
   * Deletes in small transactions, each of them at whoever owns the key at that moment: one that a fence refuses has
   * deleted nothing and goes to the new owner. An error in the middle has what was deleted before in `deletedCount`.
   */
  async deleteMany(filter: Filter<TSchema>, options?: DeleteOptions): Promise<DeleteResult> {
    const keyspace = await this.keyspace();
    const token = this.tokenOf(filter, keyspace, 'deleteMany');
    return guarded.deleteMany(this.router, keyspace, token, filter as Filter<Document>, options);
  }

  /** The document as it was before it was deleted. */
  async findOneAndDelete(
    filter: Filter<TSchema>,
    options: FindOneAndDeleteOptions & { includeResultMetadata: true },
  ): Promise<ModifyResult<TSchema>>;
  async findOneAndDelete(filter: Filter<TSchema>, options?: FindOneAndDeleteOptions): Promise<WithId<TSchema> | null>;
  async findOneAndDelete(filter: Filter<TSchema>, options?: FindOneAndDeleteOptions): Promise<unknown> {
    const keyspace = await this.keyspace();
    return this.router.write(
      keyspace,
      this.tokenOf(filter, keyspace, 'findOneAndDelete'),
      (place) => guarded.findOneAndDelete(place, filter as Filter<Document>, options),
      options?.includeResultMetadata === true ? (result) => result?.['value'] === null : (result) => result === null,
    );
  }

  private keyspace(): Promise<KeyspaceHandle> {
    return this.router.keyspace(this.namespace);
  }

  private tokenOf(filter: Filter<TSchema>, keyspace: KeyspaceHandle, operation: string): Token {
    return tokenOfKey(keyOfFilter(filter as Filter<Document>, keyspace.field, operation));
  }
}

/** Also an update of a document that was as wanted already: validators let it pass. */
const changedNothing = ({ modifiedCount, upsertedCount }: UpdateResult<Document>): boolean =>
  modifiedCount === 0 && upsertedCount === 0;

const deletedNothing = ({ deletedCount }: DeleteResult): boolean => deletedCount === 0;

function isLinearizable(options: FindOptions | undefined): boolean {
  const concern = options?.readConcern;
  return concern !== undefined && (typeof concern === 'string' ? concern : concern.level) === 'linearizable';
}
