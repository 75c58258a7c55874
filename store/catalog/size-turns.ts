import type { Collection } from 'mongodb';
import type { NodeName } from '../../domain/partition.js';
import { hasCode } from '../server-errors.js';

/** Who was the last one that documents were counted of on a node, and in which hour that was. */
export interface SizeTurnsDocument {
  _id: NodeName;
  /** Drover's time. */
  hour: Date;
  /** Id of the partition; absent where none had a turn yet. */
  last?: string;
}

/** Documents are counted on a node once an hour, by whichever worker comes first. */
export class SizeTurns {
  constructor(private readonly collection: Collection<SizeTurnsDocument>) {}

  /** Nodes that somebody has counted on in this hour, or is counting on. */
  async taken(hour: Date): Promise<ReadonlySet<NodeName>> {
    return new Set((await this.collection.find({ hour }).toArray()).map(({ _id }) => _id));
  }

  /** @returns who had the last turn, if anybody had; undefined where the hour is somebody else's */
  async take(node: NodeName, hour: Date): Promise<{ readonly last?: string } | undefined> {
    try {
      const before = await this.collection.findOneAndUpdate(
        { _id: node, hour: { $ne: hour } },
        { $set: { hour } },
        { upsert: true },
      );
      return before ?? {};
    } catch (error) {
      if (hasCode(error, 'duplicateKey')) return undefined;
      throw error;
    }
  }

  async end(node: NodeName, last: string): Promise<void> {
    await this.collection.updateOne({ _id: node }, { $set: { last } });
  }
}
