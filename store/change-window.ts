import type { FindOptions, MongoClient } from 'mongodb';
import { storageStats } from './storage-stats.js';

/** How far back a node's change log reaches, and how full it is. */
export interface ChangeWindow {
  /** Time of its oldest entry and of its newest one, seconds since 1970. */
  readonly oldest: number;
  readonly newest: number;
  readonly bytes: number;
  /** Beyond so many the oldest entries go. */
  readonly mostBytes: number;
}

/** Times of the oldest entry and the newest one, seconds since 1970; undefined of a log without entries. */
export async function changeLogReach(
  client: MongoClient,
  options: FindOptions = {},
): Promise<Pick<ChangeWindow, 'oldest' | 'newest'> | undefined> {
  const log = changeLogOf(client);
  const entry = (direction: 1 | -1) =>
    log.findOne({}, { ...options, sort: { $natural: direction }, projection: { ts: 1 }, promoteValues: false });
  const [oldest, newest] = (await Promise.all([entry(1), entry(-1)])).map(
    (found) => (found?.['ts'] as { t?: number } | undefined)?.t,
  );
  return oldest === undefined || newest === undefined ? undefined : { oldest, newest };
}

export async function changeWindow(client: MongoClient): Promise<ChangeWindow | undefined> {
  const [reach, { size, maxSize }] = await Promise.all([changeLogReach(client), storageStats(changeLogOf(client))]);
  return reach && { ...reach, bytes: Number(size), mostBytes: Number(maxSize) };
}

const changeLogOf = (client: MongoClient) =>
  client.db('local').collection('oplog.rs', { readConcern: { level: 'local' } });

/** Shorter spans say little about how fast it is written. */
const ENOUGH_S = 60;

/** Seconds until what was written at `time` (seconds since 1970) has left the log, if it goes on as so far. */
export function secondsLeft({ oldest, newest, bytes, mostBytes }: ChangeWindow, time: number): number {
  const span = newest - oldest;
  if (span < ENOUGH_S) return Infinity;
  const untilFull = (Math.max(0, mostBytes - bytes) * span) / Math.max(1, bytes);
  return untilFull + Math.max(0, time - oldest);
}

/** What is written while a copy is made has to be applied afterwards, while more is written. */
const CATCH_UP = 1.5;
/** Before so much of the log's reach has been used up nothing is urgent. */
const USED = 0.25;

/**
 * Whether the changes since the beginning of a copy will be gone from the log before they can be applied.
 *
 * @param startAt when the copy was begun, seconds since 1970
 * @param toGo seconds that the rest of it will take
 * @returns the reason, or undefined while there is time enough
 */
export function runsOut(window: ChangeWindow, startAt: number, toGo: number): string | undefined {
  const left = secondsLeft(window, startAt);
  const used = window.newest - startAt;
  const needed = CATCH_UP * toGo;
  if (needed <= left || used < USED * (used + left)) return undefined;
  return (
    `the change log reaches back for another ${minutes(left)}, and the copy will take ${minutes(needed)} more with what is ` +
    'written meanwhile: make the log larger (replSetResizeOplog), or allow the move more megabytes a second'
  );
}

const minutes = (seconds: number): string => `${Math.ceil(seconds / 60)} min`;
