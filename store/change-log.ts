import type { ClientSession, Db, Document, MongoClient, MongoServerError, ResumeToken } from 'mongodb';
import { BSON, Long, Timestamp } from 'mongodb';
import { DroverError } from '../domain/errors.js';
import type { ClusterTime } from '../domain/partition.js';
import type { RawValue } from './raw-bson.js';
import { field, fields, textOf, uint64Of, UNPROMOTED } from './raw-bson.js';
import { hasCode } from './server-errors.js';

/** A change without the document: who applies it asks for the document's present state. */
export interface Change {
  readonly operationType: string;
  readonly collection: string;
  readonly time: ClusterTime;
  /** `_id` of the document; undefined for what happened to the collection. */
  readonly id?: RawValue;
  /** Partition key of a document that was inserted or replaced. */
  readonly key?: RawValue;
  /** The whole document, where it was inserted into one of the `verbatim` collections. */
  readonly document?: Document;
}

export interface ChangeBatch {
  readonly changes: readonly Change[];
  /** Position behind the batch; it moves on even when there was nothing of interest. */
  readonly resumeToken: ResumeToken;
  /** How far the position is behind the server's own last operation, in seconds. */
  readonly lagSeconds: number;
}

/** What of a database is followed. */
export interface Followed {
  readonly collection: string;
  readonly keyField: string;
  /** A collection of small documents, which come with their changes. */
  readonly verbatim: string;
}

/** Where to begin: at a time, or (kept by a checkpoint) behind the last change that was applied. */
export interface ChangeLogPosition {
  readonly startAt: Timestamp;
  readonly resumeToken?: ResumeToken;
}

/**
 * The change stream of a collection, batch by batch, by the server's own commands: these give whole batches, and with
 * every reply (an empty one, too) the position in the log. Documents stay where they are: one of 16 MB would not fit into
 * its change, and of the many changes of one the last is enough.
 *
 * The pipeline is part of a resume token's validity: it depends on `followed` alone.
 *
 * @throws DroverError `ChangeLogLost` when the position has left the server's change log
 */
export async function* changeLog(
  client: MongoClient,
  db: Db,
  followed: Followed,
  position: ChangeLogPosition,
  options: { readonly maxWaitMs: number; readonly batchSize: () => number; readonly signal: AbortSignal },
): AsyncGenerator<ChangeBatch> {
  const session = client.startSession();
  let cursorId = Long.ZERO;
  let next: Promise<Document> | undefined;
  let batchSize = options.batchSize();
  try {
    let reply = await run(db, session, {
      aggregate: 1,
      pipeline: [
        {
          $changeStream:
            position.resumeToken === undefined
              ? { startAtOperationTime: position.startAt }
              : // Other than `resumeAfter` also behind the end that dropping the database makes.
                { startAfter: position.resumeToken },
        },
        ...stages(followed),
      ],
      cursor: { batchSize },
      readConcern: { level: 'majority' },
    });
    const more = () => {
      batchSize = options.batchSize();
      const maxTimeMS = options.maxWaitMs;
      return run(db, session, { getMore: cursorId, collection: '$cmd.aggregate', batchSize, maxTimeMS });
    };
    for (;;) {
      cursorId = reply['cursor'].id as Long;
      const { firstBatch, nextBatch, postBatchResumeToken } = reply['cursor'] as Document;
      const events = (firstBatch ?? nextBatch) as Uint8Array[];
      // Of a backlog the next part is read while this one is worked off.
      next = !cursorId.isZero() && events.length >= batchSize / 2 ? more() : undefined;
      // Whoever waits for it gets the error.
      next?.catch(() => undefined);
      yield {
        changes: events.map(changeOf),
        resumeToken: postBatchResumeToken as ResumeToken,
        lagSeconds: lag(reply['operationTime'] as Timestamp, postBatchResumeToken as Document),
      };
      if (cursorId.isZero() || options.signal.aborted) return;
      reply = await (next ?? more());
    }
  } finally {
    await next?.catch(() => undefined);
    if (!cursorId.isZero()) {
      // Only the server's memory is at stake, and it forgets idle cursors by itself.
      await db
        .command({ killCursors: '$cmd.aggregate', cursors: [cursorId] }, { session })
        .catch((error: unknown) => error);
    }
    await session.endSession();
  }
}

function stages({ collection, keyField, verbatim }: Followed): Document[] {
  const names = [collection, verbatim];
  return [
    // A collection renamed over one of them names it as `to`.
    { $match: { $or: [{ 'ns.coll': { $in: names } }, { 'to.coll': { $in: names } }] } },
    {
      $project: {
        operationType: 1,
        clusterTime: 1,
        'ns.coll': 1,
        'documentKey._id': 1,
        key: `$fullDocument.${keyField}`,
        document: { $cond: [{ $eq: ['$ns.coll', verbatim] }, '$fullDocument', '$$REMOVE'] },
      },
    },
  ];
}

function changeOf(event: Uint8Array): Change {
  const found = fields(event);
  const documentKey = found.get('documentKey');
  const id = documentKey && field(documentKey.bytes, '_id');
  const key = found.get('key');
  const document = found.get('document');
  return {
    operationType: textOf(found.get('operationType')!),
    collection: textOf(field(found.get('ns')!.bytes, 'coll')!),
    time: uint64Of(found.get('clusterTime')!),
    ...(id === undefined ? {} : { id }),
    ...(key === undefined ? {} : { key }),
    ...(document === undefined ? {} : { document: BSON.deserialize(document.bytes, UNPROMOTED) }),
  };
}

async function run(db: Db, session: ClientSession, command: Document): Promise<Document> {
  try {
    const raw = { firstBatch: true, nextBatch: true };
    return await db.command(command, { session, ...UNPROMOTED, fieldsAsRaw: raw });
  } catch (error) {
    if (hasCode(error, 'changeStreamHistoryLost', 'changeStreamFatal')) {
      const { message } = error as MongoServerError;
      throw new DroverError(
        'ChangeLogLost',
        `the change log no longer reaches back to where replication stands: ${message}`,
      );
    }
    if (hasCode(error, 'cursorNotFound')) {
      throw new DroverError('Unavailable', 'the change stream was closed by the server');
    }
    throw error;
  }
}

/**
 * Where in the log a resume token stands: changes before this time are before it, those of this very time may be on either side. It
 * begins with the time: a type byte, then seconds and increment, in hexadecimal.
 */
export const positionOf = (token: ResumeToken): ClusterTime =>
  BigInt(`0x${String((token as Document)['_data']).slice(2, 18)}`);

function lag(now: Timestamp, token: Document): number {
  return Math.max(0, now.getHighBitsUnsigned() - Number(positionOf(token) >> 32n));
}

/**
 * The server's present logical time.
 *
 * @throws DroverError `Unavailable` from a server that can't tell it yet or any more
 */
export async function operationTime(db: Db): Promise<ClusterTime> {
  const reply = await db.command({ ping: 1 });
  const time = reply['operationTime'] as unknown;
  if (!(time instanceof Timestamp)) {
    // What is no replica set was refused when it was registered as a node.
    throw new DroverError(
      'Unavailable',
      'the server tells no logical time: it is starting, stopping, or left its replica set',
    );
  }
  return BigInt.asUintN(64, time.toBigInt());
}
