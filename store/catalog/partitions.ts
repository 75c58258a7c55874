import type { ChangeStream, ClientSession, Collection, Document, Filter, MongoClient, Timestamp } from 'mongodb';
import { DroverError } from '../../domain/errors.js';
import type { HandoverEvent } from '../../domain/handover.js';
import { transition } from '../../domain/handover.js';
import type { Partition, SharedCollection } from '../../domain/partition.js';
import { partitionId } from '../../domain/partition.js';
import { partitionFromBson, partitionToBson } from '../codec.js';
import { hasCode } from '../server-errors.js';
import type { PartitionRange } from './partition-range.js';
import { inRange } from './partition-range.js';

interface PartitionDocument extends Document {
  _id: string;
}

/** Such a read waits for a majority, which may be away. */
const LINEARIZABLE_MS = 5_000;

/** The central registry: which node owns which tokens, and the step record of a hand-over under way. */
export class Partitions {
  constructor(
    private readonly client: MongoClient,
    private readonly collection: Collection<PartitionDocument>,
  ) {}

  async insert(partitions: readonly Partition[], session?: ClientSession): Promise<void> {
    const documents = partitions.map((partition) => partitionToBson(partition) as PartitionDocument);
    await this.collection.insertMany(documents, session === undefined ? {} : { session });
  }

  /**
   * Removes the partitions of a keyspace that are at a place and that nobody is moving or repairing.
   *
   * @returns how many are left
   */
  async removeSettled(keyspace: string, place: SharedCollection, session: ClientSession): Promise<number> {
    const settled = { keyspace, handover: null, gates: [], 'route.source': place.node };
    const shared = { 'shared.node': place.node, 'shared.collection': place.collection };
    await this.collection.deleteMany({ ...settled, ...shared }, { session });
    return this.collection.countDocuments({ keyspace }, { session });
  }

  /**
   * Notes for partitions which collection they share on a node that they are not on, where nobody is moving or repairing them.
   *
   * @returns how many have another place, or none
   */
  async share(keyspace: string, place: SharedCollection, session: ClientSession): Promise<number> {
    const settled = { keyspace, handover: null, gates: [], 'route.source': { $ne: place.node } };
    const update = { $set: { shared: place }, $inc: { epoch: 1 } };
    const there = { 'shared.node': place.node, 'shared.collection': place.collection };
    // Missing, too, is not the source.
    const isFree = { $nor: [there], $expr: { $ne: ['$route.source', '$shared.node'] } };
    await this.collection.updateMany({ ...settled, ...isFree }, update, { session });
    return this.collection.countDocuments({ keyspace, $nor: [there] }, { session });
  }

  /** Of all keyspaces, of one, or those of a range of its partitions. */
  async list(keyspace?: string, range: PartitionRange = {}): Promise<Partition[]> {
    const among = keyspace === undefined ? {} : { keyspace, ...inRange('name', range) };
    const documents = await this.collection.find(among).toArray();
    return documents
      .map(partitionFromBson)
      .sort((a, b) => a.keyspace.localeCompare(b.keyspace) || (a.box[0].low < b.box[0].low ? -1 : 1));
  }

  async find(
    keyspace: string,
    name: string,
    level: 'majority' | 'linearizable' = 'majority',
  ): Promise<Partition | undefined> {
    const options = { readConcern: { level }, ...(level === 'linearizable' ? { maxTimeMS: LINEARIZABLE_MS } : {}) };
    const document = await this.collection.findOne({ _id: partitionId(keyspace, name) }, options);
    return document === null ? undefined : partitionFromBson(document);
  }

  /**
   * @param level `linearizable`: no answer from a primary that has been replaced and does not know it yet
   * @throws DroverError `InvalidRequest` when there is no such partition
   */
  async get(keyspace: string, name: string, level?: 'linearizable'): Promise<Partition> {
    const partition = await this.find(keyspace, name, level);
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
   * @throws DroverError `Refused` when the state machine does not allow the event, or another migration changes the same
   *   collection
   */
  async advance(partition: Partition, event: HandoverEvent): Promise<Partition> {
    const next = transition(partition, event);
    if (next === partition) return partition;
    const matchedCount = await this.replace(
      {
        _id: partition.id,
        epoch: partition.epoch,
        attempt: partition.attempt,
        gates: [...partition.gates],
        ...(partition.handover === null
          ? { handover: null }
          : {
              'handover.migration': partition.handover.migration,
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

  private async replace(filter: Filter<PartitionDocument>, next: Document): Promise<number> {
    try {
      return (await this.collection.replaceOne(filter, next)).matchedCount;
    } catch (error) {
      if (!hasCode(error, 'duplicateKey')) throw error;
      throw new DroverError(
        'Refused',
        `another migration changes ${(next['locks'] as string[]).join(' or ')}, which this partition shares: wait for its end`,
      );
    }
  }

  /** Partitions that share a collection with this one; while it is being handed over there none of these can be. */
  async sharing({ id, keyspace, shared }: Partition): Promise<Partition[]> {
    if (shared === undefined) return [];
    const { node, collection } = shared;
    const filter = { keyspace, 'shared.node': node, 'shared.collection': collection, _id: { $ne: id } };
    return (await this.collection.find(filter).toArray()).map(partitionFromBson);
  }

  /** Those with the gates of a repair that did not come to its end; they keep the collection locked. */
  async gatedInVain(): Promise<Partition[]> {
    const documents = await this.collection.find({ handover: null, 'gates.0': { $exists: true } }).toArray();
    return documents.map(partitionFromBson);
  }

  /** Those with a step under way, or being retired. */
  async unsettled(): Promise<Partition[]> {
    const kinds = ['fencing', 'owned', 'undoing', 'retiring'];
    return (await this.collection.find({ 'handover.state.kind': { $in: kinds } }).toArray()).map(partitionFromBson);
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
