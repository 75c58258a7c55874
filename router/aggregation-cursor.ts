import type {
  AggregateOptions,
  ClientSession,
  Document,
  ExplainCommandOptions,
  ExplainVerbosityLike,
  MongoClient,
  ReadPreferenceLike,
} from 'mongodb';
import { AggregationCursor } from 'mongodb';
import { MongoDBNamespace } from 'mongodb/lib/utils.js';
import { explainSplit, shardsOf } from './aggregation-plan.js';
import type { Batches } from './batches.js';
import { Window } from './batches.js';
import { Preceded } from './chunks.js';
import type { CursorBatches } from './cursor-batches.js';
import { batchSizeFor, closing, InTurn, openCursors, openEverywhere } from './cursor-batches.js';
import { CursorFeed } from './cursor-feed.js';
import { forCursor, settingsOf } from './cursor-settings.js';
import type { DriverAnswer } from './driver-answer.js';
import type { KeyspaceHandle } from './keyspaces.js';
import { MergePart } from './merge-part.js';
import { MergeServer } from './merge-server.js';
import { Merged } from './merge.js';
import { pipelineWithin, wantedByPipeline } from './piece-pipeline.js';
import type { OpenPiece, Unit } from './pieces.js';
import { isOnePiece, piecesOf, sessionOf } from './pieces.js';
import { readingOf } from './reading.js';
import { isLinearizable, notLinearizable } from './results.js';
import type { Scatter } from './scatter.js';
import { atOnce } from './scatter.js';
import type { Routed } from './session.js';
import { Decoded, decodingOf } from './sorted.js';
import { keysBy } from './sort-key.js';
import type { SplitPipeline } from './split-pipeline.js';
import { splitPipeline } from './split-pipeline.js';
import { checkSearch, checkStages } from './stages.js';
import { isCollated } from './wanted.js';

type Settings = Omit<AggregateOptions, 'session'>;

/** What the driver's cursor keeps, and does not declare. */
interface Internals {
  readonly aggregateOptions: Settings;
  readonly cursorOptions: AggregateOptions;
}

/** The driver's own class, whose constructor is not declared. */
const DriversAggregationCursor = AggregationCursor as unknown as new <T>(
  client: MongoClient,
  namespace: MongoDBNamespace,
  pipeline: Document[],
  options: AggregateOptions,
) => AggregationCursor<T>;

/** The driver's cursor over one node or many: where the documents are is looked up when it is first read. */
export class DroverAggregationCursor<TSchema> extends DriversAggregationCursor<TSchema> {
  private readonly feed = new CursorFeed();
  private prefers: boolean;

  constructor(
    private readonly scatter: Scatter,
    /** `<database>.<collection>` */
    private readonly keyspaceName: string,
    pipeline: Document[],
    private readonly options: Routed<AggregateOptions> = {},
  ) {
    const { session: _, ...settings } = options;
    super(scatter.anyClient(), MongoDBNamespace.fromString(keyspaceName), pipeline, forCursor(settings));
    this.prefers = options.readPreference !== undefined;
  }

  override clone(): DroverAggregationCursor<TSchema> {
    return new DroverAggregationCursor<TSchema>(this.scatter, this.keyspaceName, [...this.pipeline], this.settings());
  }

  override withReadPreference(readPreference: ReadPreferenceLike): this {
    this.prefers = true;
    return super.withReadPreference(readPreference);
  }

  /** Of one node as it answers; of several in the form of a sharded cluster. */
  override async explain(
    verbosity?: ExplainVerbosityLike | ExplainCommandOptions | { timeoutMS?: number },
    options?: { timeoutMS?: number },
  ): Promise<Document> {
    const settings = this.settings();
    const { keyspace, units } = await this.units(settings);
    const { scatter, pipeline } = this;
    const split = isOnePiece(units, keyspace.field)
      ? undefined
      : splitPipeline(pipeline, isCollated(settings.collation));
    const stages = split?.nodes ?? pipeline;
    const ask = async (piece: OpenPiece) => {
      const ofPiece = { ...settings, ...sessionOf(piece) };
      const cursor = piece.collection.aggregate(pipelineWithin(stages, piece), ofPiece);
      const plan = await closing(cursor, () => cursor.explain(verbosity as ExplainVerbosityLike, options!));
      return { node: piece.node, collection: piece.collection.collectionName, plan };
    };
    const plans = await scatter.ask(keyspace, units, this.options.session, ask, readingOf(settings, false));
    return split === undefined ? plans[0]!.plan : explainSplit(split, shardsOf(plans));
  }

  override close(): Promise<void> {
    return this.feed.close(() => super.close());
  }

  /** For the driver's class: the first answer. */
  _initialize(session: ClientSession) {
    const { pipeline } = this;
    const { session: own } = this.options;
    const { collation } = this.settings();
    const request = { operation: 'aggregate', pipeline, collation, session: own } as const;
    return this.scatter.observed.run(this.keyspaceName, request, () => this.feed.first(session, () => this.open()));
  }

  /** For the driver's class: the next one. */
  getMore(): Promise<DriverAnswer> {
    return this.feed.next();
  }

  private async open(): Promise<Batches<Document | Uint8Array>> {
    const { explain, ...settings } = this.settings();
    if (isLinearizable(settings)) throw notLinearizable();
    if (explain !== undefined) return new Preceded([await this.explain(explain)]);
    const { keyspace, units } = await this.units(settings);
    const { pipeline } = this;
    if (isOnePiece(units, keyspace.field)) {
      const [batches] = await this.openUnit(keyspace, units[0]!, pipeline, settings);
      return batches!;
    }
    const split = splitPipeline(pipeline, isCollated(settings.collation));
    const { order, skip, limit, merge } = split;
    if (order === undefined && merge.length === 0) {
      return new Window(this.inTurn(keyspace, units, split, settings), skip, limit);
    }
    const raw = new Window(await this.gathered(keyspace, units, split, { ...settings, raw: true }), skip, limit);
    const whole = merge.length === 0 ? raw : new MergePart(raw, merge, await this.server(keyspace, units, settings));
    return new Decoded(whole, decodingOf(settings, this.scatter.anyClient().bsonOptions));
  }

  /** What the nodes send, as bytes. */
  private async gathered(
    keyspace: KeyspaceHandle,
    units: Unit[],
    split: SplitPipeline,
    settings: Settings,
  ): Promise<Batches<Uint8Array>> {
    const { order, nodes } = split;
    if (order === undefined) return this.inTurn(keyspace, units, split, settings) as Batches<Uint8Array>;
    const { session } = this.options;
    const sorted = { batchSize: batchSizeFor(units), ...settings };
    const opened = await openEverywhere(units, session, (unit) => this.openUnit(keyspace, unit, nodes, sorted));
    const streams = opened as unknown as CursorBatches<Uint8Array>[];
    return new Merged(streams, order.directions, atOnce(session), keysBy(order));
  }

  private inTurn(keyspace: KeyspaceHandle, units: Unit[], { nodes }: SplitPipeline, settings: Settings) {
    const open = (unit: Unit) => this.openUnit(keyspace, unit, nodes, settings);
    return new InTurn(units, open, this.options.session);
  }

  private openUnit(
    keyspace: KeyspaceHandle,
    unit: Unit,
    stages: readonly Document[],
    settings: Settings,
  ): Promise<CursorBatches<Document>[]> {
    const open = (piece: OpenPiece) =>
      piece.collection.aggregate(pipelineWithin(stages, piece), { ...settings, ...sessionOf(piece) });
    const { session } = this.options;
    return openCursors(this.scatter, keyspace, unit, session, this.feed.long, open, readingOf(settings, false));
  }

  /** There are no documents in a collection there, and no transaction: what concerns these is left out. */
  private async server(keyspace: KeyspaceHandle, units: Unit[], settings: Settings): Promise<MergeServer> {
    const { hint: _, readConcern: __, ...others } = settings;
    return new MergeServer(await this.scatter.merging(keyspace, units), others);
  }

  private async units({ collation, out }: Settings) {
    const { pipeline } = this;
    checkStages(out === undefined ? pipeline : [...pipeline, { $out: out }]);
    const keyspace = await this.scatter.keyspaces.get(this.keyspaceName);
    await this.options.session?.ready();
    const units = this.scatter.units(keyspace, wantedByPipeline(pipeline, keyspace.field, isCollated(collation)));
    const pieces = units.flatMap((unit) => piecesOf(unit, keyspace.field));
    checkSearch(pipeline, pieces.length === 1 && pieces[0]!.restriction === undefined);
    return { keyspace, units };
  }

  /** As they are by now: a cursor's methods may have changed them since it was made. */
  private settings(): Settings {
    const { aggregateOptions, cursorOptions } = this as unknown as Internals;
    return settingsOf(aggregateOptions, cursorOptions, this.prefers);
  }
}
