import type { AbstractCursor, AggregateOptions, Db, Document } from 'mongodb';
import { bytesOf } from '../store/raw-documents.js';
import { decodeDocument, without } from '../store/raw-bson.js';
import type { Batches } from './batches.js';
import { CursorBatches } from './cursor-batches.js';
import { SORT_KEY } from './merge.js';
import { tooLarge } from './results.js';

/** Bytes of documents that one command can take; the rest of its 16 MB is for stages, and numbers in the list. */
export const MOST_BYTES = 15_000_000;

/** A server that runs stages on documents of this process. (`$documents` is there from MongoDB 5.1 on.) */
export class MergeServer {
  constructor(
    private readonly db: Db,
    private readonly options: AggregateOptions,
  ) {}

  /** @throws MongoServerError `BSONObjectTooLarge` when the documents are more than a command can take */
  run(documents: readonly Uint8Array[], stages: readonly Document[]): Batches<Uint8Array> {
    if (documents.length > 1 && bytesOf(documents) > MOST_BYTES) throw tooLarge(Object.keys(stages[0] ?? {})[0]);
    // As literals: a text may begin with a dollar sign.
    const literals = documents.map((document) => decodeDocument(without(document, SORT_KEY)));
    const pipeline = [{ $documents: { $literal: literals } }, ...stages];
    const cursor = this.db.aggregate(pipeline, { ...this.options, raw: true });
    return new CursorBatches(cursor as unknown as AbstractCursor<Uint8Array>);
  }
}
