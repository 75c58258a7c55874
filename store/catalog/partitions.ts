import type { ChangeStream, Collection, Document, MongoClient, Timestamp } from 'mongodb';
import { DroverError } from '../../domain/errors.js';
import type { HandoverEvent } from '../../domain/handover.js';
import { transition } from '../../domain/handover.js';
import type { Partition } from '../../domain/partition.js';
import { partitionId } from '../../domain/partition.js';
import { partitionFromBson, partitionToBson } from '../codec.js';

interface PartitionDocument extends Document {
  _id: string;
}

/** The central registry: which node owns which tokens, and the step record of a hand-over under way. */
export class Partitions {
  constructor(
    private readonly client: MongoClient,
    private readonly collection: Collection<PartitionDocument>,
  ) {}

  async insert(partitions: readonly Partition[]): Promise<void> {
    await this.collection.insertMany(partitions.map((partition) => partitionToBson(partition) as PartitionDocument));
  }

  async list(keyspace?: string): Promise<Partition[]> {
    const documents = await this.collection.find(keyspace === undefined ? {} : { keyspace }).toArray();
    return documents
      .map(partitionFromBson)
      .sort((a, b) => a.keyspace.localeCompare(b.keyspace) || (a.box[0].low < b.box[0].low ? -1 : 1));
  }

  async find(keyspace: string, name: string): Promise<Partition | undefined> {
    const document = await this.collection.findOne({ _id: partitionId(keyspace, name) });
    return document === null ? undefined : partitionFromBson(document);
  }

  /** @throws DroverError `InvalidRequest` when there is no such partition */
  async get(keyspace: string, name: string): Promise<Partition> {
    const partition = await this.find(keyspace, name);
    if (partition !== undefined) return partition;
    const known = (await this.list(keyspace)).map((each) => each.name);
    throw new DroverError(
      'InvalidRequest',
      known.length === 0
        ? `there is no keyspace "${keyspace}"; "drover keyspace list" shows what there is`
        : `keyspace "${keyspace}" has no partition "${name}"; it has ${known.slice(0, 20).join(', ')}`,
    );
  }

  /**
   * Applies `event` by one compare-and-set, acknowledged by a majority of the catalog.
   *
   * @throws DroverError `Superseded` when the entry is no longer as `partition` has it
   * @throws DroverError `Refused` when the state machine does not allow the event
   */
  async advance(partition: Partition, event: HandoverEvent): Promise<Partition> {
    const next = transition(partition, event);
    if (next === partition) return partition;
    const { matchedCount } = await this.collection.replaceOne(
      {
        _id: partition.id,
        epoch: partition.epoch,
        ...(partition.handover === null
          ? { handover: null }
          : {
              'handover.migration': partition.handover.migration,
              'handover.attempt': partition.handover.attempt,
              'handover.state.kind': partition.handover.state.kind,
            }),
      },
      partitionToBson(next),
    );
    if (matchedCount === 0) {
      throw new DroverError('Superseded', `${partition.id} was changed by somebody else before "${event.kind}"`);
    }
    return next;
  }

  /** Every change of a partition's entry from now (or from a time) on, as the entry is after it (or later). */
  watch(from?: Timestamp): ChangeStream<PartitionDocument> {
    return this.collection.watch([], {
      fullDocument: 'updateLookup',
      maxAwaitTimeMS: 1000,
      ...(from === undefined ? {} : { startAtOperationTime: from }),
    });
  }

  /** All entries, and the stream of every change that is not in them yet. */
  async listAndWatch(): Promise<{ partitions: Partition[]; changes: ChangeStream<PartitionDocument> }> {
    return this.client.withSession({ causalConsistency: true }, async (session) => {
      // The read comes, by causal consistency, after the time from which the stream tells.
      await this.client.db(this.collection.dbName).command({ ping: 1 }, { session });
      const from = session.operationTime;
      const documents = await this.collection.find({}, { session }).toArray();
      return { partitions: documents.map(partitionFromBson), changes: this.watch(from) };
    });
  }
}
