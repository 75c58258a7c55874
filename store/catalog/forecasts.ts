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
  /** What each model said, until it has been scored. */
  byModel?: Readonly<Record<string, readonly number[]>>;
  /** How wrong each model was, once its time has come. */
  errors?: ErrorsByModel;
}

/** A forecast that waits to be scored. */
export type DueForecast = ForecastDocument & Required<Pick<ForecastDocument, 'byModel' | 'ends'>>;

export class Forecasts {
  constructor(private readonly collection: Collection<ForecastDocument>) {}

  async insert(forecasts: readonly ForecastDocument[]): Promise<void> {
    if (forecasts.length === 0) return;
    await this.collection.bulkWrite(
      forecasts.map((forecast) => ({
        replaceOne: { filter: { _id: forecast._id }, replacement: forecast, upsert: true },
      })),
      { ordered: false },
    );
  }

  async list(keyspace: string, filter: { partition?: string; decided?: boolean } = {}): Promise<ForecastDocument[]> {
    return this.collection.find({ keyspace, ...filter }, { sort: { madeAt: 1 } }).toArray();
  }

  async latest(keyspace: string, partition: string): Promise<ForecastDocument[]> {
    const newest = await this.collection.findOne({ keyspace, partition }, { sort: { madeAt: -1 } });
    return newest === null ? [] : this.collection.find({ keyspace, partition, madeAt: newest.madeAt }).toArray();
  }

  /** Forecasts that have not been scored and whose last step had come by `at`, Drover's time. */
  async due(keyspace: string, range: PartitionRange, { from, at }: { readonly from: number; readonly at: number }) {
    const found = await this.collection
      .find({
        keyspace,
        ...inRange('partition', range),
        byModel: { $exists: true },
        madeAt: { $gte: new Date(from), $lt: new Date(at) },
      })
      .toArray();
    const over = ({ madeAt, windowMs, mean }: ForecastDocument) => madeAt.getTime() + mean.length * windowMs <= at;
    return found.filter((forecast): forecast is DueForecast => forecast.ends !== undefined && over(forecast));
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
