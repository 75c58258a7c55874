import type { AggregateOptions, ChangeStreamOptions, Db, Document } from 'mongodb';
import { BSON, MongoServerError } from 'mongodb';

/** Of the events in one request, unless a single one is larger. */
const MOST_BYTES = 8 * 1024 * 1024;

/** The stages that an application passes its change stream through: a server applies them, to events as the application sees them. */
export class UserPipeline {
  constructor(
    private readonly stages: readonly Document[],
    private readonly options: Pick<ChangeStreamOptions, 'collation' | 'comment' | 'let'>,
    private readonly decoding: AggregateOptions,
  ) {}

  /** @throws MongoServerError the server's own, for stages that a change stream can't have, and for wrong ones */
  async check(db: Db, collection: string): Promise<void> {
    const { collation } = this.options;
    const { cursor } = await db.command({
      aggregate: collection,
      pipeline: [{ $changeStream: {} }, ...this.stages],
      cursor: { batchSize: 0 },
      ...(collation === undefined ? {} : { collation }),
      ...(this.options.let === undefined ? {} : { let: this.options.let }),
    });
    await db.command({ killCursors: collection, cursors: [(cursor as Document)['id']] });
  }

  /** What it makes of events; some may be left out. */
  async apply(db: Db, events: readonly Document[]): Promise<Document[]> {
    const results: Document[] = [];
    for (const piece of piecesOf(events)) {
      const documents = { $documents: { $literal: piece } };
      const options = { ...this.options, ...this.decoding };
      results.push(...(await db.aggregate([documents, ...this.stages], options).toArray()));
    }
    const tokens = new Set(events.map(({ _id }) => (_id as { _data: string })._data));
    for (const result of results) if (!tokens.has(String(result['_id']?._data))) throw tokenWasChanged();
    return results;
  }
}

function* piecesOf(events: readonly Document[]): Generator<Document[]> {
  let piece: Document[] = [];
  let bytes = 0;
  for (const event of events) {
    const size = BSON.calculateObjectSize(event);
    if (piece.length > 0 && bytes + size > MOST_BYTES) {
      yield piece;
      [piece, bytes] = [[], 0];
    }
    piece.push(event);
    bytes += size;
  }
  if (piece.length > 0) yield piece;
}

const tokenWasChanged = () =>
  new MongoServerError({
    code: 280,
    codeName: 'ChangeStreamFatalError',
    errorLabels: ['NonResumableChangeStreamError'],
    message:
      'Encountered an event whose _id field, which contains the resume token, was modified by the pipeline. Modifying the _id ' +
      'field of an event makes it impossible to resume the stream from that point. Only transformations that retain the ' +
      'unmodified _id field are allowed.',
  });
