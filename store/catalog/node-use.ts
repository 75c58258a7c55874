import type { Collection } from 'mongodb';
import type { RecordDocument } from './access-documents.js';

/** What a node has served of one partition. */
export interface PartitionServed {
  readonly keyspace: string;
  readonly partition: string;
  readonly reads: number;
  readonly writes: number;
  readonly errors: number;
}

/** What access records say of nodes, as long as they are not rolled up. */
export class NodeUses {
  constructor(private readonly access: Collection<RecordDocument>) {}

  /** Since `from`, Drover's time, milliseconds; busiest first. */
  async servedBy(node: string, from: number): Promise<PartitionServed[]> {
    const rows = await this.access
      .aggregate<Omit<PartitionServed, 'keyspace' | 'partition'> & { _id: { keyspace: string; partition: string } }>([
        { $match: { 'meta.node': node, time: { $gte: new Date(from) } } },
        {
          $group: {
            _id: { keyspace: '$meta.keyspace', partition: '$meta.partition' },
            reads: { $sum: '$reads' },
            writes: { $sum: '$writes' },
            errors: { $sum: '$errors' },
          },
        },
        { $sort: { '_id.keyspace': 1, '_id.partition': 1 } },
      ])
      .toArray();
    return rows
      .map(({ _id, ...served }) => ({ ..._id, ...served }))
      .sort((a, b) => b.reads + b.writes - a.reads - a.writes);
  }
}
