import type { Document, MongoClient } from 'mongodb';
import { BSON } from 'mongodb';
import { DroverError } from '../domain/errors.js';
import { UNPROMOTED } from './change-log.js';
import { Checkpoint } from './checkpoint.js';
import type { Throttle } from './throttle.js';

export interface BackfillOptions {
  readonly migration: string;
  readonly source: MongoClient;
  readonly target: MongoClient;
  readonly database: string;
  readonly collection: string;
  readonly throttle: Throttle;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: CopyProgress) => void;
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
  const { source, target, database, collection, migration, signal, throttle } = options;
  const checkpoint = new Checkpoint(target.db(database), migration, 'forward');
  const mine = await checkpoint.takeOver();
  const documentsInAll = await source.db(database).collection(collection).estimatedDocumentCount();
  let progress: CopyProgress = { documents: mine.documents, bytes: mine.bytes, documentsInAll };
  if (mine.copyDone === true) return progress;

  const cursor = source
    .db(database)
    .collection(collection)
    .find({}, { raw: true, batchSize: BATCH_DOCUMENTS, noCursorTimeout: false })
    .hint({ _id: 1 });
  // `min` is inclusive and, unlike `$gt`, goes on across types of `_id`.
  const resumed = 'copiedTo' in mine;
  if (resumed) cursor.min({ _id: mine.copiedTo });

  let batch: Document[] = [];
  let bytes = 0;
  const flush = async () => {
    if (batch.length === 0) return;
    await throttle.take(bytes);
    await insertBatch(options, checkpoint, mine.attempt, batch, bytes);
    progress = { documents: progress.documents + batch.length, bytes: progress.bytes + bytes, documentsInAll };
    options.onProgress(progress);
    batch = [];
    bytes = 0;
  };
  let first = resumed;
  try {
    for await (const raw of cursor as AsyncIterable<unknown>) {
      if (signal.aborted) throw new DroverError('Superseded', 'the copy was cancelled');
      const buffer = raw as Buffer;
      const document = BSON.deserialize(buffer, UNPROMOTED);
      // The document at the position was copied already, unless it has been deleted since.
      if (first) {
        first = false;
        if (sameId(document['_id'], mine.copiedTo)) continue;
      }
      if (bytes + buffer.length > BATCH_BYTES) await flush();
      batch.push(document);
      bytes += buffer.length;
      if (batch.length >= BATCH_DOCUMENTS) await flush();
    }
    await flush();
  } finally {
    await cursor.close();
  }
  await finish(options, checkpoint, mine.attempt);
  return progress;
}

async function insertBatch(
  { target, database, collection }: BackfillOptions,
  checkpoint: Checkpoint,
  attempt: number,
  batch: readonly Document[],
  bytes: number,
): Promise<void> {
  await target.withSession((session) =>
    session.withTransaction(
      async () => {
        await checkpoint.advance(
          attempt,
          { copiedTo: batch.at(-1)!['_id'] },
          { documents: batch.length, bytes },
          session,
        );
        await target
          .db(database)
          .collection(collection)
          .insertMany([...batch], { session, bypassDocumentValidation: true });
      },
      { writeConcern: { w: 'majority' } },
    ),
  );
}

async function finish({ target }: BackfillOptions, checkpoint: Checkpoint, attempt: number): Promise<void> {
  await target.withSession((session) =>
    session.withTransaction(
      async () => {
        await checkpoint.advance(attempt, { copyDone: true }, { documents: 0, bytes: 0 }, session);
      },
      { writeConcern: { w: 'majority' } },
    ),
  );
}

/** Equal in type and bytes; values promoted by the driver are compared by what they stand for. */
function sameId(a: unknown, b: unknown): boolean {
  const plain = (id: unknown) => BSON.EJSON.stringify({ id }, { relaxed: true });
  return plain(a) === plain(b);
}
