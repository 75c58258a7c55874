import type { Collection } from 'mongodb';
import type { ErrorsByModel } from '../../domain/model-choice.js';
import { addErrors } from '../../domain/model-choice.js';
import type { PartitionRange } from './partition-range.js';
import { inRange } from './partition-range.js';

/** One forecast of one series, kept so that it can be scored when its time has come. */
export interface ForecastDocument {
  _id: string;
  keyspace: string;
  partition: string;
  region: string;
  /** Drover's time at which it was made; the first step starts here. */
  madeAt: Date;
  windowMs: number;
  model: string;
  /** Requests per window, one entry per step. */
  mean: number[];
  lower: number[];
  upper: number[];
  level: number;
  /** What seasonal naive said at the same moment: the baseline. */
  naive: number[];
  /** Whether a move was decided on it. */
  decided: boolean;
  /** Ends of the stretches of the horizon that errors are told apart by, in steps. */
  ends?: number[];
  /** Drover's time at which the last step has come, and it can be scored. */
  dueAt?: Date;
  /** The server removes it then. */
  expireAt?: Date;
  /** What each model said, until it has been scored. */
  byModel?: Readonly<Record<string, readonly number[]>>;
  /** How wrong each model was, once its time has come. */
  errors?: ErrorsByModel;
}

/** A forecast that waits to be scored. */
export type DueForecast = Pick<ForecastDocument, '_id' | 'partition' | 'region' | 'madeAt'> &
  Required<Pick<ForecastDocument, 'byModel' | 'ends'>>;

export interface DueRange {
  /** Made at this time or later. */
  readonly from: number;
  /** Their last step had come by then, Drover's time. */
  readonly at: number;
  readonly windowMs: number;
}

/** Of what waits to be scored. The server would take another at times, and read all that waits. */
export const DUE_INDEX = { keyspace: 1, dueAt: 1, partition: 1 } as const;

/** Documents that are read at once: up to some hundred kilobytes each. */
const AT_ONCE = 100;

export class Forecasts {
  constructor(private readonly collection: Collection<ForecastDocument>) {}

  /** @param keepMs real time, milliseconds */
  async insert(forecasts: readonly ForecastDocument[], keepMs: number): Promise<void> {
    if (forecasts.length === 0) return;
    const expireAt = new Date(Date.now() + keepMs);
    await this.collection.bulkWrite(
      forecasts.map((forecast) => ({
        replaceOne: { filter: { _id: forecast._id }, replacement: { ...forecast, expireAt }, upsert: true },
      })),
      { ordered: false },
    );
  }

  async list(keyspace: string, filter: { partition?: string; decided?: boolean } = {}): Promise<ForecastDocument[]> {
    return this.collection.find({ keyspace, ...filter }, { sort: { madeAt: 1 } }).toArray();
  }

  /** What each model said is left out. */
  async latest(keyspace: string, partition: string): Promise<ForecastDocument[]> {
    const newest = await this.collection.findOne(
      { keyspace, partition },
      { sort: { madeAt: -1 }, projection: { madeAt: 1 } },
    );
    return newest === null ? [] : this.madeAt(keyspace, newest.madeAt.getTime(), { among: [partition] });
  }

  /** Forecasts that begin then, Drover's time. What each model said is left out. */
  async madeAt(keyspace: string, at: number, range: PartitionRange = {}): Promise<ForecastDocument[]> {
    const filter = { keyspace, madeAt: new Date(at), ...inRange('partition', range) };
    return this.collection.find(filter, { projection: { byModel: 0 }, batchSize: AT_ONCE }).toArray();
  }

  /** @param keepMs real time, milliseconds */
  async markDecided(ids: readonly string[], keepMs: number): Promise<void> {
    if (ids.length === 0) return;
    const expireAt = new Date(Date.now() + keepMs);
    await this.collection.updateMany({ _id: { $in: ids } }, { $set: { decided: true, expireAt } });
  }

  /** When the oldest of the forecasts that are due was made. */
  async oldestDue(keyspace: string, range: PartitionRange, due: DueRange): Promise<number | undefined> {
    const byAge = [{ $match: whatIsDue(keyspace, range, due) }, { $group: { _id: null, madeAt: { $min: '$madeAt' } } }];
    const [oldest] = await this.collection.aggregate<{ madeAt: Date }>(byAge, { hint: DUE_INDEX }).toArray();
    return oldest?.madeAt.getTime();
  }

  /** Forecasts that have not been scored and whose last step has come: some at a time, as there may be many. */
  async *due(keyspace: string, range: PartitionRange, due: DueRange): AsyncGenerator<DueForecast[]> {
    const cursor = this.collection.find<DueForecast>(whatIsDue(keyspace, range, due), {
      projection: { partition: 1, region: 1, madeAt: 1, ends: 1, byModel: 1 },
      hint: DUE_INDEX,
      batchSize: AT_ONCE,
    });
    try {
      while (await cursor.hasNext()) yield cursor.readBufferedDocuments(AT_ONCE);
    } finally {
      await cursor.close();
    }
  }

  /** Whoever does it a second time finds the same. */
  async score(scores: readonly { readonly id: string; readonly errors: ErrorsByModel }[]): Promise<void> {
    if (scores.length === 0) return;
    await this.collection.bulkWrite(
      scores.map(({ id, errors }) => ({
        updateOne: { filter: { _id: id }, update: { $set: { errors }, $unset: { byModel: '' } } },
      })),
      { ordered: false },
    );
  }

  /** Errors of the scored forecasts of one series since then, added up; only those with these stretches. */
  async errors(
    { keyspace, partition, region }: Pick<ForecastDocument, 'keyspace' | 'partition' | 'region'>,
    { since, ends }: { readonly since: number; readonly ends?: readonly number[] },
  ): Promise<ErrorsByModel> {
    const scored = await this.collection
      .find(
        { keyspace, partition, region, madeAt: { $gte: new Date(since) }, errors: { $exists: true } },
        { projection: { errors: 1, ends: 1 } },
      )
      .toArray();
    const alike = scored.filter((each) => ends === undefined || JSON.stringify(each.ends) === JSON.stringify(ends));
    return addErrors(alike.map(({ errors = {} }) => errors));
  }
}

const whatIsDue = (keyspace: string, range: PartitionRange, { from, at, windowMs }: DueRange) => ({
  keyspace,
  ...inRange('partition', range),
  ends: { $exists: true },
  byModel: { $exists: true },
  windowMs,
  dueAt: { $lte: new Date(at) },
  madeAt: { $gte: new Date(from) },
});
