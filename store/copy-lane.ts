import type { Binary, ClientSession, Collection, Db } from 'mongodb';
import { BSON, MongoServerError } from 'mongodb';
import { DroverError } from '../domain/errors.js';
import { CHECKPOINTS, endTransaction } from './checkpoint.js';
import type { PackedDocuments } from './packed-documents.js';
import type { Part } from './part.js';
import { isIn } from './part.js';
import type { RawDocument } from './raw-bson.js';
import { decode, field, identity, idOf } from './raw-bson.js';
import type { RefusedWrite } from './raw-documents.js';
import { findRaw, writeRaw } from './raw-documents.js';
import type { CopyPlace } from './record-place.js';
import { hasCode } from './server-errors.js';

/** So many inserts are under way at once. */
const LANES = 2;
const PIECE_BYTES = 4 * 1024 * 1024;
const TOLD = 20;

/**
 * What one lane of a copy has done, on the node that it writes to: every transaction that inserts documents also moves it
 * on, and an attempt that was taken over can't write.
 */
interface LaneDocument {
  _id: string;
  attempt: number;
  /** Session of that attempt's transactions. */
  session?: Binary;
  /** Up to these everything has been copied, as known when the lane inserted last; the newest first. */
  positions: CopyPlace[];
  /** Batches of all lanes before the newest position. */
  batches: number;
  documents: number;
  bytes: number;
}

/** Batches that have been copied without a gap: their number in this attempt, and where the last ones end, newest first. */
export interface CopiedBatches {
  readonly batches: number;
  readonly positions: readonly CopyPlace[];
}

/** What an attempt finds of those before it. */
export interface Copied {
  readonly positions: readonly CopyPlace[];
  readonly documents: number;
  readonly bytes: number;
}

/** What is copied, and into what. */
export interface CopiedInto {
  /** The partition's documents, where the collection holds others, too. */
  readonly part?: Part | undefined;
  /** The copy, where it is known: another collection of its name is not written to. */
  readonly copyUuid?: string | undefined;
}

const idsOf = (migration: string) => Array.from({ length: LANES }, (_, lane) => `${migration}/copy/${lane}`);

/** Idempotent: a repeated attempt keeps what is there. */
export async function createLanes(target: Db, migration: string): Promise<void> {
  const lanes = target.collection<LaneDocument>(CHECKPOINTS);
  for (const _id of idsOf(migration)) {
    const first = { attempt: 0, positions: [], batches: 0, documents: 0, bytes: 0 };
    await lanes.updateOne({ _id }, { $setOnInsert: first }, { upsert: true });
  }
}

/** Nobody can copy any more. */
export async function removeLanes(target: Db, migration: string): Promise<void> {
  const lanes = target.collection<LaneDocument>(CHECKPOINTS);
  for (const _id of idsOf(migration)) {
    await endTransaction(target, await lanes.findOne({ _id }));
    await lanes.deleteOne({ _id });
  }
}

/**
 * Shuts out every earlier attempt.
 *
 * @throws DroverError `Superseded` when a later one has taken over, or the copy is over
 */
export async function takeLanes(
  target: Db,
  collection: string,
  migration: string,
  attempt: number,
  { part, copyUuid }: CopiedInto = {},
): Promise<{ lanes: CopyLane[]; copied: Copied }> {
  const lanes = idsOf(migration).map((_id) => new CopyLane(target, collection, _id, attempt, part, copyUuid));
  try {
    const found: LaneDocument[] = [];
    for (const lane of lanes) found.push(await lane.takeOver());
    const furthest = found.reduce((a, b) => (b.batches > a.batches ? b : a));
    // What this attempt counts begins anew.
    const { positions } = furthest;
    const mine = { _id: { $in: idsOf(migration) }, attempt };
    await target.collection<LaneDocument>(CHECKPOINTS).updateMany(mine, { $set: { positions, batches: 0 } });
    const sum = (figure: (lane: LaneDocument) => number) => found.reduce((total, lane) => total + figure(lane), 0);
    const copied = { documents: sum(({ documents }) => documents), bytes: sum(({ bytes }) => bytes) };
    return { lanes, copied: { ...copied, positions } };
  } catch (error) {
    await Promise.all(lanes.map((lane) => lane.end()));
    throw error;
  }
}

/** One of the inserts under way. */
export class CopyLane {
  private readonly documents: Collection<LaneDocument>;
  private readonly session: ClientSession;
  /** Documents of an attempt before this one may be there. */
  private overlapping = false;

  constructor(
    private readonly target: Db,
    private readonly collection: string,
    private readonly _id: string,
    private readonly attempt: number,
    private readonly part?: Part,
    private readonly copyUuid?: string,
  ) {
    this.documents = target.collection(CHECKPOINTS);
    this.session = target.client.startSession();
  }

  async takeOver(): Promise<LaneDocument> {
    const { _id, attempt } = this;
    await endTransaction(this.target, await this.documents.findOne({ _id }));
    const before = await this.documents.findOneAndUpdate(
      { _id, attempt: { $lt: attempt } },
      { $set: { attempt, session: this.session.id!.id } },
      { returnDocument: 'before' },
    );
    if (before === null) throw this.superseded();
    this.overlapping = before.attempt > 0;
    return before;
  }

  /**
   * Inserts what is not there yet, in transactions of some megabytes.
   *
   * @param before what all lanes have copied so far
   * @param after the same when this is done
   * @returns what was inserted
   */
  async insert(
    documents: PackedDocuments,
    before: CopiedBatches,
    after: CopiedBatches,
  ): Promise<{ readonly documents: number; readonly bytes: number }> {
    const sum = { documents: 0, bytes: 0 };
    let left = documents.length;
    for (const piece of documents.pieces(PIECE_BYTES)) {
      left -= piece.length;
      const inserted = await this.insertPiece(piece, left === 0 ? after : before);
      sum.documents += inserted.length;
      sum.bytes += inserted.bytes.length;
    }
    return sum;
  }

  async end(): Promise<void> {
    await this.session.endSession();
  }

  /**
   * A document that is there already came with an attempt before this one, or was deleted and inserted again since it was
   * read. One whose value under a unique index is there has that value only since the other one was read. Either way its
   * newest state is in the change log, behind the position from which that is followed.
   */
  private async insertPiece(documents: PackedDocuments, batches: CopiedBatches): Promise<PackedDocuments> {
    let missing = this.overlapping ? await this.missing(documents) : documents;
    for (;;) {
      const refused = await this.transaction(missing, batches);
      if (refused === undefined) break;
      if (hasCode(refused, 'collectionUuidMismatch')) throw this.copyIsGone(refused);
      if (!hasCode(refused, 'duplicateKey')) throw new MongoServerError(refused);
      const rest = await this.missing(missing);
      missing = rest.length < missing.length ? rest : missing.filter((i) => i !== refused.index);
    }
    this.overlapping = missing.length < documents.length;
    return missing;
  }

  private async transaction(
    documents: PackedDocuments,
    { positions, batches }: CopiedBatches,
  ): Promise<RefusedWrite | undefined> {
    const { _id, attempt, session } = this;
    const counts = { documents: documents.length, bytes: documents.bytes.length };
    const update = { $set: { positions: [...positions], batches }, $inc: counts };
    let refused: RefusedWrite | undefined;
    await session.withTransaction(
      async () => {
        const { matchedCount } = await this.documents.updateOne({ _id, attempt }, update, { session });
        if (matchedCount === 0) throw this.superseded();
        if (documents.length === 0) return;
        refused = await writeRaw(this.target, 'insert', this.collection, documents, session, this.copyUuid);
        if (refused !== undefined) await session.abortTransaction();
      },
      { writeConcern: { w: 'majority' } },
    );
    return refused;
  }

  private async missing(documents: PackedDocuments): Promise<PackedDocuments> {
    const ids = Array.from(documents, idOf);
    const { part } = this;
    const projection = { _id: 1, ...(part === undefined ? {} : { [part.keyField]: 1 }) };
    const found = (await findRaw(this.target.collection(this.collection), ids, { projection }))!;
    if (part !== undefined) this.refuseForeign(found.filter((document) => !isIn(part, document)));
    const there = new Set(found.map((document) => identity(idOf(document))));
    return documents.filter((i) => !there.has(documents.identityAt(i)));
  }

  /** Of other partitions in the collection: there can be one document of an `_id`. */
  private refuseForeign(documents: readonly RawDocument[]): void {
    if (documents.length === 0) return;
    const some = documents
      .slice(0, TOLD)
      .map((document) => BSON.EJSON.stringify({ _id: decode(field(document, '_id')!) }));
    throw new DroverError(
      'DuplicateId',
      `${this.collection} has ${documents.length} or more documents of other partitions with the _id of one that is to be ` +
        `copied there: ${some.join(', ')}; give them another _id`,
    );
  }

  private copyIsGone(refused: RefusedWrite): DroverError {
    const name = `${this.target.databaseName}.${this.collection}`;
    const cause = new MongoServerError(refused);
    return new DroverError('SourceChanged', `the copy ${name} was dropped or renamed while it moves`, { cause });
  }

  private superseded(): DroverError {
    return new DroverError('Superseded', `${this._id}: another attempt has taken over, or the copy is over`);
  }
}
