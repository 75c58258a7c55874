import type {
  AggregateOptions,
  AggregationCursor,
  ChangeStream,
  ChangeStreamDocument,
  ClientSession,
  Collection,
  CountDocumentsOptions,
  DistinctOptions,
  Document,
  EstimatedDocumentCountOptions,
  ExplainCommandOptions,
  ExplainVerbosityLike,
  Filter,
  FindCursor,
  FindOptions,
  Flatten,
  WithId,
} from 'mongodb';
import { MongoInvalidArgumentError } from 'mongodb';
import { DroverAggregationCursor } from './aggregation-cursor.js';
import { CollectionSettings } from './collection-settings.js';
import { countDocuments, estimatedDocumentCount } from './counts.js';
import { distinct } from './distinct.js';
import { DroverFindCursor } from './find-cursor.js';
import type { KeyspaceHandle } from './keyspaces.js';
import type { ObservedRequest } from './observed-requests.js';
import { isLinearizable, notLinearizable } from './results.js';
import type { NearestReads, Reading } from './reading.js';
import { checkNearest, readingOf } from './reading.js';
import type { Readable, Routed } from './session.js';
import type { Wanted } from './wanted.js';
import { isCollated, wantedBy } from './wanted.js';
import { DroverChangeStream } from './watch/change-stream.js';
import type { WatchOptions } from './watch/log-event.js';

/** What a partitioned collection is read by: with one key at its owner, without it at all nodes that hold what is asked for. */
export abstract class CollectionReads<TSchema extends Document> extends CollectionSettings {
  async findOne(filter: Filter<TSchema> = {}, given: Readable<FindOptions> = {}): Promise<WithId<TSchema> | null> {
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
    const { session, sort, projection } = options;
    return this.observed({ operation: 'find', filter, sort, projection, wanted, session }, () =>
      isLinearizable(options)
        ? this.router.readStrictly(keyspace, wanted[0], request, session)
        : this.router.read(keyspace, wanted[0], request, session, this.reading(options)),
    );
  }

  /**
   * The driver's own cursor, over all nodes that hold what is asked for.
   *
   * @throws MongoInvalidArgumentError for the read concern `linearizable`: a cursor can't be asked again; `findOne` of a key can
   */
  find(filter: Filter<TSchema> = {}, given: Readable<FindOptions> = {}): FindCursor<WithId<TSchema>> {
    const options = this.resolved(given);
    refuseLinearizable(options);
    const nearest = this.nearestOf(options);
    const settings = nearest === undefined ? options : { ...options, nearest };
    return new DroverFindCursor<WithId<TSchema>>(this.router.scatter, this.namespace, filter, settings);
  }

  /** What of a read's options says where it goes. */
  private reading(options: Readable<FindOptions> = {}): Reading | undefined {
    const nearest = this.nearestOf(options);
    if (nearest === undefined && options.session === undefined) return undefined;
    return readingOf(options, nearest);
  }

  private nearestOf({ nearest, session }: Readable<object>): NearestReads | false | undefined {
    checkNearest(nearest);
    return nearest ?? session?.nearest ?? this.nearest;
  }

  /**
   * The driver's own cursor: the nodes do what they can, and what needs all documents is done on what they send.
   *
   * @throws MongoInvalidArgumentError for the read concern `linearizable`; the cursor throws it for a stage that reads or writes
   * another collection, when it is first read
   */
  aggregate<T extends Document = Document>(
    pipeline: Document[] = [],
    given: Routed<AggregateOptions> = {},
  ): AggregationCursor<T> {
    const options = this.resolved(given);
    if (!Array.isArray(pipeline)) {
      throw new MongoInvalidArgumentError('Argument "pipeline" must be an array of aggregation stages');
    }
    refuseLinearizable(options);
    return new DroverAggregationCursor<T>(this.router.scatter, this.namespace, pipeline, options);
  }

  async countDocuments(filter: Filter<TSchema> = {}, given: Routed<CountDocumentsOptions> = {}): Promise<number> {
    const options = this.resolved(given);
    const { keyspace, units } = await this.unitsOf(filter, options);
    const { session, collation } = options;
    return this.observed({ operation: 'count', filter, session, collation }, () =>
      countDocuments(this.router.scatter, keyspace, units, filter as Filter<Document>, options),
    );
  }

  /** Of all documents, from what the nodes know without looking; while partitions move, those that move may be off. */
  async estimatedDocumentCount(given: Routed<EstimatedDocumentCountOptions> = {}): Promise<number> {
    const options = this.resolved(given);
    refuseLinearizable(options);
    return estimatedDocumentCount(this.router.scatter, await this.keyspace(), options);
  }

  distinct<Key extends keyof WithId<TSchema>>(
    key: Key,
    filter: Filter<TSchema>,
    options: Routed<DistinctOptions> & { explain: ExplainVerbosityLike | ExplainCommandOptions },
  ): Promise<Document>;
  distinct<Key extends keyof WithId<TSchema>>(
    key: Key,
    filter?: Filter<TSchema>,
    options?: Routed<DistinctOptions>,
  ): Promise<Flatten<WithId<TSchema>[Key]>[]>;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- as the driver declares it
  distinct(key: string, filter?: Filter<TSchema>, options?: Routed<DistinctOptions>): Promise<any[]>;
  /** The values in their order, each once. */
  async distinct(key: unknown, filter: Filter<TSchema> = {}, given: Routed<DistinctOptions> = {}): Promise<unknown> {
    const options = this.resolved(given);
    const { keyspace, units } = await this.unitsOf(filter, options);
    const { session, collation } = options;
    return this.observed({ operation: 'distinct', filter, session, collation }, () =>
      distinct(this.router.scatter, keyspace, units, key as string, filter as Filter<Document>, options),
    );
  }

  /**
   * The driver's own change stream, over all nodes: the changes of each document come in their order, also while it moves. What
   * Drover itself writes does not show. Its resume tokens are good for any client of this keyspace.
   *
   * An error of the driver's kind tells when a resume token is not good any more, or is none of this keyspace. The option
   * `startAtOperationTime` is refused: the time of one node says nothing of the others.
   */
  watch<TLocal extends Document = TSchema, TChange extends Document = ChangeStreamDocument<TLocal>>(
    pipeline: Document[] | WatchOptions = [],
    options: WatchOptions = {},
  ): ChangeStream<TLocal, TChange> {
    const [stages, settings] = Array.isArray(pipeline) ? [pipeline, options] : [[], pipeline];
    return new DroverChangeStream<TLocal, TChange>(this.router, this.namespace, stages, this.resolved(settings));
  }

  private async unitsOf(
    filter: Filter<TSchema>,
    options: Routed<Pick<AggregateOptions, 'collation' | 'readConcern'>> | undefined,
  ) {
    refuseLinearizable(options);
    const keyspace = await this.keyspace();
    await options?.session?.ready();
    return { keyspace, units: this.router.scatter.units(keyspace, this.wanted(keyspace, filter, options)) };
  }

  /** Counts a request by its shape. */
  protected observed<T>(request: ObservedRequest, perform: () => Promise<T>): Promise<T> {
    return this.router.observed.run(this.namespace, request, perform);
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

function refuseLinearizable(options: Pick<FindOptions, 'readConcern'> | undefined): void {
  if (isLinearizable(options)) throw notLinearizable();
}
