import { setTimeout as delay } from 'node:timers/promises';
import type {
  AnyBulkWriteOperation,
  ClientSession,
  Collection,
  Document,
  MongoClient,
  MongoServerError,
} from 'mongodb';
import { BSON } from 'mongodb';
import { DroverError } from '../domain/errors.js';
import type { Direction } from '../domain/partition.js';
import { handOver, isApplied } from '../domain/replication.js';
import type { ChangeBatch, ChangeEvent } from './change-log.js';
import { changeLog, UNPROMOTED } from './change-log.js';
import type { CheckpointDocument, MarkerDocument } from './checkpoint.js';
import { Checkpoint, MARKERS, markerBoundary } from './checkpoint.js';
import { scopeFromBson, timeFromBson } from './codec.js';
import { keyValue, tokenOfKey } from './key-token.js';
import { hasCode } from './server-errors.js';

export interface FollowerOptions {
  readonly migration: string;
  readonly direction: Direction;
  readonly origin: MongoClient;
  readonly destination: MongoClient;
  readonly database: string;
  readonly collection: string;
  readonly keyField: string;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: FollowerProgress) => void;
}

export interface FollowerProgress {
  readonly applied: number;
  readonly lagSeconds: number;
}

/**
 * A transaction for each few changes would cost both servers more than the changes do. They gather for a moment, but not
 * after a marker: another one is likely to follow, for which writes wait.
 */
const GATHER_MS = 25;
const ENOUGH_EVENTS = 200;
const ATTENTIVE_MS = 1_500;

/** An empty batch moves the stored position only this often, so that an idle follower costs next to nothing. */
const IDLE_POSITION_MS = 1_000;

/**
 * Applies the origin's changes to the destination until `signal` is given, exactly once in effect.
 *
 * Each batch is one transaction at the destination that compares the attempt, reads the scope, writes the documents
 * past the fence, and stores the new position. What the scope does not cover is an echo or belongs to the other side.
 *
 * @throws DroverError `Superseded` (another attempt has taken over), `ChangeLogLost`, `SourceChanged`, `DuplicateId`
 */
export async function follow(options: FollowerOptions): Promise<void> {
  const { destination, database, direction, migration } = options;
  const checkpoint = new Checkpoint(destination.db(database), migration, direction);
  const session = destination.startSession();
  try {
    const mine = await checkpoint.takeOver(session);
    await followFrom(mine, options, new BatchApplier(options, checkpoint, mine.attempt, session));
  } finally {
    await session.endSession();
  }
}

async function followFrom(
  { startAt, resumeToken }: CheckpointDocument,
  { origin, database, collection, signal, onProgress }: FollowerOptions,
  apply: BatchApplier,
): Promise<void> {
  let applied = 0;
  let storedAt = 0;
  let markerAt = 0;
  const log = changeLog(
    origin,
    origin.db(database),
    [collection, MARKERS],
    { startAt, ...(resumeToken === undefined ? {} : { resumeToken }) },
    { maxWaitMs: 500, batchSize: 1_000, signal },
  );
  for await (const batch of log) {
    const idle = batch.events.length === 0;
    if (!idle || performance.now() - storedAt > IDLE_POSITION_MS) {
      const { written, marker } = await apply.batch(batch);
      applied += written;
      storedAt = performance.now();
      if (marker) markerAt = storedAt;
    }
    onProgress({ applied, lagSeconds: batch.lagSeconds });
    if (signal.aborted) return;
    const attentive = performance.now() - markerAt < ATTENTIVE_MS;
    if (!idle && !attentive && batch.events.length < ENOUGH_EVENTS) {
      await delay(GATHER_MS, undefined, { signal }).catch(() => undefined);
    }
  }
  if (!signal.aborted)
    throw new DroverError('SourceChanged', `the change stream of ${database}.${collection} has ended`);
}

/** Events up to and including a marker of this migration: the scope changes only between segments. */
interface Segment {
  readonly events: ChangeEvent[];
  marker?: MarkerDocument;
}

class BatchApplier {
  private readonly target: Collection;

  constructor(
    private readonly options: FollowerOptions,
    private readonly checkpoint: Checkpoint,
    private readonly attempt: number,
    private readonly session: ClientSession,
  ) {
    this.target = options.destination.db(options.database).collection(options.collection);
  }

  /** @returns how many documents were written or deleted, and whether there was a marker */
  async batch(batch: ChangeBatch): Promise<{ readonly written: number; readonly marker: boolean }> {
    let written = 0;
    const segments = this.segments(batch.events);
    for (const [i, segment] of segments.entries()) {
      const last = i === segments.length - 1;
      const position = last ? batch.resumeToken : undefined;
      written += await this.segment(segment, position);
    }
    return { written, marker: segments.length > 1 };
  }

  private segments(events: readonly ChangeEvent[]): Segment[] {
    const segments: Segment[] = [{ events: [] }];
    for (const event of events) {
      const segment = segments.at(-1)!;
      if (event.ns.coll !== MARKERS) {
        segment.events.push(event);
        continue;
      }
      const marker = event.operationType === 'insert' ? (event.fullDocument as MarkerDocument) : undefined;
      if (marker?.migration === this.options.migration && marker.direction === this.options.direction) {
        segment.marker = marker;
        segments.push({ events: [] });
      }
    }
    return segments;
  }

  private async segment(segment: Segment, resumeToken: unknown): Promise<number> {
    if (segment.events.length === 0 && segment.marker === undefined && resumeToken === undefined) return 0;
    try {
      return await this.transaction(segment, resumeToken, false);
    } catch (error) {
      if (!hasCode(error, 'duplicateKey')) throw error;
    }
    // The look-up may be ahead of the stream: a document that has since been deleted and inserted under another key meets
    // its own predecessor here, which has to go first.
    try {
      return await this.transaction(segment, resumeToken, true);
    } catch (error) {
      if (hasCode(error, 'duplicateKey')) {
        throw new DroverError(
          'DuplicateId',
          `a document can't be copied to ${this.target.namespace}, as another one there has an equal value under a unique index: ` +
            (error as MongoServerError).message,
        );
      }
      throw error;
    }
  }

  private async transaction(segment: Segment, resumeToken: unknown, predecessors: boolean): Promise<number> {
    const options = { readConcern: { level: 'snapshot' }, writeConcern: { w: 'majority' } } as const;
    return this.session.withTransaction(() => this.apply(segment, resumeToken, predecessors, this.session), options);
  }

  private async apply(
    segment: Segment,
    resumeToken: unknown,
    predecessors: boolean,
    session: ClientSession,
  ): Promise<number> {
    const set: Partial<CheckpointDocument> = {
      ...(resumeToken === undefined ? {} : { resumeToken }),
      ...(segment.marker === undefined ? {} : { marker: segment.marker._id }),
    };
    if (Object.keys(set).length === 0) throw new DroverError('SourceChanged', 'a batch without a position');
    const { scope: stored } = await this.checkpoint.advance(this.attempt, set, { documents: 0, bytes: 0 }, session);
    const scope = scopeFromBson(stored);

    const operations = await this.operations(segment.events, session, predecessors, (token, time) =>
      isApplied(scope, token, time),
    );
    if (operations.length > 0) {
      await this.target.bulkWrite(operations, { session, bypassDocumentValidation: true, ordered: true });
    }
    const boundary = segment.marker && markerBoundary(segment.marker);
    if (boundary !== undefined) {
      const next = handOver(scope, boundary);
      if (next !== scope) await this.checkpoint.setScope(this.attempt, next, session);
    }
    return operations.length;
  }

  /**
   * The last state of each document in the segment, deletes first: what one document was in between does not matter,
   * and a document that gave its `_id` to another key has to go before the other one comes.
   */
  private async operations(
    events: readonly ChangeEvent[],
    session: ClientSession,
    predecessors: boolean,
    covered: (token: bigint, time: bigint) => boolean,
  ): Promise<AnyBulkWriteOperation[]> {
    const { keyField } = this.options;
    const byId = new Map<string, LastState>();
    for (const event of events) {
      const time = timeFromBson(event.clusterTime);
      switch (event.operationType) {
        case 'insert':
        case 'replace':
        case 'update': {
          // A missing look-up document was deleted later: its delete event follows.
          const document = event.fullDocument;
          if (document == null) break;
          if (!covered(tokenOfKey(keyValue(document, keyField)), time)) break;
          const entry = entryOf(byId, document['_id']);
          entry.document = document;
          entry.at = time;
          break;
        }
        case 'delete': {
          const entry = entryOf(byId, event.documentKey!._id);
          entry.deletedAt = time;
          entry.document = null;
          break;
        }
        default:
          throw new DroverError(
            'SourceChanged',
            `"${event.operationType}" happened to ${event.ns.db}.${event.ns.coll} while it moves`,
          );
      }
    }
    const deletes: AnyBulkWriteOperation[] = [];
    const upserts: AnyBulkWriteOperation[] = [];
    const entries = [...byId.values()];
    const lookedUp = entries.filter(({ deletedAt }) => predecessors || deletedAt !== null);
    const present = await this.presentKeys(
      lookedUp.map(({ id }) => id),
      session,
    );
    for (const [hex, { id, at, deletedAt, document }] of byId) {
      const key = present.get(hex);
      const other = document !== null && key !== undefined && !sameKey(key, keyValue(document, keyField));
      // Values exchanged under a unique index: every predecessor goes before any of the documents comes.
      const goes = deletedAt !== null || other || predecessors;
      if (key !== undefined && goes && covered(tokenOfKey(key), deletedAt ?? at)) {
        deletes.push({ deleteOne: { filter: { _id: { $eq: id as never } } } });
      }
      if (document !== null) {
        const filter = { _id: { $eq: id as never }, [keyField]: { $eq: keyValue(document, keyField) } };
        upserts.push({ replaceOne: { filter, replacement: document, upsert: true } });
      }
    }
    return [...deletes, ...upserts];
  }

  /** A delete event names the `_id` only; the key, and with it the token, is found in the copy. */
  private async presentKeys(ids: readonly unknown[], session: ClientSession): Promise<Map<string, unknown>> {
    if (ids.length === 0) return new Map();
    const found = await this.target
      .find(
        { _id: { $in: ids as never[] } },
        { projection: { _id: 1, [this.options.keyField]: 1 }, session, ...UNPROMOTED },
      )
      .toArray();
    return new Map(found.map((document) => [idHex(document._id), keyValue(document, this.options.keyField)]));
  }
}

/** The bytes of an `_id`: equal for equal values of one type. */
export const idHex = (id: unknown): string => Buffer.from(BSON.serialize({ _id: id })).toString('hex');

/** What a segment makes of one document. */
interface LastState {
  readonly id: unknown;
  /** Time of the last insert, update or replace. */
  at: bigint;
  deletedAt: bigint | null;
  document: Document | null;
}

function entryOf(entries: Map<string, LastState>, id: unknown): LastState {
  const hex = idHex(id);
  let entry = entries.get(hex);
  if (entry === undefined) {
    entry = { id, at: 0n, deletedAt: null, document: null };
    entries.set(hex, entry);
  }
  return entry;
}

const sameKey = (a: unknown, b: unknown): boolean => idHex(a) === idHex(b);

/** Waits until the follower has read a marker, looking every few milliseconds: nobody may write meanwhile. */
export async function markerRead(
  checkpoint: Checkpoint,
  isRead: (checkpoint: CheckpointDocument) => boolean,
  timeoutMs: number,
): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const found = await checkpoint.find();
    if (found !== undefined && isRead(found)) return true;
    if (performance.now() > deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
