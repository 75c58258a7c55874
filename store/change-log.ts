import type { ClientSession, Db, Document, MongoClient, MongoServerError, ResumeToken } from 'mongodb';
import { Long, Timestamp } from 'mongodb';
import { DroverError } from '../domain/errors.js';
import type { ClusterTime } from '../domain/partition.js';
import { hasCode } from './server-errors.js';

/** Keeps BSON types as they are: an int64 stays one, a double 5.0 does not become an int32. */
export const UNPROMOTED = {
  promoteValues: false,
  promoteLongs: false,
  promoteBuffers: false,
  bsonRegExp: true,
} as const;

export interface ChangeEvent {
  readonly operationType: string;
  readonly ns: { readonly db: string; readonly coll: string };
  readonly clusterTime: Timestamp;
  readonly documentKey?: { readonly _id: unknown };
  readonly fullDocument?: Document | null;
}

export interface ChangeBatch {
  readonly events: readonly ChangeEvent[];
  /** Position behind the batch; it moves on even when there was nothing of interest. */
  readonly resumeToken: ResumeToken;
  /** How far the position is behind the server's own last operation, in seconds. */
  readonly lagSeconds: number;
}

/** Where to begin: at a time, or (kept by a checkpoint) behind the last change that was applied. */
export interface ChangeLogPosition {
  readonly startAt: Timestamp;
  readonly resumeToken?: ResumeToken;
}

/**
 * The change stream of some collections of a database, batch by batch, by the server's own commands: these give whole
 * batches, and with every reply (an empty one, too) the position in the log.
 *
 * The pipeline is part of a resume token's validity: it depends on `collections` alone.
 *
 * @throws DroverError `ChangeLogLost` when the position has left the server's change log
 */
export async function* changeLog(
  client: MongoClient,
  db: Db,
  collections: readonly string[],
  position: ChangeLogPosition,
  options: { readonly maxWaitMs: number; readonly batchSize: number; readonly signal: AbortSignal },
): AsyncGenerator<ChangeBatch> {
  const session = client.startSession();
  let cursorId = Long.ZERO;
  try {
    let reply = await run(db, session, {
      aggregate: 1,
      pipeline: [
        {
          $changeStream: {
            fullDocument: 'updateLookup',
            ...(position.resumeToken === undefined
              ? { startAtOperationTime: position.startAt }
              : { resumeAfter: position.resumeToken }),
          },
        },
        // A collection renamed over one of them names it as `to`.
        { $match: { $or: [{ 'ns.coll': { $in: [...collections] } }, { 'to.coll': { $in: [...collections] } }] } },
      ],
      cursor: { batchSize: options.batchSize },
      readConcern: { level: 'majority' },
    });
    for (;;) {
      cursorId = reply['cursor'].id as Long;
      const { firstBatch, nextBatch, postBatchResumeToken } = reply['cursor'] as Document;
      yield {
        events: (firstBatch ?? nextBatch) as ChangeEvent[],
        resumeToken: postBatchResumeToken as ResumeToken,
        lagSeconds: lag(reply['operationTime'] as Timestamp, postBatchResumeToken as Document),
      };
      if (cursorId.isZero() || options.signal.aborted) return;
      reply = await run(db, session, {
        getMore: cursorId,
        collection: '$cmd.aggregate',
        batchSize: options.batchSize,
        maxTimeMS: options.maxWaitMs,
      });
    }
  } finally {
    if (!cursorId.isZero()) {
      // Only the server's memory is at stake, and it forgets idle cursors by itself.
      await db
        .command({ killCursors: '$cmd.aggregate', cursors: [cursorId] }, { session })
        .catch((error: unknown) => error);
    }
    await session.endSession();
  }
}

async function run(db: Db, session: ClientSession, command: Document): Promise<Document> {
  try {
    return await db.command(command, { session, ...UNPROMOTED });
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

/** A resume token begins with the time of its change: a type byte, then seconds and increment, in hexadecimal. */
function lag(now: Timestamp, token: Document): number {
  const data = String(token['_data']);
  const seconds = Number.parseInt(data.slice(2, 10), 16);
  return Math.max(0, now.getHighBitsUnsigned() - seconds);
}

/** The server's present logical time. */
export async function operationTime(db: Db): Promise<ClusterTime> {
  const reply = await db.command({ ping: 1 });
  const time = reply['operationTime'] as unknown;
  if (!(time instanceof Timestamp)) {
    throw new DroverError('Refused', `${db.databaseName} is not on a replica set: it has no change log`);
  }
  return BigInt.asUintN(64, time.toBigInt());
}
