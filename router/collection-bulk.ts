import type {
  AnyBulkWriteOperation,
  BulkWriteOptions,
  BulkWriteResult,
  Document,
  InsertManyResult,
  OptionalUnlessRequiredId,
} from 'mongodb';
import { MongoInvalidArgumentError } from 'mongodb';
import type { Execute } from './bulk-operation.js';
import { DroverOrderedBulkOperation, DroverUnorderedBulkOperation } from './bulk-operation.js';
import type { SingleWrites } from './bulk-write.js';
import { bulkWrite } from './bulk-write.js';
import { CollectionIndexes } from './collection-indexes.js';
import type { Routed } from './session.js';

/** Many writes in one call. */
export abstract class CollectionBulk<TSchema extends Document> extends CollectionIndexes<TSchema> {
  protected abstract readonly singles: SingleWrites;

  private readonly execute: Execute = async (statements, ordered, options) =>
    bulkWrite(this.router, await this.keyspace(), this.singles, statements, ordered, this.resolved(options));

  async insertMany(
    documents: readonly OptionalUnlessRequiredId<TSchema>[],
    options?: Routed<BulkWriteOptions>,
  ): Promise<InsertManyResult<TSchema>> {
    if (!Array.isArray(documents)) {
      throw new MongoInvalidArgumentError('Argument "docs" must be an array of documents');
    }
    if (documents.some((document) => document == null)) {
      throw new MongoInvalidArgumentError(
        'Collection.insertMany() cannot be called with an array that has null/undefined values',
      );
    }
    const inserts = documents.map((document) => ({ insertOne: { document } })) as AnyBulkWriteOperation<TSchema>[];
    const { insertedCount, insertedIds } = await this.bulkWrite(inserts, options);
    return { acknowledged: true, insertedCount, insertedIds };
  }

  /**
   * Ordered, the operations are done one after the other up to the first error; those that can be sent together are. Where any
   * order will do, several partitions are written at once.
   *
   * @throws MongoBulkWriteError with what was done in its `result`
   */
  async bulkWrite(
    operations: readonly AnyBulkWriteOperation<TSchema>[],
    options: Routed<BulkWriteOptions> = {},
  ): Promise<BulkWriteResult> {
    if (!Array.isArray(operations)) {
      throw new MongoInvalidArgumentError('Argument "operations" must be an array of documents');
    }
    // Told here when the client is closed: the driver's builder would miss a connection.
    await this.keyspace();
    const bulk =
      options.ordered === false ? this.initializeUnorderedBulkOp(options) : this.initializeOrderedBulkOp(options);
    for (const operation of operations) bulk.raw(operation as AnyBulkWriteOperation);
    return bulk.execute();
  }

  initializeOrderedBulkOp(options: Routed<BulkWriteOptions> = {}): DroverOrderedBulkOperation {
    return new DroverOrderedBulkOperation(this.anyHandle(), this.resolved(options), this.execute);
  }

  initializeUnorderedBulkOp(options: Routed<BulkWriteOptions> = {}): DroverUnorderedBulkOperation {
    return new DroverUnorderedBulkOperation(this.anyHandle(), this.resolved(options), this.execute);
  }
}
