import type { Collection } from 'mongodb';
import type { ModelChoice } from '../../domain/model-choice.js';
import type { PartitionRange } from './partition-range.js';
import { inRange } from './partition-range.js';

/** Which models forecast a series: kept, as finding it out costs a hundred times as much as a forecast. */
export interface ModelChoiceDocument {
  /** `<keyspace>/<partition>/<region>` */
  _id: string;
  keyspace: string;
  partition: string;
  region: string;
  /** Drover's time. */
  chosenAt: Date;
  /** What the choice was made for: with another horizon, other models or seasons it does not count. */
  request: string;
  choice: ModelChoice;
  /** The server removes it then. */
  expireAt?: Date;
}

export class ModelChoices {
  constructor(private readonly collection: Collection<ModelChoiceDocument>) {}

  async list(keyspace: string, range: PartitionRange = {}): Promise<ModelChoiceDocument[]> {
    return this.collection.find({ keyspace, ...inRange('partition', range) }).toArray();
  }

  /**
   * Each in place of the one before.
   *
   * @param keepMs real time, milliseconds
   */
  async record(choices: readonly ModelChoiceDocument[], keepMs: number): Promise<void> {
    if (choices.length === 0) return;
    const expireAt = new Date(Date.now() + keepMs);
    await this.collection.bulkWrite(
      choices.map((choice) => ({
        replaceOne: { filter: { _id: choice._id }, replacement: { ...choice, expireAt }, upsert: true },
      })),
      { ordered: false },
    );
  }
}
