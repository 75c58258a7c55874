import type { MongoClient } from 'mongodb';
import type { CopyLimits } from '../domain/copy-limits.js';
import { secondsAtLeast } from '../domain/copy-limits.js';
import type { ChangeWindow } from './change-window.js';
import { changeWindow, secondsLeft } from './change-window.js';
import { unsupported } from './collection-support.js';
import { inspect } from './fenced-collection.js';
import type { Part } from './part.js';
import { sharesOf } from './part.js';
import { hasCode } from './server-errors.js';
import { storageStats } from './storage-stats.js';
import { missingRights } from './suitability.js';

export interface PlannedCopy {
  readonly source: MongoClient;
  readonly target: MongoClient;
  readonly database: string;
  readonly collection: string;
  /** What of it is to be moved, where it is not all. */
  readonly part?: Part | undefined;
  readonly limits: CopyLimits;
}

/** What a copy takes, and what there is for it. Undefined is what the server does not tell. */
export interface Means {
  /** On the source's disk, with all indexes. */
  readonly bytesOnDisk: number;
  /** Of documents, as they are sent. */
  readonly bytes: number;
  readonly documents: number;
  readonly indexes: number;
  readonly targetFreeBytes: number | undefined;
  readonly window: ChangeWindow | undefined;
}

/** Drover's own indexes in a collection at most, and MongoDB's limit for all. */
const GATES = 10;
const MOST_INDEXES = 64;
/** The copy's files may be less dense than the original's, and what is written meanwhile needs room, too. */
const ROOM = 1.25;
/** Copying is faster nearly everywhere; where it is not, the copy is stopped in time. */
const CAREFUL_MB_PER_S = 10;

/** Why a copy should not be begun, as sentences; it has been looked only. */
export async function obstacles(planned: PlannedCopy): Promise<string[]> {
  const { source, target, database } = planned;
  const lacking = [
    ...(await missingRights(source, [database])).map((right) => `${right}, at the source`),
    ...(await missingRights(target, [database])).map((right) => `${right}, at the target`),
  ];
  if (lacking.length > 0) return [`Drover's user lacks rights, grant them: ${lacking.join('; ')}`];
  const reason = unsupported(await inspect(source.db(database), planned.collection));
  if (reason !== undefined) return [`its collection ${reason}`];
  return shortages(await meansOf(planned), planned.limits);
}

async function meansOf({ source, target, database, collection, part }: PlannedCopy): Promise<Means> {
  const documents = source.db(database).collection(collection);
  const [stats, disk, window, indexes, [share = 1]] = await Promise.all([
    storageStats(documents),
    // Of a database that is not there yet it would be silent about the disk.
    ifAllowed(target.db('admin').command({ dbStats: 1 })),
    ifAllowed(changeWindow(source)),
    documents.indexes(),
    sharesOf(documents, part === undefined ? [] : [part]),
  ]);
  const { size, count, storageSize, totalIndexSize } = stats as Record<string, unknown>;
  const total = Number(disk?.['fsTotalSize']);
  return {
    bytes: share * Number(size),
    documents: share * Number(count),
    bytesOnDisk: share * (Number(storageSize) + Number(totalIndexSize)),
    indexes: indexes.length,
    targetFreeBytes: total > 0 ? total - Number(disk!['fsUsedSize']) : undefined,
    window,
  };
}

/** What takes a right of its own that the user lacks is only not known. */
const ifAllowed = <T>(answer: Promise<T>): Promise<T | undefined> =>
  answer.catch((error: unknown) => {
    if (hasCode(error, 'unauthorized')) return undefined;
    throw error;
  });

export function shortages(
  { bytes, documents, bytesOnDisk, indexes, targetFreeBytes, window }: Means,
  limits: CopyLimits,
): string[] {
  const found: string[] = [];
  if (indexes + GATES > MOST_INDEXES) {
    found.push(
      `it has ${indexes} indexes: a move needs ${GATES} more for a while, and MongoDB allows ${MOST_INDEXES} in all; drop some`,
    );
  }
  if (targetFreeBytes !== undefined && bytesOnDisk * ROOM > targetFreeBytes) {
    found.push(
      `the copy needs about ${gigabytes(bytesOnDisk * ROOM)} on the target's disk, where ${gigabytes(targetFreeBytes)} are free`,
    );
  }
  const megabytes = limits.maxMegabytesPerSecond > 0 ? limits.maxMegabytesPerSecond : CAREFUL_MB_PER_S;
  const copySeconds = secondsAtLeast({ ...limits, maxMegabytesPerSecond: megabytes }, { bytes, documents });
  const left = window === undefined ? Infinity : secondsLeft(window, window.newest);
  if (copySeconds > left) {
    found.push(
      `copying takes about ${hours(copySeconds)}, and the source's change log reaches back ${hours(left)} only: ` +
        'make it larger (replSetResizeOplog), or allow more megabytes or documents a second',
    );
  }
  return found;
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;
const hours = (seconds: number): string => `${(seconds / 3600).toFixed(1)} h`;
