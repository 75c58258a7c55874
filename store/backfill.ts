import type { ClientSession, Document, MongoServerError } from 'mongodb';
import { BSON } from 'mongodb';
import { DroverError } from '../domain/errors.js';
import type { BulkWork } from './bulk-work.js';
import { UNPROMOTED } from './change-log.js';
import type { CheckpointDocument } from './checkpoint.js';
import { Checkpoint } from './checkpoint.js';
import { hasCode } from './server-errors.js';

export interface BackfillOptions extends BulkWork<CopyProgress> {
  readonly migration: string;
}

export interface CopyProgress {
  readonly documents: number;
  readonly bytes: number;
  readonly documentsInAll: number;
}

const BATCH_DOCUMENTS = 1_000;
const BATCH_BYTES = 4 * 1024 * 1024;

/**
 * Copies every document of the source that was there when its turn came, in order of `_id`; what changes before or
 * after is in the change log, which is followed from a position taken before the copy began.
 *
 * Each batch is one transaction with its position: a repeated attempt goes on behind the last batch, and one that was
 * taken over can't write.
 *
 * @throws DroverError `Superseded`
 */
export async function backfill(options: BackfillOptions): Promise<CopyProgress> {
  const { source, target, database, migration } = options;
  const checkpoint = new Checkpoint(target.db(database), migration, 'forward');
  const writing = target.startSession();
  // A majority read may lag behind the position in the change log: what is in neither would be lost.
  const reading = source.startSession({ causalConsistency: true });
  try {
    const mine = await checkpoint.takeOver(writing);
    reading.advanceOperationTime(mine.startAt);
    return await new Backfill(options, checkpoint, mine, writing).run(reading);
  } finally {
    await reading.endSession();
    await writing.endSession();
  }
}

class Backfill {
  private progress: CopyProgress;
  private batch: Document[] = [];
  private bytes = 0;

  constructor(
    private readonly options: BackfillOptions,
    private readonly checkpoint: Checkpoint,
    private readonly mine: CheckpointDocument,
    private readonly writing: ClientSession,
  ) {
    this.progress = { documents: mine.documents, bytes: mine.bytes, documentsInAll: 0 };
  }

  async run(reading: ClientSession): Promise<CopyProgress> {
    const { source, database, collection, signal } = this.options;
    const copied = source.db(database).collection(collection);
    this.progress = { ...this.progress, documentsInAll: await copied.estimatedDocumentCount() };
    if (this.mine.copyDone === true) return this.progress;

    const cursor = copied.find({}, { raw: true, batchSize: BATCH_DOCUMENTS, session: reading }).hint({ _id: 1 });
    // `min` is inclusive and, unlike `$gt`, goes on across types of `_id`.
    let atPosition = 'copiedTo' in this.mine;
    if (atPosition) cursor.min({ _id: this.mine.copiedTo });
    try {
      for await (const raw of cursor as AsyncIterable<unknown>) {
        signal.throwIfAborted();
        const { length } = raw as Buffer;
        const document = BSON.deserialize(raw as Buffer, UNPROMOTED);
        // The document at the position was copied already, unless it has been deleted since.
        const seen = atPosition && sameId(document['_id'], this.mine.copiedTo);
        atPosition = false;
        if (seen) continue;
        if (this.bytes + length > BATCH_BYTES) await this.flush();
        this.batch.push(document);
        this.bytes += length;
        if (this.batch.length >= BATCH_DOCUMENTS) await this.flush();
      }
    } finally {
      await cursor.close();
    }
    await this.flush();
    await this.transaction({ copyDone: true }, { documents: 0, bytes: 0 }, async () => {});
    return this.progress;
  }

  private async flush(): Promise<void> {
    const { batch, bytes } = this;
    if (batch.length === 0) return;
    await this.options.throttle.take(bytes);
    const counts = { documents: batch.length, bytes };
    await this.transaction({ copiedTo: batch.at(-1)!['_id'] }, counts, () => this.insert(batch));
    const { documents, bytes: before, documentsInAll } = this.progress;
    this.progress = { documents: documents + batch.length, bytes: before + bytes, documentsInAll };
    this.options.onProgress(this.progress);
    this.batch = [];
    this.bytes = 0;
  }

  private async insert(batch: readonly Document[]): Promise<void> {
    const { target, database, collection } = this.options;
    try {
      await target
        .db(database)
        .collection(collection)
        .insertMany([...batch], { session: this.writing, bypassDocumentValidation: true });
    } catch (error) {
      if (!hasCode(error, 'duplicateKey')) throw error;
      throw new DroverError('DuplicateId', `the copy breaks a unique index: ${(error as MongoServerError).message}`);
    }
  }

  /** Data and position in one transaction, which only the present attempt can commit. */
  private async transaction(
    set: Partial<CheckpointDocument>,
    counts: { documents: number; bytes: number },
    write: () => Promise<void>,
  ): Promise<void> {
    await this.writing.withTransaction(
      async () => {
        await this.checkpoint.advance(this.mine.attempt, set, counts, this.writing);
        await write();
      },
      { writeConcern: { w: 'majority' } },
    );
  }
}

/** Equal in type and bytes; values promoted by the driver are compared by what they stand for. */
function sameId(a: unknown, b: unknown): boolean {
  const plain = (id: unknown) => BSON.EJSON.stringify({ id }, { relaxed: true });
  return plain(a) === plain(b);
}
