import type { Collection } from 'mongodb';

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
}

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
}
