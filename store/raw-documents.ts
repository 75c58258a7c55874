import type { ClientSession, Collection, Db, Document, FindOptions, Timestamp } from 'mongodb';
import { BSON, Long, UUID } from 'mongodb';
import { DocumentSequence } from 'mongodb/lib/cmap/commands.js';
import { DroverError } from '../domain/errors.js';
import type { Token } from '../domain/token.js';
import type { Part } from './part.js';
import { filterOf, isIn, rangeOf } from './part.js';
import { PackedDocuments } from './packed-documents.js';
import type { RawDocument, RawValue } from './raw-bson.js';
import { compose, decode, exactly, field, idOf, UNPROMOTED, withId } from './raw-bson.js';
import { rawReply } from './raw-reply.js';
import { storageStats } from './storage-stats.js';
import type { Throttle } from './throttle.js';

/** A place in the natural order of a collection, valid on one member of a replica set and while the record is there. */
export interface RecordPosition {
  readonly $recordId: Long;
}

/** What one reply of the server holds. */
export interface RawBatch {
  readonly documents: PackedDocuments;
  /** Of the last document. */
  readonly position: RecordPosition;
}

export interface Reading {
  readonly session: ClientSession;
  /** Documents of a reply, asked before each of them. */
  readonly batchSize: () => number;
}

export interface NaturalOrder extends Reading {
  /** What was written until then is seen. */
  readonly afterClusterTime?: Timestamp;
  /** Behind this document. */
  readonly after?: RecordPosition;
  /** Up to this record at least; what is appended while it is read would keep it going. */
  readonly until?: Long;
}

/**
 * All documents of a collection in natural order, a reply of the server at a time; a reply holds at most 16 MB.
 *
 * @throws MongoServerError `KeyNotFound` when the document at `after` is gone
 */
export function inNaturalOrder(
  db: Db,
  collection: string,
  { session, afterClusterTime, after, until, batchSize }: NaturalOrder,
): AsyncGenerator<RawBatch> {
  const command = {
    hint: { $natural: 1 },
    $_requestResumeToken: true,
    ...(after === undefined ? {} : { $_resumeAfter: after }),
    readConcern: { level: 'majority', ...(afterClusterTime === undefined ? {} : { afterClusterTime }) },
  };
  return replies(db, collection, command, { session, batchSize }, until);
}

/**
 * All documents (of a part) in the order of `_id`, which is the same on every server: all, or those from the one with the id `from`
 * on.
 */
export function inIdOrder(
  db: Db,
  collection: string,
  reading: Reading,
  from?: RawValue,
  part?: Part,
): AsyncGenerator<RawBatch> {
  // By the index's own bounds: a comparison would find ids of the same type only.
  const bounds = from === undefined ? {} : { min: { _id: decode(from) } };
  const filter = part === undefined ? {} : { filter: filterOf(part) };
  const order = { hint: { _id: 1 }, sort: { _id: 1 }, ...bounds };
  const command = { ...order, ...filter, readConcern: { level: 'majority' } };
  return replies(db, collection, command, reading);
}

export interface TokenOrder extends Reading {
  /** What was written until then is seen. */
  readonly afterClusterTime?: Timestamp;
  /** From this token on, its documents included. */
  readonly from?: Token;
}

/**
 * All documents of a part in the order of their tokens, which is about the same on every server.
 *
 * @throws DroverError `Unavailable` when the index is not one of tokens, and names documents of other parts
 */
export async function* inTokenOrder(
  db: Db,
  collection: string,
  part: Part,
  { afterClusterTime, from, ...reading }: TokenOrder,
): AsyncGenerator<RawBatch> {
  const readConcern = { level: 'majority', ...(afterClusterTime === undefined ? {} : { afterClusterTime }) };
  for await (const batch of replies(db, collection, { ...rangeOf(part, from), readConcern }, reading)) {
    for (const document of batch.documents) {
      if (isIn(part, document)) continue;
      throw new DroverError(
        'Unavailable',
        `the index on the tokens of ${collection} names documents of other partitions`,
      );
    }
    yield batch;
  }
}

async function* replies(
  db: Db,
  collection: string,
  command: Document,
  { session, batchSize }: Reading,
  until?: Long,
): AsyncGenerator<RawBatch> {
  const ask = async (request: Document) =>
    cursorOf(await rawReply(db, { ...request, batchSize: batchSize() }, session));
  let cursor = await ask({ find: collection, ...command });
  try {
    for (;;) {
      const { documents, position } = cursor;
      if (documents.length > 0) yield { documents, position };
      if (cursor.id.isZero()) return;
      if (until !== undefined && position.$recordId.greaterThanOrEqual(until)) return;
      cursor = await ask({ getMore: cursor.id, collection });
    }
  } finally {
    if (!cursor.id.isZero()) await db.command({ killCursors: collection, cursors: [cursor.id] }, { session });
  }
}

/** What a reply says of its cursor. */
function cursorOf(reply: Uint8Array): RawBatch & { readonly id: Long } {
  const cursor = field(reply, 'cursor')!.bytes;
  const list = field(cursor, 'firstBatch') ?? field(cursor, 'nextBatch')!;
  const position = field(cursor, 'postBatchResumeToken');
  return {
    id: decode(field(cursor, 'id')!) as Long,
    position: (position && BSON.deserialize(position.bytes, UNPROMOTED)) as RecordPosition,
    // The last thing: it uses the list's memory.
    documents: PackedDocuments.fromList(list.bytes),
  };
}

/**
 * Asks for the next reply before the one that it gives is worked off. Where others are to be let pass it is not asked for
 * while anything else is under way.
 */
export async function* readAhead(order: AsyncGenerator<RawBatch>, throttle: Throttle): AsyncGenerator<RawBatch> {
  let next = throttle.alone(() => order.next());
  try {
    for (;;) {
      const { done, value } = await next;
      if (done === true) return;
      next = throttle.alone(() => order.next());
      // Whoever asks for it gets the error.
      next.catch(() => undefined);
      yield value;
    }
  } finally {
    await order.return(undefined);
  }
}

/**
 * Documents that a reply of about so many bytes holds, at least one.
 *
 * @param bytes asked anew for each reply
 */
export async function batchSizeFor(
  db: Db,
  collection: string,
  bytes: (meanBytes: number) => number,
): Promise<{ count: number; batchSize: () => number }> {
  const { count, size } = (await storageStats(db.collection(collection))) as { count: number; size: number };
  // Of an empty collection nothing is known but that its first documents may be large.
  const meanBytes = Math.max(size, 1) / Math.max(count, 1);
  const documents = () => (count > 0 ? Math.floor(bytes(meanBytes) / meanBytes) : 1);
  return { count, batchSize: () => Math.min(MOST_DOCUMENTS, Math.max(1, documents())) };
}

const MOST_DOCUMENTS = 20_000;

/** The last one in natural order, at this moment. */
export async function lastRecord(db: Db, collection: string): Promise<Long> {
  const options = { sort: { $natural: -1 }, projection: { _id: 1 }, showRecordId: true, promoteLongs: false } as const;
  const found = await db.collection(collection).findOne({}, options);
  return Long.fromValue((found?.['$recordId'] ?? 0) as Long | number);
}

/**
 * Those of the documents that are there, in any order.
 *
 * @returns undefined when they would be more than `maxBytes`
 */
export async function findRaw(
  collection: Collection,
  ids: readonly RawValue[],
  {
    maxBytes = Infinity,
    part,
    ...options
  }: FindOptions & { readonly maxBytes?: number; readonly part?: Part | undefined } = {},
): Promise<RawDocument[] | undefined> {
  const found: RawDocument[] = [];
  if (ids.length === 0) return found;
  const filter = { _id: { $in: ids.map(decode) as never[] }, ...(part === undefined ? {} : filterOf(part)) };
  let bytes = 0;
  for await (const document of collection.find(filter, {
    ...options,
    batchSize: ids.length + 1,
    raw: true,
  }) as AsyncIterable<unknown>) {
    found.push(document as RawDocument);
    bytes += (document as RawDocument).length;
    if (bytes > maxBytes) return undefined;
  }
  return found;
}

export const bytesOf = (documents: readonly RawDocument[]): number =>
  documents.reduce((sum, { length }) => sum + length, 0);

/** Why a command that writes several documents stopped. */
export interface RefusedWrite {
  /** Of the document. */
  readonly index: number;
  readonly code: number;
  readonly message: string;
  /** Of a value that must be unique: the index, and the value as the index has it. */
  readonly keyPattern?: Document;
  readonly keyValue?: Document;
}

/** One of each for the commands `insert`, `update` and `delete`: what their lists hold, as bytes. */
const LISTS = { insert: 'documents', update: 'updates', delete: 'deletes' } as const;

/**
 * Writes in the order of the list, past the collection's validator. What is inserted is stored as it is, timestamps of zero
 * included.
 *
 * It uses `DocumentSequence`, which the driver keeps to itself: the driver's version is therefore exact in package.json, and tests show
 * that the bytes arrive.
 *
 * @param uuid of the collection that is meant: another one of its name is not written to
 * @returns the first one that was refused, with which a transaction has ended
 */
export async function writeRaw(
  db: Db,
  command: keyof typeof LISTS,
  collection: string,
  writes: PackedDocuments,
  session: ClientSession,
  uuid?: string,
): Promise<RefusedWrite | undefined> {
  const sequence = new DocumentSequence(LISTS[command]);
  sequence.push({}, writes.bytes);
  const changedByServer = command === 'insert' ? writes.withZeroTimestamp() : [];
  const reply = await db.command(
    {
      [command]: collection,
      [LISTS[command]]: sequence,
      ordered: true,
      ...(uuid === undefined ? {} : { collectionUUID: new UUID(uuid) }),
      ...(command === 'delete' ? {} : { bypassDocumentValidation: true }),
    },
    { session, promoteLongs: false },
  );
  const [refused] = (reply['writeErrors'] ?? []) as (Omit<RefusedWrite, 'message'> & { errmsg: string })[];
  if (refused !== undefined) {
    const { index, code, errmsg: message, keyPattern, keyValue } = refused;
    return { index, code, message, ...(keyPattern && keyValue && { keyPattern, keyValue }) };
  }
  if (changedByServer.length === 0) return undefined;
  const corrections = PackedDocuments.of(changedByServer.map((index) => setRight(writes.at(index))));
  const refusal = await writeRaw(db, 'update', collection, corrections, session, uuid);
  return refusal && { ...refusal, index: changedByServer[refusal.index]! };
}

const setRight = (document: RawDocument): RawDocument =>
  compose([
    ['q', withId(idOf(document))],
    ['u', exactly(document)],
  ]);
