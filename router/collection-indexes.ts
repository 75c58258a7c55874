import type {
  CreateIndexesOptions,
  CreateIndexOptions,
  Document,
  DropCollectionOptions,
  DropIndexesOptions,
  IndexDescription,
  IndexDescriptionCompact,
  IndexDescriptionInfo,
  IndexInformationOptions,
  IndexOptions,
  IndexSpecification,
  ListIndexesOptions,
} from 'mongodb';
import { MongoInvalidArgumentError, MongoTransactionError } from 'mongodb';
import { ownValidator } from '../store/fenced-collection.js';
import { CollectionReads } from './collection-reads.js';
import { deleteEverywhere } from './delete-everywhere.js';
import { createEverywhere, dropAllEverywhere, dropEverywhere } from './index-changes.js';
import { isHidden, keyOfIndex } from './index-rules.js';
import type { KeyspaceHandle } from './keyspaces.js';
import { DroverListIndexesCursor } from './list-indexes-cursor.js';
import type { Routed } from './session.js';

/** What a partitioned collection is besides its documents: the same in all collections that hold a part of it. */
export abstract class CollectionIndexes<TSchema extends Document> extends CollectionReads<TSchema> {
  createIndex(specification: IndexSpecification, options?: Routed<CreateIndexesOptions>): Promise<string>;
  createIndex(
    specification: IndexSpecification,
    indexOptions: IndexOptions | undefined,
    options: Routed<CreateIndexOptions> | undefined,
  ): Promise<string>;
  async createIndex(
    specification: IndexSpecification,
    indexOptions?: Routed<CreateIndexesOptions> | IndexOptions,
    options?: Routed<CreateIndexOptions>,
  ): Promise<string> {
    const { session: _, ...rest } = (indexOptions ?? {}) as Routed<CreateIndexesOptions>;
    const index = { ...rest, key: keyOfIndex(specification) } as IndexDescription;
    // Of two arguments the second one is for the index and for the request.
    const ofRequest = options ?? (indexOptions as Routed<CreateIndexesOptions> | undefined);
    const [name] = await this.create([index], ofRequest, options !== undefined);
    return name!;
  }

  /** In all collections of the keyspace, those included that come in meanwhile; or in none, where one can't have them. */
  async createIndexes(
    indexes: IndexDescription[],
    options?: Routed<CreateIndexesOptions>,
    allowUnknownIndexOptions = false,
  ): Promise<string[]> {
    return this.create(indexes, options, allowUnknownIndexOptions);
  }

  async dropIndex(name: string, options: Routed<DropIndexesOptions> = {}): Promise<Document> {
    const keyspace = await this.changing(options);
    if (name !== '*') return dropEverywhere(this.router.everywhere, keyspace, name, options);
    const { length: nIndexesWas } = await this.indexes();
    await dropAllEverywhere(this.router.everywhere, keyspace);
    return { nIndexesWas, msg: 'non-_id indexes dropped for collection', ok: 1 };
  }

  /** All but those on `_id` and on the hashed partition key. */
  async dropIndexes(options: Routed<DropIndexesOptions> = {}): Promise<boolean> {
    await dropAllEverywhere(this.router.everywhere, await this.changing(options));
    return true;
  }

  /** The hashed index of the partition key is among them; those that Drover makes and drops while partitions move are not. */
  listIndexes({ session: _, ...options }: Routed<ListIndexesOptions> = {}): DroverListIndexesCursor {
    return new DroverListIndexesCursor(this.anyHandle(), options, async () => {
      const collection = await this.router.everywhere.one(await this.keyspace());
      const indexes = (await collection.listIndexes(options).toArray()) as Document[];
      return indexes.filter((index) => !isHidden(index));
    });
  }

  async indexExists(names: string | string[], options?: Routed<ListIndexesOptions>): Promise<boolean> {
    const present = new Set((await this.indexes(options)).map(({ name }) => name));
    return [names].flat().every((name) => present.has(name));
  }

  indexInformation(options: Routed<IndexInformationOptions> & { full: true }): Promise<IndexDescriptionInfo[]>;
  indexInformation(options?: Routed<IndexInformationOptions> & { full?: false }): Promise<IndexDescriptionCompact>;
  indexInformation(
    options: Routed<IndexInformationOptions> = {},
  ): Promise<IndexDescriptionCompact | IndexDescriptionInfo[]> {
    return options.full === true ? this.indexes({ ...options, full: true }) : this.indexes({ ...options, full: false });
  }

  indexes(options: Routed<IndexInformationOptions> & { full: false }): Promise<IndexDescriptionCompact>;
  indexes(options?: Routed<IndexInformationOptions> & { full?: true }): Promise<IndexDescriptionInfo[]>;
  async indexes(
    options: Routed<IndexInformationOptions> = {},
  ): Promise<IndexDescriptionCompact | IndexDescriptionInfo[]> {
    const indexes = (await this.listIndexes(options).toArray()) as IndexDescriptionInfo[];
    if (options.full ?? true) return indexes;
    return Object.fromEntries(indexes.map(({ name, key }) => [name, Object.entries(key)]));
  }

  /**
   * Deletes all documents and all of the application's indexes. The keyspace, its partitions and their fences remain: inserts
   * may follow, as with the driver. It takes as long as deleting does, and what is inserted meanwhile may stay.
   */
  async drop(options: Routed<DropCollectionOptions> = {}): Promise<boolean> {
    const keyspace = await this.changing(options);
    await deleteEverywhere(this.router, keyspace, 'all', {});
    await dropAllEverywhere(this.router.everywhere, keyspace);
    return true;
  }

  /** Those that the keyspace was made with; its validator is the application's own one. */
  async options(): Promise<Document> {
    const collection = await this.router.everywhere.one(await this.keyspace());
    const found = await collection.options();
    const { validator: _, validationLevel, validationAction, ...others } = found;
    const validator = ownValidator(found);
    return validator === undefined ? others : { ...others, validator, validationLevel, validationAction };
  }

  async isCapped(): Promise<boolean> {
    return Boolean((await this.options())['capped']);
  }

  /** @throws MongoInvalidArgumentError always */
  rename(name: string): Promise<never> {
    return Promise.reject(
      new MongoInvalidArgumentError(
        `${this.namespace} is a keyspace, known by this name to all applications and to moves under way: it can't be renamed to ` +
          `"${name}". Make another keyspace, and copy the documents`,
      ),
    );
  }

  private async create(
    indexes: readonly IndexDescription[],
    given: Routed<CreateIndexesOptions> = {},
    allowUnknown: boolean,
  ): Promise<string[]> {
    const keyspace = await this.changing(given);
    const { session: _, ...options } = given;
    const adopted = this.router.routesOf(keyspace, 'all').some(({ route }) => route.partition.shared !== undefined);
    return createEverywhere(this.router.everywhere, keyspace, indexes, options, allowUnknown, adopted);
  }

  private changing({ session }: Pick<Routed<DropIndexesOptions>, 'session'>): Promise<KeyspaceHandle> {
    if (session?.inTransaction() !== true) return this.keyspace();
    throw new MongoTransactionError('indexes and collections of a keyspace are not changed within a transaction');
  }
}
