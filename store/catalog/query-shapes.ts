import type { AnyBulkWriteOperation, Collection, Db, Document, MongoClient } from 'mongodb';
import type { ProfiledUse } from '../../domain/index-advice.js';
import type { QueryShape } from '../../domain/query-shape.js';
import { shapeText } from '../../domain/query-shape.js';
import type { ShapeRecord } from '../../domain/shape-record.js';
import { latenciesAt } from '../latency-sketch.js';

/** How long shapes are kept, in seconds. */
export const SHAPES_RETENTION_S = 30 * 24 * 3600;

const HOUR_MS = 3_600_000;

/** Requests of one shape in an hour: what several routers saw is added up as it is written. */
interface ShapeDocument {
  _id: { keyspace: string; hour: Date; partition: string | null; region: string; text: string };
  shape: QueryShape;
  requests: number;
  errors: number;
  latencyMs: { sum: number; max: number; bins: Record<string, number> };
  writtenAt: Date;
}

/** The same as a node saw it. */
interface ProfiledDocument {
  /** @property since the hour from which on it was counted; absent where that is `hour`, the one of the last operation */
  _id: { keyspace: string; hour: Date; partition: string | null; node: string; text: string; since?: Date };
  shape: QueryShape;
  use: ProfiledUse;
  writtenAt: Date;
}

/** Up to where what a node tells has been read for a keyspace. */
export interface ProfilePosition {
  /** By the node's clock; of what the profiler wrote from then on nothing has been read. */
  readonly readTo: Date;
  /** What the node's statistics of queries had told by then; null where they were not read. */
  readonly counted: readonly CountedQuery[] | null;
}

/** Counters of a kind of query, which only grow: what is more than this has not been counted. */
export interface CountedQuery {
  readonly id: string;
  /** Another time is another counter. */
  readonly firstSeen: Date;
  readonly total: ProfiledUse;
}

type PositionDocument = { _id: { keyspace: string; node: string } } & Partial<ProfilePosition> &
  Pick<ProfilePosition, 'readTo'>;

export interface ProfiledShape {
  readonly hour: Date;
  /** Hour in which counting began, if it is another one. */
  readonly since?: Date;
  readonly partition: string | undefined;
  readonly shape: QueryShape;
  readonly use: ProfiledUse;
}

/** Requests of one shape over some time. */
export interface UsedShape {
  readonly shape: QueryShape;
  readonly text: string;
  readonly requests: number;
  readonly errors: number;
  readonly byRegion: ReadonlyMap<string, number>;
  /** Partitions that it asked by itself; several at once are not among them. */
  readonly partitions: readonly string[];
  /** Of those that asked several partitions at once. */
  readonly scattered: number;
  /** At the quantiles that were asked for; `NaN` where none is known. */
  readonly latencyMs: readonly number[];
}

export interface ReadPart {
  readonly keyspace: string;
  readonly node: string;
  readonly from: Date | undefined;
  readonly to: Date;
  readonly counted: readonly CountedQuery[] | null;
}

export interface ShapeSpan {
  readonly keyspace: string;
  /** Drover's time, milliseconds: whole hours are told. */
  readonly from: number;
  readonly to: number;
  /** Only what concerns this one, alone or with others. */
  readonly partition?: string;
}

export const hourOf = (time: number): Date => new Date(Math.floor(time / HOUR_MS) * HOUR_MS);

/** Shapes of requests by the hour, from routers and from nodes. */
export class QueryShapes {
  private readonly shapes: Collection<ShapeDocument>;
  private readonly profiled: Collection<ProfiledDocument>;
  private readonly positions: Collection<PositionDocument>;

  constructor(
    private readonly client: MongoClient,
    db: Db,
  ) {
    this.shapes = db.collection('queryShapes');
    this.profiled = db.collection('profiledShapes');
    this.positions = db.collection('profilePositions');
  }

  /** When the catalog's answer is lost and a router repeats it, it counts twice. */
  async add(records: readonly ShapeRecord[]): Promise<void> {
    if (records.length === 0) return;
    const operations = records.map((record): AnyBulkWriteOperation<ShapeDocument> => {
      const { keyspace, partition = null, region, time, shape, requests, errors, latencyMs } = record;
      const bins = latencyMs.bins.map(([bin, count]) => [`latencyMs.bins.${bin}`, count] as const);
      return {
        updateOne: {
          filter: { _id: { keyspace, hour: hourOf(time), partition, region, text: shapeText(shape) } },
          update: {
            $setOnInsert: { shape },
            $inc: { requests, errors, 'latencyMs.sum': latencyMs.sum, ...Object.fromEntries(bins) },
            $max: { 'latencyMs.max': latencyMs.max },
            $currentDate: { writtenAt: true },
          },
          upsert: true,
        },
      };
    });
    await this.shapes.bulkWrite(operations, { ordered: false });
  }

  /** Undefined when the node has never been read for the keyspace. */
  async position(keyspace: string, node: string): Promise<ProfilePosition | undefined> {
    const known = await this.positions.findOne({ _id: { keyspace, node } });
    return known === null ? undefined : { readTo: known.readTo, counted: known.counted ?? null };
  }

  /**
   * Adds what a node has told since it was read before, and notes up to where that was: both or neither.
   *
   * @param from up to where it had been read before
   * @returns false when another process has read that part meanwhile: nothing is added
   */
  async addProfiled(
    { keyspace, node, from, to, counted }: ReadPart,
    shapes: readonly ProfiledShape[],
  ): Promise<boolean> {
    const id = { keyspace, node };
    return this.client.withSession((session) =>
      session.withTransaction(async () => {
        const known = await this.positions.findOne({ _id: id }, { session });
        if (known?.readTo.getTime() !== from?.getTime()) return false;
        await this.positions.updateOne({ _id: id }, { $set: { readTo: to, counted } }, { upsert: true, session });
        const operations = shapes.map(
          ({ hour, since = hour, partition = null, shape, use }): AnyBulkWriteOperation<ProfiledDocument> => {
            const begin = since < hour ? { since } : {};
            const counts = Object.entries(use).map(([name, count]) => [`use.${name}`, count as number] as const);
            return {
              updateOne: {
                filter: { _id: { keyspace, hour, partition, node, text: shapeText(shape), ...begin } },
                update: {
                  $setOnInsert: { shape },
                  $inc: Object.fromEntries(counts),
                  $currentDate: { writtenAt: true },
                },
                upsert: true,
              },
            };
          },
        );
        if (operations.length > 0) await this.profiled.bulkWrite(operations, { ordered: false, session });
        return true;
      }),
    );
  }

  /** The shapes that are asked for most, busiest first. @param quantiles of latency, in [0, 1] */
  async busiest(span: ShapeSpan, atMost: number, quantiles: readonly number[]): Promise<UsedShape[]> {
    const rows = await this.shapes
      .aggregate<{
        _id: string;
        shape: QueryShape;
        requests: number;
        errors: number;
        parts: { region: string; partition: string | null; requests: number }[];
      }>([
        { $match: matching(span) },
        {
          $group: {
            _id: { text: '$_id.text', region: '$_id.region', partition: '$_id.partition' },
            shape: { $first: '$shape' },
            requests: { $sum: '$requests' },
            errors: { $sum: '$errors' },
          },
        },
        {
          $group: {
            _id: '$_id.text',
            shape: { $first: '$shape' },
            requests: { $sum: '$requests' },
            errors: { $sum: '$errors' },
            parts: { $push: { region: '$_id.region', partition: '$_id.partition', requests: '$requests' } },
          },
        },
        { $sort: { requests: -1, _id: 1 } },
        { $limit: atMost },
      ])
      .toArray();
    const bins = await this.binsOf(
      span,
      rows.map(({ _id }) => _id),
    );
    return rows.map(({ _id: text, shape, requests, errors, parts }) => {
      const byRegion = new Map<string, number>();
      for (const each of parts) byRegion.set(each.region, (byRegion.get(each.region) ?? 0) + each.requests);
      const alone = parts.flatMap(({ partition }) => (partition === null ? [] : [partition]));
      const scattered = parts.reduce((sum, each) => (each.partition === null ? sum + each.requests : sum), 0);
      return {
        ...{ shape, text, requests, errors, byRegion, scattered },
        partitions: [...new Set(alone)].sort(),
        latencyMs: latenciesAt(quantiles, bins.get(text) ?? []),
      };
    });
  }

  /** All requests that shapes are known of. */
  async requests(span: ShapeSpan): Promise<number> {
    const [sum] = await this.shapes
      .aggregate<{ requests: number }>([
        { $match: matching(span) },
        { $group: { _id: null, requests: { $sum: '$requests' } } },
      ])
      .toArray();
    return sum?.requests ?? 0;
  }

  /** What nodes saw, by the text of the shape: what was counted from within the span on, and not what may be older. */
  async profiledUse(span: ShapeSpan, atMost: number): Promise<Map<string, { shape: QueryShape; use: ProfiledUse }>> {
    const sums = Object.fromEntries(FIGURES.map((name) => [name, { $sum: `$use.${name}` }]));
    const rows = await this.profiled
      .aggregate<ProfiledUse & { _id: string; shape: QueryShape }>([
        { $match: { ...matching(span), '_id.since': { $not: { $lt: hourOf(span.from) } } } },
        { $group: { _id: '$_id.text', shape: { $first: '$shape' }, ...sums } },
        { $sort: { operations: -1, _id: 1 } },
        { $limit: atMost },
      ])
      .toArray();
    return new Map(rows.map(({ _id, shape, ...use }) => [_id, { shape, use }]));
  }

  private async binsOf(span: ShapeSpan, texts: readonly string[]): Promise<Map<string, [number, number][]>> {
    const rows = await this.shapes
      .aggregate<{ _id: { text: string; bin: string }; requests: number }>([
        { $match: { ...matching(span), '_id.text': { $in: texts } } },
        { $project: { bins: { $objectToArray: '$latencyMs.bins' } } },
        { $unwind: '$bins' },
        { $group: { _id: { text: '$_id.text', bin: '$bins.k' }, requests: { $sum: '$bins.v' } } },
      ])
      .toArray();
    const byText = new Map<string, [number, number][]>();
    for (const { _id, requests } of rows) {
      byText.set(_id.text, [...(byText.get(_id.text) ?? []), [Number(_id.bin), requests]]);
    }
    return byText;
  }
}

const FIGURES: readonly (keyof ProfiledUse)[] = [
  'operations',
  'keysExamined',
  'docsExamined',
  'returned',
  'collectionScans',
  'sorts',
  'millis',
];

const matching = ({ keyspace, from, to, partition }: ShapeSpan): Document => ({
  '_id.keyspace': keyspace,
  '_id.hour': { $gte: hourOf(from), $lt: new Date(to) },
  ...(partition === undefined ? {} : { '_id.partition': { $in: [partition, null] } }),
});
