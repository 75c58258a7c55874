import { EventEmitter } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { Db, MongoClient, ResumeToken } from 'mongodb';
import { nanoid } from 'nanoid';
import { DroverError } from '../domain/errors.js';
import type { Direction } from '../domain/partition.js';
import { BacklogPace } from './backlog-pace.js';
import type { ApplierOptions } from './change-applier.js';
import { ChangeApplier } from './change-applier.js';
import type { Change } from './change-log.js';
import { changeLog } from './change-log.js';
import type { CheckpointDocument } from './checkpoint.js';
import { Checkpoint, Markers, MARKERS } from './checkpoint.js';
import type { Throttle } from './throttle.js';

export interface FollowerOptions extends Omit<ApplierOptions, 'origin' | 'destination'> {
  readonly origin: MongoClient;
  readonly destination: MongoClient;
  readonly database: string;
  /** Of a move that has a limit, as long as nobody waits for its changes: what has gathered is worked off with rests. */
  readonly throttle?: Throttle | undefined;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: FollowerProgress) => void;
}

export interface FollowerProgress {
  readonly applied: number;
  readonly lagSeconds: number;
}

/**
 * A transaction for each few changes would cost both servers more than the changes do. They gather for a moment, but not
 * after a marker that a step sends ahead: its own is likely to follow, for which writes wait.
 */
const GATHER_MS = 200;
const ENOUGH_CHANGES = 500;
const ATTENTIVE_MS = 1_000;
/** What belongs to the other side by all that is known, the echo of what was applied there above all, gathers for longer. */
const QUIET_MS = 500;

const BATCH_CHANGES = 4_000;

/** With all changes read: what comes from now on is no backlog of the copy. */
const CAUGHT_UP_S = 1;

/** Equal values under a unique index that stay for so long, with all changes read, are no matter of order. */
const CONFLICT_MS = 5_000;

/** An empty batch moves the stored position only this often, so that an idle follower costs next to nothing. */
const IDLE_POSITION_MS = 1_000;

/**
 * Applies the origin's changes to the destination until `signal` is given, exactly once in effect.
 *
 * Each batch is a transaction at the destination (or several, where documents are large) that compares the attempt, reads
 * the scope, writes the documents past the fence, and stores the new position. What the scope does not cover is an echo or
 * belongs to the other side.
 *
 * Ends where the origin's database was dropped, if that is known: to be begun anew, behind that.
 *
 * @throws DroverError `Superseded` (another attempt has taken over), `ChangeLogLost`, `SourceChanged`, `DuplicateId`
 */
export async function follow(options: FollowerOptions): Promise<void> {
  const { direction, migration } = options;
  const [origin, destination] = [options.origin.db(options.database), options.destination.db(options.database)];
  const checkpoint = new Checkpoint(destination, migration, direction);
  const session = options.destination.startSession();
  const reading = options.origin.startSession({ causalConsistency: true });
  following.add(checkpoint.id);
  try {
    const mine = await checkpoint.takeOver(session);
    const applier = new ChangeApplier({ ...options, origin, destination }, checkpoint, mine.attempt, session, reading);
    await followFrom(mine, options, applier);
  } finally {
    following.delete(checkpoint.id);
    await reading.endSession();
    await session.endSession();
  }
}

async function followFrom(
  { startAt, resumeToken }: CheckpointDocument,
  { origin, database, collection, keyField, originWasDropped, throttle, signal, onProgress }: FollowerOptions,
  applier: ChangeApplier,
): Promise<void> {
  let applied = 0;
  let storedAt = 0;
  let askedAt = -Infinity;
  let conflictSince: number | undefined;
  let pending: Change[] = [];
  let end: ResumeToken;
  let pace = throttle?.isLimited === true ? new BacklogPace(throttle) : undefined;
  const log = changeLog(
    origin,
    origin.db(database),
    { collection, keyField, verbatim: MARKERS },
    { startAt, ...(resumeToken === undefined ? {} : { resumeToken }) },
    { maxWaitMs: 500, batchSize: () => (pace?.isResting === true ? ENOUGH_CHANGES : BATCH_CHANGES), signal },
  );
  for await (const { changes, resumeToken: position, lagSeconds } of log) {
    let [tookMs, documents] = [0, 0];
    pending.push(...changes);
    end = position;
    const waitMs =
      pending.length === 0 ? IDLE_POSITION_MS : pending.some((each) => applier.concerns(each)) ? 0 : QUIET_MS;
    if (performance.now() - storedAt >= waitMs || pending.length >= BATCH_CHANGES) {
      // With all changes read.
      const isLasting =
        performance.now() - (conflictSince ?? Infinity) > CONFLICT_MS && lagSeconds < CONFLICT_MS / 1_000;
      const begunAt = performance.now();
      const { written, marker, conflict } = await applier.apply(pending, position, isLasting);
      storedAt = performance.now();
      tookMs = storedAt - begunAt;
      documents = written;
      applied += written;
      if (conflict === undefined) {
        pending = [];
        conflictSince = undefined;
      } else {
        // What was looked up may be ahead of what has been read: the change that resolves it is on its way.
        conflictSince ??= storedAt;
        if (isLasting) throw conflict;
      }
      if (marker !== undefined) {
        askedAt = marker.stepFollows === true ? storedAt : -Infinity;
        passing.emit(applier.checkpoint.id);
      }
    }
    onProgress({ applied, lagSeconds });
    if (signal.aborted) return;
    const attentive = performance.now() - askedAt < ATTENTIVE_MS;
    if (attentive) continue;
    if (changes.length >= ENOUGH_CHANGES) {
      const { time } = changes.at(-1)!;
      await pace?.rest({ time, documents, bytes: documents * applier.averageBytes, tookMs }, signal);
    } else {
      if (lagSeconds <= CAUGHT_UP_S) pace = undefined;
      if (changes.length > 0) await delay(GATHER_MS, undefined, { signal }).catch(() => undefined);
    }
  }
  if (signal.aborted) return;
  if (originWasDropped !== true) {
    throw new DroverError('SourceChanged', `the change stream of ${database}.${collection} has ended`);
  }
  // With the database: another stream tells what has happened since.
  const { conflict } = await applier.apply(pending, end, true);
  if (conflict !== undefined) throw conflict;
}

/** One direction of a migration's replication. */
export interface Way {
  readonly migration: string;
  readonly direction: Direction;
  readonly origin: Db;
  readonly destination: Db;
}

export interface PingOptions {
  /** Changes behind the marker are applied without delay. */
  readonly stepFollows?: boolean;
  /** Nobody waits for it any more. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Sends a marker through a direction of replication.
 *
 * @returns whether it arrived in time
 * @throws the reason of `signal`, as soon as it has one
 */
export async function ping(
  { migration, direction, origin, destination }: Way,
  timeoutMs: number,
  { stepFollows = false, signal }: PingOptions = {},
): Promise<boolean> {
  const id = `${migration}/${direction}/ping/${nanoid()}`;
  await new Markers(origin).write(id, migration, direction, { stepFollows });
  return markerRead(
    new Checkpoint(destination, migration, direction),
    ({ markers }) => markers?.includes(id) === true,
    timeoutMs,
    signal,
  );
}

/** Between two looks for a marker: nobody may write meanwhile. */
const LOOK_MS = 5;
/** Where the follower says so itself; it could have been taken over by another process. */
const LOOK_IN_PROCESS_MS = 50;

/**
 * Waits until the follower has read a marker. One in this process says so itself; for another one it is looked up.
 *
 * @throws the reason of `signal`, as soon as it has one
 */
export async function markerRead(
  checkpoint: Checkpoint,
  isRead: (checkpoint: CheckpointDocument) => boolean,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const passed = markerPassed(checkpoint.id, following.has(checkpoint.id) ? LOOK_IN_PROCESS_MS : LOOK_MS);
    const found = await checkpoint.find();
    if (found !== undefined && isRead(found)) return true;
    signal?.throwIfAborted();
    if (performance.now() > deadline) return false;
    await passed;
  }
}

/** Checkpoints of the followers of this process. */
const following = new Set<string>();
const passing = new EventEmitter();
passing.setMaxListeners(0);

/** Ends when a follower of this process has passed a marker, and after some time in any case. */
function markerPassed(checkpoint: string, withinMs: number): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      passing.off(checkpoint, done);
      resolve();
    };
    const timer = setTimeout(done, withinMs);
    passing.on(checkpoint, done);
  });
}
