import type { Binary, ClientSession, Collection, Db, ResumeToken, Timestamp } from 'mongodb';
import { DroverError } from '../domain/errors.js';
import type { ClusterTime, Direction } from '../domain/partition.js';
import type { BoundaryMarker, ReplicationScope } from '../domain/replication.js';
import { initialScope, receive, takeBack } from '../domain/replication.js';
import type { Interval } from '../domain/token.js';
import { hasCode } from './server-errors.js';
import { intervalFromBson, intervalToBson, scopeFromBson, scopeToBson, timeToBson } from './codec.js';

/** In the keyspace's own database, so that a migration needs no rights elsewhere on the node. */
export const CHECKPOINTS = 'drover.checkpoints';
export const MARKERS = 'drover.markers';
const LAST_MARKERS = 20;

/**
 * State of one direction of replication, on the node that it writes to: every transaction that applies data also moves
 * it on, so data and position can't disagree, and an attempt that was taken over can't write.
 */
export interface CheckpointDocument {
  _id: string;
  /** Whoever holds an older number must not write any more. */
  attempt: number;
  /** Session of that attempt's transactions. */
  session?: Binary;
  scope: ReturnType<typeof scopeToBson>;
  /** Position in the origin's change log: the start, then the token of the last change that was applied. */
  startAt: Timestamp;
  resumeToken?: ResumeToken;
  /** Id of the last marker that was read. */
  marker?: string;
  /** Ids of the last few, as several may be read at once. */
  markers?: string[];
  /** Changes were left out, as the destination's collection was gone: it can't be handed anything any more (back direction only). */
  sourceGone?: boolean;
  /**
   * Ids of documents that somebody has inserted in the place of a lost collection, where the copy has others with these ids (forward direction
   * only).
   */
  strangers?: string[];
  /** Of the backfill, when it is over (forward direction only). */
  copyDone?: boolean;
  documents: number;
  bytes: number;
  /** So many have moved it on. */
  transactions?: number;
}

export const checkpointId = (migration: string, direction: Direction): string => `${migration}/${direction}`;

/** Longer than a transaction of a follower that is alive. */
const LOCK_WAIT_MS = 200;

export class Checkpoint {
  private readonly collection: Collection<CheckpointDocument>;

  constructor(
    private readonly db: Db,
    private readonly migration: string,
    private readonly direction: Direction,
  ) {
    this.collection = db.collection(CHECKPOINTS);
  }

  get id(): string {
    return checkpointId(this.migration, this.direction);
  }

  /** Idempotent: a repeated attempt keeps what is there. */
  async create(tokens: Interval, startAt: ClusterTime): Promise<void> {
    await this.collection.updateOne(
      { _id: this.id },
      {
        $setOnInsert: {
          attempt: 0,
          scope: scopeToBson(initialScope(this.direction, tokens)),
          startAt: timeToBson(startAt),
          documents: 0,
          bytes: 0,
        },
      },
      { upsert: true },
    );
  }

  async find(): Promise<CheckpointDocument | undefined> {
    return (await this.collection.findOne({ _id: this.id })) ?? undefined;
  }

  async get(): Promise<CheckpointDocument> {
    const found = await this.find();
    if (found === undefined)
      throw new DroverError('Superseded', `the checkpoint ${this.id} is gone: the migration has ended`);
    return found;
  }

  /**
   * Shuts out every earlier attempt. `session` is the one in which this attempt will run its transactions: a later one ends
   * it, as the transaction of a process that was killed would hold its locks for a minute, and every `collMod` with them.
   *
   * @throws DroverError `Superseded` when the migration has ended
   */
  async takeOver(session?: ClientSession): Promise<CheckpointDocument> {
    await this.endTransaction();
    const taken = await this.collection.findOneAndUpdate(
      { _id: this.id },
      { $inc: { attempt: 1 }, ...(session === undefined ? {} : { $set: { session: session.id!.id } }) },
      { returnDocument: 'after' },
    );
    if (taken === null) {
      throw new DroverError('Superseded', `the checkpoint ${this.id} is gone: the migration has ended`);
    }
    return taken;
  }

  /** Ends the transaction that is under way, if any: its attempt, if it is alive, begins it again. */
  async endTransaction(): Promise<void> {
    await endTransaction(this.db, await this.find());
  }

  /**
   * Inside a transaction that writes data: moves on, and gives the checkpoint as it was.
   *
   * @throws DroverError `Superseded` when another attempt has taken over
   */
  async advance(
    attempt: number,
    set: Partial<CheckpointDocument>,
    session: ClientSession,
  ): Promise<CheckpointDocument> {
    const before = await this.collection.findOneAndUpdate(
      { _id: this.id, attempt },
      // Never without an effect: only what a transaction writes keeps another attempt from getting in between.
      {
        $set: set,
        $inc: { transactions: 1 },
        ...(set.marker === undefined ? {} : { $push: { markers: { $each: [set.marker], $slice: -LAST_MARKERS } } }),
      },
      { returnDocument: 'before', session },
    );
    if (before === null) throw new DroverError('Superseded', `${this.id}: another attempt has taken over`);
    return before;
  }

  /**
   * The backfill has come to its end.
   *
   * @throws DroverError `Superseded` when another attempt has taken over
   */
  async endCopy(attempt: number, { documents, bytes }: { documents: number; bytes: number }): Promise<void> {
    const set = { $set: { copyDone: true, documents, bytes } };
    const { matchedCount } = await this.collection.updateOne({ _id: this.id, attempt }, set);
    if (matchedCount === 0) throw new DroverError('Superseded', `${this.id}: another attempt has taken over`);
  }

  async setScope(attempt: number, scope: ReplicationScope, session: ClientSession): Promise<void> {
    await this.collection.updateOne({ _id: this.id, attempt }, { $set: { scope: scopeToBson(scope) } }, { session });
  }

  /** Inside a transaction that has moved it on. */
  async setStrangers(attempt: number, strangers: string[], session: ClientSession): Promise<void> {
    await this.collection.updateOne({ _id: this.id, attempt }, { $set: { strangers } }, { session });
  }

  /** Undo of a step: see {@link takeBack}. */
  async takeBack(step: { begun: number; undone: number }): Promise<void> {
    await this.changeScope((scope) => takeBack(scope, step));
  }

  /** After the ownership write of a step in the other direction: see {@link receive}. */
  async receive(step: { epoch: number; interval: Interval; since: ClusterTime }): Promise<void> {
    await this.changeScope((scope) => receive(scope, step));
  }

  private async changeScope(change: (scope: ReplicationScope) => ReplicationScope): Promise<void> {
    for (;;) {
      const { scope } = await this.get();
      const before = scopeFromBson(scope);
      const after = change(before);
      if (after === before) return;
      // The follower may have handed an interval over in between: the scope is compared by the numbers of its steps.
      const expected = { _id: this.id, 'scope.handedOver': before.handedOver, 'scope.received': before.received };
      try {
        const set = { $set: { scope: scopeToBson(after) } };
        const { matchedCount } = await this.collection.updateOne(expected, set, { maxTimeMS: LOCK_WAIT_MS });
        if (matchedCount === 1) return;
      } catch (error) {
        if (!hasCode(error, 'maxTimeExpired')) throw error;
        // The follower was killed in the middle of a transaction, which holds the checkpoint for a minute.
        await this.endTransaction();
      }
    }
  }

  async remove(): Promise<void> {
    await this.endTransaction();
    await this.collection.deleteOne({ _id: this.id });
  }
}

/** Ends the transaction of whoever has noted its session, if one is under way: a killed process holds its locks for a minute. */
export async function endTransaction(db: Db, noted: { readonly session?: Binary } | null | undefined): Promise<void> {
  if (noted?.session !== undefined) await db.admin().command({ killSessions: [{ id: noted.session }] });
}

/** Everything that replication of a migration has left on a node. */
export async function removeReplication(db: Db, migration: string): Promise<void> {
  // All ids that begin with the migration's and a slash, after which the digit zero comes.
  const ids = { $gte: `${migration}/`, $lt: `${migration}0` };
  await db.collection<{ _id: string }>(CHECKPOINTS).deleteMany({ _id: ids });
  await new Markers(db).removeAll(migration);
}

interface MarkerDocument {
  _id: string;
  migration: string;
  direction: Direction;
  /** The marker of a step is likely to come next. */
  stepFollows?: true;
  boundary?: { epoch: number; interval: ReturnType<typeof intervalToBson> };
}

/** Rows in the stream's own scope: when one is read, everything written before it has been read. */
export class Markers {
  private readonly collection: Collection<MarkerDocument>;

  constructor(db: Db) {
    this.collection = db.collection(MARKERS);
  }

  async write(
    id: string,
    migration: string,
    direction: Direction,
    { boundary, stepFollows }: { boundary?: BoundaryMarker; stepFollows?: boolean } = {},
  ): Promise<void> {
    await this.collection.updateOne(
      { _id: id },
      {
        $setOnInsert: {
          migration,
          direction,
          ...(stepFollows && { stepFollows }),
          ...(boundary && { boundary: { epoch: boundary.epoch, interval: intervalToBson(boundary.interval) } }),
        },
      },
      { upsert: true },
    );
  }

  async removeAll(migration: string): Promise<void> {
    await this.collection.deleteMany({ migration });
  }
}

export const markerBoundary = (document: MarkerDocument): BoundaryMarker | undefined =>
  document.boundary && {
    // Values of the change log are read unpromoted.
    epoch: Number(document.boundary.epoch),
    interval: intervalFromBson(document.boundary.interval),
  };

export type { MarkerDocument };
