import type { LeftOut } from '../copy-conflict.js';
import type { Collection, UpdateFilter } from 'mongodb';
import type { Direction } from '../../domain/partition.js';
import type { DefinitionDocument } from '../collection-definition.js';

/** `running` until it ends as `completed` or `rolledBack`; `failed` when even the clean-up could not be finished. */
export type MigrationState = 'running' | 'completed' | 'rolledBack' | 'failed';

export interface BoundaryStepRecord {
  direction: Direction;
  /** The target's share of the load after the step, in percent. */
  weight: number;
  epoch: number;
  /** From the closing of the interval until it was open at its new owner, milliseconds by the worker's clock. */
  pauseMs: number;
  at: Date;
}

/** Work that takes long, as it was told last. */
export interface WorkFigures {
  phase: 'backfill' | 'indexes' | 'verify';
  /** Documents copied or compared, those of earlier attempts included, and about how many there are; of indexes, what the server counts. */
  done: number;
  inAll: number;
  /** About as many, by the mean size of a document. */
  bytes?: number;
  bytesInAll?: number;
  /** Smoothed; absent while it is not known. */
  perSecond?: number;
  secondsLeft?: number;
  at: Date;
}

/** How far one direction of replication is behind. */
export interface LagFigures {
  lagSeconds: number;
  /** Changes applied by this attempt. */
  applied: number;
  /** Until it has caught up, at the pace at which the lag has been getting smaller; absent while it does not. */
  secondsLeft?: number;
  at: Date;
}

/** What a move keeps of a collection, and which collections it knows. */
export interface KeptDefinitionDocument extends DefinitionDocument {
  /** Of the collections at both nodes. */
  source: string;
  target: string;
}

export interface MigrationDocument {
  /** Random; the workflow's run has its own id. */
  _id: string;
  keyspace: string;
  partition: string;
  source: string;
  target: string;
  workflowId: string;
  runId: string;
  /** Who asked: a person's name from the command line, or the id of a decision. */
  requestedBy: string;
  decision?: string;
  reason?: string;
  state: MigrationState;
  phase: string;
  weight: number;
  weights: number[];
  startedAt: Date;
  endedAt?: Date;
  documents: number;
  bytes: number;
  /** Documents compared by the verification, while it runs and after it. */
  compared?: number;
  /** Of the phase that was worked on last. */
  work?: WorkFigures;
  replication?: Partial<Record<Direction, LagFigures>>;
  /** Documents deleted so far from a collection that the partition shared. */
  removed?: number;
  steps: BoundaryStepRecord[];
  /** Collection options and indexes: as they were when the copy was begun, with the changes that were taken over since. */
  definition?: KeptDefinitionDocument;
  /** Collections of somebody else that were found under the names of its copies. */
  leftAlone?: { node: string; uuid: string }[];
  /** Documents that are not in the copy, as another one there has a value that must be unique: the first hundred. */
  leftOut?: LeftOut[];
  /** The source's collection is gone while the target owns a part: there is only the way on. */
  sourceLost?: true;
  /** The target's collection is gone, or was, while the target owned a part: the source takes that back by its copy. */
  targetLost?: true;
  /** Why it is being or was rolled back, or what somebody has to look at after it. */
  error?: string;
}

export class Migrations {
  constructor(private readonly collection: Collection<MigrationDocument>) {}

  /** Idempotent: a repeated attempt finds its own record. */
  async insert(migration: MigrationDocument): Promise<void> {
    const { _id, ...rest } = migration;
    await this.collection.updateOne({ _id }, { $setOnInsert: rest }, { upsert: true });
  }

  async find(id: string): Promise<MigrationDocument | undefined> {
    return (await this.collection.findOne({ _id: id })) ?? undefined;
  }

  async list(
    filter: Partial<Pick<MigrationDocument, 'keyspace' | 'partition' | 'state'>> = {},
    limit?: number,
  ): Promise<MigrationDocument[]> {
    const cursor = this.collection.find(filter).sort({ startedAt: -1 });
    return (limit === undefined ? cursor : cursor.limit(limit)).toArray();
  }

  /** Sources and targets of those that were under way at some time since. */
  async nodesSince(keyspace: string, since: Date): Promise<Set<string>> {
    const then = [{ endedAt: { $gte: since } }, { endedAt: { $exists: false } }];
    const found = this.collection.find({ keyspace, $or: then }, { projection: { source: 1, target: 1 } });
    const nodes = new Set<string>();
    for await (const { source, target } of found) nodes.add(source).add(target);
    return nodes;
  }

  /** Of those under way, and of those that have ended since, the ones that have left documents out. */
  async withLeftOut(since: Date): Promise<MigrationDocument[]> {
    const then = [{ endedAt: { $gte: since } }, { endedAt: { $exists: false } }];
    return this.collection.find({ leftOut: { $exists: true }, $or: then }).toArray();
  }

  /** Whether a collection is one that a migration of the partition has found to be somebody else's. */
  async hasLeftAlone(keyspace: string, partition: string, node: string, uuid: string): Promise<boolean> {
    const filter = { keyspace, partition, leftAlone: { $elemMatch: { node, uuid } } };
    return (await this.collection.findOne(filter, { projection: { _id: 1 } })) !== null;
  }

  /** The newest of some partitions, from or to a node, that has noted what the collection is. */
  async lastDefined(
    keyspace: string,
    partitions: readonly string[],
    node: string,
  ): Promise<MigrationDocument | undefined> {
    const there = { $or: [{ source: node }, { target: node }] };
    const filter = { keyspace, partition: { $in: [...partitions] }, definition: { $exists: true }, ...there };
    return (await this.collection.findOne(filter, { sort: { startedAt: -1 } })) ?? undefined;
  }

  /** @returns false when it is not what was read before any more */
  async replaceDefinition(
    id: string,
    before: KeptDefinitionDocument | undefined,
    definition: KeptDefinitionDocument,
    condition: Partial<Pick<MigrationDocument, 'state'>> = {},
  ): Promise<boolean> {
    const version = before?.version ?? { $exists: false };
    const unchanged = { definition: { $exists: before !== undefined }, 'definition.version': version };
    const set = { $set: { definition } };
    return (await this.collection.updateOne({ _id: id, ...condition, ...unchanged }, set)).matchedCount === 1;
  }

  async update(id: string, update: UpdateFilter<MigrationDocument>): Promise<void> {
    await this.collection.updateOne({ _id: id }, update);
  }

  /** How it ended; the first one who says so is right. */
  async end(id: string, set: Partial<MigrationDocument>): Promise<void> {
    await this.collection.updateOne({ _id: id, state: 'running' }, { $set: set });
  }

  /** Of a request that got nothing: as if it had not been made. */
  async remove(id: string): Promise<void> {
    await this.collection.deleteOne({ _id: id, state: 'running' });
  }

  async addStep(id: string, step: BoundaryStepRecord): Promise<void> {
    // A repeated attempt of the same step has the same epoch.
    await this.collection.updateOne(
      { _id: id, 'steps.epoch': { $ne: step.epoch } },
      { $push: { steps: step }, $set: { weight: step.weight } },
    );
  }
}
