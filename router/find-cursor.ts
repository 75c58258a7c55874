import type {
  ClientSession,
  CountOptions,
  Document,
  ExplainCommandOptions,
  ExplainVerbosityLike,
  FindOptions,
  MongoClient,
  ReadPreferenceLike,
} from 'mongodb';
import { FindCursor, MongoInvalidArgumentError } from 'mongodb';
import { MongoDBNamespace } from 'mongodb/lib/utils.js';
import type { Batches } from './batches.js';
import { Window } from './batches.js';
import type { CursorBatches } from './cursor-batches.js';
import { batchSizeFor, closeAll, closing, InTurn, openCursors, openEverywhere } from './cursor-batches.js';
import { CursorFeed } from './cursor-feed.js';
import { forCursor, settingsOf } from './cursor-settings.js';
import type { DriverAnswer } from './driver-answer.js';
import { Merged, SORT_KEY } from './merge.js';
import type { ObservedRequest } from './observed-requests.js';
import type { OpenPiece, Unit } from './pieces.js';
import { isOnePiece, sessionOf, within } from './pieces.js';
import { isLinearizable, notLinearizable } from './results.js';
import type { Scatter } from './scatter.js';
import { atOnce } from './scatter.js';
import { readingOf } from './reading.js';
import type { Readable } from './session.js';
import type { Sort } from './sorted.js';
import { Decoded, decodingOf, listedOf, orderOf } from './sorted.js';
import { AS_STORED } from './stored-types.js';
import { isCollated, wantedBy } from './wanted.js';

type Settings = Omit<FindOptions, 'session' | 'sort'> & { readonly sort?: Sort };

/** What the driver's cursor keeps, and does not declare. */
interface Internals {
  readonly cursorFilter: Document;
  readonly findOptions: Settings;
  readonly cursorOptions: FindOptions;
}

/** The driver's own class, whose constructor is not declared. */
const DriversFindCursor = FindCursor as unknown as new <T>(
  client: MongoClient,
  namespace: MongoDBNamespace,
  filter: Document,
  options: FindOptions,
) => FindCursor<T>;

/** The driver's cursor over one node or many: where the documents are is looked up when it is first read. */
export class DroverFindCursor<TSchema> extends DriversFindCursor<TSchema> {
  private readonly feed = new CursorFeed();
  private prefers: boolean;

  constructor(
    private readonly scatter: Scatter,
    /** `<database>.<collection>` */
    private readonly keyspaceName: string,
    filter: Document,
    private readonly options: Readable<FindOptions> = {},
    /** A cursor by which a write finds its documents is no request of the application. */
    private readonly isRequest = true,
  ) {
    const { session: _, nearest: _nearest, ...settings } = options;
    super(scatter.anyClient(), MongoDBNamespace.fromString(keyspaceName), filter, forCursor(settings));
    this.prefers = options.readPreference !== undefined;
  }

  override clone(): DroverFindCursor<TSchema> {
    const { filter, settings } = this.request();
    const { nearest } = this.options;
    return new DroverFindCursor<TSchema>(this.scatter, this.keyspaceName, filter, { ...settings, nearest });
  }

  override withReadPreference(readPreference: ReadPreferenceLike): this {
    this.prefers = true;
    return super.withReadPreference(readPreference);
  }

  /** Of all documents that match, within the cursor's skip and limit. */
  override async count(options?: CountOptions): Promise<number> {
    const { filter, settings } = this.request();
    const { skip = 0, limit, ...others } = { ...settings, ...options };
    const asked = await this.units(filter, others);
    const counts = await this.ask(asked, others, (piece, ofPiece) =>
      closing(piece.collection.find(within(filter, piece), { ...others, ...ofPiece }), (cursor) => cursor.count()),
    );
    const all = counts.reduce((sum, count) => sum + count, 0);
    return Math.min(Math.max(0, all - skip), limit === undefined || limit === 0 ? Infinity : Math.abs(limit));
  }

  /** Of one node as it answers; of several in the form of a sharded cluster. */
  override async explain(
    verbosity?: ExplainVerbosityLike | ExplainCommandOptions | { timeoutMS?: number },
    options?: { timeoutMS?: number },
  ): Promise<Document> {
    const { filter, settings } = this.request();
    const asked = await this.units(filter, settings);
    const isOne = isOnePiece(asked.units, asked.keyspace.field);
    const ofPieces = isOne ? settings : windowed(filter, settings).ofPieces;
    const plans = await this.ask(asked, settings, async (piece, ofPiece) => {
      const cursor = await findIn(piece, filter, { ...ofPieces, ...ofPiece });
      const plan = await closing(cursor, () => cursor.explain(verbosity as ExplainVerbosityLike, options!));
      return { shardName: piece.node, ...plan };
    });
    return plansOf(plans, settings.sort === undefined ? 'SHARD_MERGE' : 'SHARD_MERGE_SORT');
  }

  override close(): Promise<void> {
    return this.feed.close(() => super.close());
  }

  /** For the driver's class: the first answer. */
  _initialize(session: ClientSession) {
    const first = () => this.feed.first(session, () => this.open());
    return this.isRequest ? this.scatter.observed.run(this.keyspaceName, this.observed(), first) : first();
  }

  /** For the driver's class: the next one. */
  getMore(): Promise<DriverAnswer> {
    return this.feed.next();
  }

  private observed(): ObservedRequest {
    const { filter, settings } = this.request();
    const { sort, projection, collation } = settings;
    return { operation: 'find', filter, sort, projection, collation, session: this.options.session };
  }

  private async open(): Promise<Batches<Document | Uint8Array>> {
    const { scatter } = this;
    const { long } = this.feed;
    const { session, nearest } = this.options;
    const { filter, settings } = this.request();
    if (isLinearizable(settings)) throw notLinearizable();
    const { keyspace, units } = await this.units(filter, settings);
    const reading = readingOf(settings, nearest);
    const openAll = (unit: Unit, ofPieces: FindOptions) => {
      const open = (piece: OpenPiece) => findIn(piece, filter, { ...ofPieces, ...sessionOf(piece) });
      return openCursors(scatter, keyspace, unit, session, long, open, reading);
    };
    if (isOnePiece(units, keyspace.field)) {
      const opened = await openAll(units[0]!, settings);
      if (opened.length === 1) return opened[0]!;
      // Copies that are nearer lie apart from each other.
      await closeAll(opened);
    }

    const { skip, limit, order, ofPieces } = windowed(filter, settings);
    if (order === undefined) {
      const inTurn = new InTurn(units, (unit) => openAll(unit, ofPieces), session);
      return new Window(inTurn, skip, limit);
    }
    if (settings.returnKey === true) {
      throw new MongoInvalidArgumentError('returnKey and a sort need the partition key in the filter');
    }
    const sorted = { batchSize: batchSizeFor(units), ...ofPieces, raw: true };
    const opened = await openEverywhere(units, session, (unit) => openAll(unit, sorted));
    const streams = opened as unknown as CursorBatches<Uint8Array>[];
    const merged = new Window(new Merged(streams, order.directions, atOnce(session)), skip, limit);
    return new Decoded(merged, decodingOf(settings, this.scatter.anyClient().bsonOptions));
  }

  private async units(filter: Document, { collation }: FindOptions) {
    const keyspace = await this.scatter.keyspaces.get(this.keyspaceName);
    await this.options.session?.ready();
    const wanted = wantedBy(filter, keyspace.field, isCollated(collation));
    return { keyspace, units: this.scatter.units(keyspace, wanted) };
  }

  private ask<T>(
    { keyspace, units }: Awaited<ReturnType<typeof this.units>>,
    settings: FindOptions,
    request: (piece: OpenPiece, session: FindOptions) => Promise<T>,
  ): Promise<T[]> {
    const { session, nearest } = this.options;
    const reading = readingOf(settings, nearest);
    return this.scatter.ask(keyspace, units, session, (piece) => request(piece, sessionOf(piece)), reading);
  }

  /** As it is by now: a cursor's methods may have changed it since it was made. */
  private request(): { filter: Document; settings: Settings } {
    const { cursorFilter: filter, findOptions, cursorOptions } = this as unknown as Internals;
    return { filter, settings: settingsOf(findOptions, cursorOptions, this.prefers) };
  }
}

/** What is left out, how many there are at most, and in which order several pieces are merged; and what is asked of each of them. */
function windowed(filter: Document, { skip = 0, limit: most = 0, ...others }: Settings) {
  const limit = most === 0 ? Infinity : Math.abs(most);
  // Any of them may have all that are wanted. What makes no sense is for them to refuse.
  const isSkip = Number.isSafeInteger(skip) && skip >= 0;
  const window = { ...(limit === Infinity ? {} : { limit: skip + limit }), ...(isSkip ? {} : { skip }) };
  const order = orderOf(filter, others.sort);
  const keyed = order && { projection: { ...listedOf(others.projection), [SORT_KEY]: { $meta: order.meta } } };
  return { skip, limit, order, ofPieces: { ...others, ...window, ...keyed } };
}

/** The driver's cursor. */
async function findIn(piece: OpenPiece, filter: Document, options: FindOptions) {
  const isApart = piece.restriction !== undefined && isPositional(options.projection);
  return piece.collection.find(isApart ? await matching(filter, piece, options) : within(filter, piece), options);
}

/** Whether it asks for the element of a list that the filter has found. */
const isPositional = (projection: FindOptions['projection']): boolean =>
  Object.keys(listedOf(projection)).some((name) => name.endsWith('.$'));

/** Servers look for the element by filters without expressions only: which documents are meant is found out before. */
async function matching(filter: Document, piece: OpenPiece, options: FindOptions): Promise<Document> {
  const { skip = 0, limit = 0 } = options;
  // What is left out is left out of what is found by them.
  const all = { skip: 0, limit: limit === 0 ? 0 : skip + Math.abs(limit) };
  const ids = { ...options, ...all, ...AS_STORED, projection: { _id: 1 }, raw: false, promoteValues: true };
  const found = await piece.collection.find(within(filter, piece), ids).toArray();
  return { $and: [{ _id: { $in: found.map(({ _id }) => _id) } }, filter] };
}

/** Plans of several nodes, as a sharded cluster shows them. */
function plansOf(plans: readonly Document[], stage: string): Document {
  if (plans.length === 1) {
    const { shardName: _, ...plan } = plans[0]!;
    return plan;
  }
  const { explainVersion, command, serverParameters, ok } = plans[0]!;
  const shards = plans.map(({ shardName, queryPlanner, serverInfo }) => ({ shardName, ...queryPlanner, serverInfo }));
  const executed = plans.filter(({ executionStats }) => executionStats !== undefined);
  return {
    explainVersion,
    queryPlanner: { winningPlan: { stage, shards } },
    ...(executed.length === 0 ? {} : { executionStats: statisticsOf(executed, stage) }),
    command,
    serverParameters,
    ok,
  };
}

function statisticsOf(plans: readonly Document[], stage: string): Document {
  const sum = (name: string) => plans.reduce((total, { executionStats }) => total + Number(executionStats[name]), 0);
  return {
    nReturned: sum('nReturned'),
    executionTimeMillis: Math.max(...plans.map(({ executionStats }) => Number(executionStats.executionTimeMillis))),
    totalKeysExamined: sum('totalKeysExamined'),
    totalDocsExamined: sum('totalDocsExamined'),
    executionStages: {
      stage,
      shards: plans.map(({ shardName, executionStats }) => ({ shardName, ...executionStats })),
    },
  };
}
