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
}

export class ModelChoices {
  constructor(private readonly collection: Collection<ModelChoiceDocument>) {}

  async list(keyspace: string, range: PartitionRange = {}): Promise<ModelChoiceDocument[]> {
    return this.collection.find({ keyspace, ...inRange('partition', range) }).toArray();
  }

  /** Each in place of the one before. */
  async record(choices: readonly ModelChoiceDocument[]): Promise<void> {
    if (choices.length === 0) return;
    await this.collection.bulkWrite(
      choices.map((choice) => ({ replaceOne: { filter: { _id: choice._id }, replacement: choice, upsert: true } })),
      { ordered: false },
    );
  }
}
