import { setTimeout as delay } from 'node:timers/promises';
import type { Collection, Document } from 'mongodb';
import type { StoredCounts } from '../../domain/access-roll-up.js';
import { hasCode } from '../server-errors.js';
import type { CountsDocument, DetailsDocument, RecordDocument } from './access-documents.js';

export interface AccessCollections {
  readonly records: Collection<RecordDocument>;
  readonly counts: Collection<CountsDocument>;
  readonly details: Collection<DetailsDocument>;
}

/** What is asked of roll-ups, and the same of records. */
export interface CountsMatch {
  readonly counts: Document;
  readonly records: Document;
}

const TRIES = 20;

/**
 * Reads records together with what earlier ones were rolled up to. All in one aggregation at one moment: a record that is being
 * rolled up is found once.
 */
export class AccessReads {
  constructor(
    readonly collections: AccessCollections,
    /** Length of the stretches that details are known of. */
    readonly hourMs: number,
  ) {}

  /** Counts by tier, partition, region and window; those of hours by hour. */
  counts({ counts, records }: CountsMatch, windowMs: number): Promise<StoredCounts[]> {
    const isHour = { $eq: ['$tier', 'hour'] };
    const stored = { tier: 1, lengthMs: 1, time: 1, meta: 1, reads: 1, writes: 1, errors: 1, latencyMs: 1, bytes: 1 };
    const bytes = { read: '$bytesRead', written: '$bytesWritten', requests: '$bytesRequests' };
    return this.snapshot<StoredCounts>(this.collections.counts, [
      { $match: counts },
      { $project: stored },
      {
        $unionWith: {
          coll: this.collections.records.collectionName,
          pipeline: [
            { $match: records },
            {
              $project: {
                ...stored,
                tier: { $literal: 'record' },
                lengthMs: { $literal: 0 },
                latencyMs: { sum: 1, max: 1 },
              },
            },
          ],
        },
      },
      {
        $group: {
          _id: {
            tier: '$tier',
            lengthMs: '$lengthMs',
            partition: '$meta.partition',
            region: '$meta.region',
            start: {
              $cond: [
                isHour,
                { $toLong: '$time' },
                { $subtract: [{ $toLong: '$time' }, { $mod: [{ $toLong: '$time' }, windowMs] }] },
              ],
            },
          },
          reads: { $sum: '$reads' },
          writes: { $sum: '$writes' },
          errors: { $sum: '$errors' },
          latencyMsSum: { $sum: '$latencyMs.sum' },
          latencyMsMax: { $max: '$latencyMs.max' },
          bytesRead: { $sum: '$bytes.read' },
          bytesWritten: { $sum: '$bytes.written' },
          bytesRequests: { $sum: '$bytes.requests' },
          areBytesKnown: { $max: { $gt: ['$bytes', null] } },
        },
      },
      {
        $replaceWith: {
          $mergeObjects: [
            '$$ROOT',
            '$_id',
            { start: { $toDouble: '$_id.start' }, bytes: { $cond: ['$areBytesKnown', bytes, '$$REMOVE'] } },
          ],
        },
      },
      { $unset: ['_id', 'bytesRead', 'bytesWritten', 'bytesRequests', 'areBytesKnown'] },
    ]);
  }

  /**
   * What records of the time `[from, to)` tell, and details of the hours that it touches.
   *
   * @param of keyspace, partition
   * @param stages what is made of them
   */
  details<T extends Document>(
    of: Document,
    { from, to = Infinity }: { readonly from: number; readonly to?: number },
    stages: readonly Document[],
  ): Promise<T[]> {
    const until = to === Infinity ? {} : { $lt: new Date(to) };
    const records = { ...of, time: { $gte: new Date(from), ...until } };
    return this.snapshot<T>(this.collections.details, [
      { $match: { ...of, time: { $gt: new Date(from - this.hourMs), ...until } } },
      { $unionWith: { coll: this.collections.records.collectionName, pipeline: [{ $match: records }] } },
      ...stages,
    ]);
  }

  private async snapshot<T extends Document>(
    collection: { aggregate: Collection['aggregate'] },
    stages: Document[],
  ): Promise<T[]> {
    for (let tries = 1; ; tries++) {
      try {
        return await collection
          .aggregate<T>(stages, { readConcern: { level: 'snapshot' }, allowDiskUse: true })
          .toArray();
      } catch (error) {
        // An index was made a moment ago: the moment before is not to be had any more.
        if (tries === TRIES || !hasCode(error, 'snapshotUnavailable')) throw error;
        await delay(25 * tries);
      }
    }
  }
}
