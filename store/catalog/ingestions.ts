import type { ClientSession, Collection } from 'mongodb';
import type { Span } from '../../domain/span.js';
import type { Mark } from '../ingest/fingerprint.js';
import { FIRST_MARK } from '../ingest/fingerprint.js';
import { hasCode } from '../server-errors.js';

export interface BadLineNote {
  line: number;
  reason: string;
}

/** A batch of records that may be stored, wholly or in part, and does not count. */
export interface UncountedBatch {
  batch: string;
  /** When it was announced. */
  at: Date;
}

/** Who has not renewed a lease for so long is dead, also when nobody wants it. */
const DEAD_MS = 10 * 60_000;
/** What a process that was asleep, or a server, may still store under a name is removed for so long. */
const UNCOUNTED_MS = 24 * 3_600_000;

/** How far a log has been counted. All of it is of what is stored; what is being stored is `uncounted`. */
export interface IngestionProgress {
  /** Bytes of the content, uncompressed; the end of a line. */
  position: number;
  positionHash: string;
  marks: Mark[];
  /** The last line had no end: a longer version may go on with it. */
  openEnd: boolean;
  lines: number;
  accesses: number;
  /** Lines about something else than the keyspace's documents. */
  skipped: number;
  bad: number;
  badLines: BadLineNote[];
  records: number;
  /** Time of the first and the last access. */
  from?: Date;
  to?: Date;
}

/** A log that is, or was, ingested into a keyspace. */
export interface IngestionDocument extends IngestionProgress {
  _id: string;
  keyspace: string;
  /** As it was given, for people. */
  file: string;
  /** How lines are read: has to stay the same. */
  settings: string;
  /** Names of the columns, in a format with a header. */
  columns?: string[];
  /** The batch that is being stored, and those that were given up: removed at each run, as somebody may have been asleep. */
  uncounted: UncountedBatch[];
  /** Who is at it, and until when unless that is renewed. */
  lease?: { holder: string; until: Date };
  startedAt: Date;
  updatedAt: Date;
}

/** Names of the batches that do not count: what bears them is being stored, or is to be removed. */
export async function openBatches(
  ingestions: Collection<IngestionDocument>,
  session?: ClientSession,
): Promise<string[]> {
  const open = await ingestions
    .find({ 'uncounted.0': { $exists: true } }, { projection: { uncounted: 1 }, ...(session && { session }) })
    .toArray();
  return open.flatMap(({ uncounted }) => uncounted.map(({ batch }) => batch));
}

/** Whether any of its lines was understood. */
export const hasCounted = ({ accesses, skipped }: IngestionProgress): boolean => accesses + skipped > 0;

export class Ingestions {
  constructor(private readonly collection: Collection<IngestionDocument>) {}

  /** Those of a keyspace whose content may begin like one with this first mark. */
  async candidates(keyspace: string, first: Mark | undefined): Promise<IngestionDocument[]> {
    const short = { position: { $lt: FIRST_MARK } };
    const same = first === undefined ? [] : [{ 'marks.0.hash': first.hash }];
    return this.collection.find({ keyspace, $or: [short, ...same] }).toArray();
  }

  async list(keyspace: string): Promise<IngestionDocument[]> {
    return this.collection.find({ keyspace }, { sort: { startedAt: -1 } }).toArray();
  }

  /** From the first to the last access of each log. */
  async spans(keyspace: string): Promise<Span[]> {
    const found = await this.collection
      .find<Required<Pick<IngestionProgress, 'from' | 'to'>>>(
        { keyspace, from: { $exists: true } },
        { projection: { _id: 0, from: 1, to: 1 } },
      )
      .toArray();
    return found.map(({ from, to }) => ({ from: from.getTime(), until: to.getTime() }));
  }

  /** Adds it, where there is none of that id. */
  async insert(ingestion: IngestionDocument): Promise<void> {
    try {
      await this.collection.insertOne(ingestion);
    } catch (error) {
      if (!hasCode(error, 'duplicateKey')) throw error;
    }
  }

  /**
   * Takes the ingestion over, unless somebody is at it. By the server's clock.
   *
   * @returns as it is now; undefined when somebody is at it
   */
  async acquire(id: string, holder: string, leaseMs: number): Promise<IngestionDocument | undefined> {
    const free = { $or: [{ lease: { $exists: false } }, { $expr: { $lt: ['$lease.until', '$$NOW'] } }] };
    const found = await this.collection.findOneAndUpdate(
      { _id: id, ...free },
      [{ $set: { lease: { holder, until: { $add: ['$$NOW', leaseMs] } }, updatedAt: '$$NOW' } }],
      { returnDocument: 'after' },
    );
    return found ?? undefined;
  }

  /** Has it begin anew, where nothing of it was counted. @returns false when the lease is somebody else's by now */
  async restart(
    { _id, columns }: Pick<IngestionDocument, '_id' | 'columns'>,
    holder: string,
    begun: IngestionProgress & Pick<IngestionDocument, 'file' | 'settings'>,
  ): Promise<boolean> {
    const { matchedCount } = await this.collection.updateOne(
      { _id, 'lease.holder': holder, accesses: 0, skipped: 0 },
      columns === undefined ? { $set: begun, $unset: { columns: '' } } : { $set: { ...begun, columns } },
    );
    return matchedCount === 1;
  }

  /** @returns false when the lease is somebody else's by now */
  async renew(id: string, holder: string, leaseMs: number): Promise<boolean> {
    const until = { $add: ['$$NOW', leaseMs] };
    const { matchedCount } = await this.collection.updateOne({ _id: id, 'lease.holder': holder }, [
      { $set: { 'lease.until': until } },
    ]);
    return matchedCount === 1;
  }

  /** Announces a batch. @returns false when the lease is somebody else's by now */
  async beginBatch(id: string, holder: string, batch: string): Promise<boolean> {
    const announced = { batch: { $literal: batch }, at: '$$NOW' };
    const { matchedCount } = await this.collection.updateOne({ _id: id, 'lease.holder': holder }, [
      { $set: { uncounted: { $concatArrays: ['$uncounted', [announced]] } } },
    ]);
    return matchedCount === 1;
  }

  /** The batch is stored: from now on it counts. @returns false when the lease is somebody else's by now */
  async endBatch(
    id: string,
    holder: string,
    batch: string,
    progress: IngestionProgress & Pick<IngestionDocument, 'file' | 'settings'>,
  ): Promise<boolean> {
    const { matchedCount } = await this.collection.updateOne(
      { _id: id, 'lease.holder': holder, 'uncounted.batch': batch },
      { $set: progress, $pull: { uncounted: { batch } }, $currentDate: { updatedAt: true } },
    );
    return matchedCount === 1;
  }

  /**
   * Batches of a keyspace that do not count and that nobody is storing, as far as is known: of an ingestion whose lease the caller has, and
   * of those that nobody has a lease of. A lease of somebody who is long dead is taken away, so that what he may yet store does not count.
   */
  async uncounted(keyspace: string, own: string): Promise<UncountedBatch[]> {
    const some = { keyspace, 'uncounted.0': { $exists: true } };
    const isDead = { $expr: { $lt: ['$lease.until', { $subtract: ['$$NOW', DEAD_MS] }] } };
    await this.collection.updateMany(
      { ...some, _id: { $ne: own }, lease: { $exists: true }, ...isDead },
      { $unset: { lease: '' } },
    );
    const found = await this.collection
      .find({ ...some, $or: [{ _id: own }, { lease: { $exists: false } }] }, { projection: { uncounted: 1 } })
      .toArray();
    return found.flatMap(({ uncounted }) => uncounted);
  }

  /** They have been removed: those that nobody can store any more are left to oblivion. */
  async forget(keyspace: string, removed: readonly UncountedBatch[]): Promise<void> {
    const old = removed.filter(({ at }) => at.getTime() < Date.now() - UNCOUNTED_MS).map(({ batch }) => batch);
    if (old.length === 0) return;
    await this.collection.updateMany(
      { keyspace, 'uncounted.batch': { $in: old } },
      { $pull: { uncounted: { batch: { $in: old } } } },
    );
  }

  async release(id: string, holder: string): Promise<void> {
    await this.collection.updateOne({ _id: id, 'lease.holder': holder }, { $unset: { lease: '' } });
  }
}
