import type { Db, Timestamp } from 'mongodb';
import type { ClusterTime, Direction } from '../domain/partition.js';
import { positionOf } from './change-log.js';
import type { CheckpointDocument } from './checkpoint.js';
import { CHECKPOINTS, checkpointId } from './checkpoint.js';

export interface CopyPosition {
  /** Changes of the origin before this time have been read from its log and applied. */
  readonly position: ClusterTime;
  /** The copy's node's own time: what is read there at this time or later has them. */
  readonly visibleAt: Timestamp;
}

/** Position of a copy that is complete, as a majority of its node has it. @returns undefined while there is none */
export async function copyPosition(
  db: Db,
  migration: string,
  direction: Direction,
  timeoutMs: number,
): Promise<CopyPosition | undefined> {
  const reply = await db.command({
    find: CHECKPOINTS,
    filter: { _id: checkpointId(migration, direction) },
    limit: 1,
    singleBatch: true,
    readConcern: { level: 'majority' },
    maxTimeMS: timeoutMs,
  });
  const checkpoint = reply['cursor'].firstBatch[0] as CheckpointDocument | undefined;
  if (checkpoint?.resumeToken === undefined) return undefined;
  if (direction === 'forward' && checkpoint.copyDone !== true) return undefined;
  return { position: positionOf(checkpoint.resumeToken), visibleAt: reply['operationTime'] as Timestamp };
}
