import type { Collection } from 'mongodb';
import type { Span } from '../../domain/access-coverage.js';
import { uncovered } from '../../domain/access-coverage.js';
import type { IngestionDocument } from './ingestions.js';

/** Longer than the longest history. */
export const COVERAGE_RETENTION_S = 120 * 24 * 3_600;
/** A router says every half minute that all it has counted is in the catalog. */
export const COVERAGE_EVERY_MS = 30_000;
/** One that has said so lately is still there. */
const ALIVE_MS = 3 * COVERAGE_EVERY_MS;

/** From when until when a router has counted all requests to a keyspace that went through it; Drover's time, milliseconds. */
export interface CountedSpan extends Span {
  readonly keyspace: string;
  /** The router is being closed. */
  readonly ended: boolean;
}

export interface CoverageDocument {
  /** Router, keyspace and beginning. */
  _id: string;
  keyspace: string;
  from: Date;
  until: Date;
  ended: boolean;
  /** By the catalog's clock. */
  writtenAt: Date;
}

/** When accesses were counted, which tells no requests from nobody who would have known of them. */
export class AccessCoverage {
  constructor(
    private readonly spans: Collection<CoverageDocument>,
    private readonly ingestions: Collection<IngestionDocument>,
  ) {}

  async extend(router: string, spans: readonly CountedSpan[]): Promise<void> {
    if (spans.length === 0) return;
    const operations = spans.map(({ keyspace, from, until, ended }) => ({
      updateOne: {
        filter: { _id: `${router}/${keyspace}/${from}` },
        update: {
          $set: { keyspace, from: new Date(from), until: new Date(until), ended },
          $currentDate: { writtenAt: true } as const,
        },
        upsert: true,
      },
    }));
    await this.spans.bulkWrite(operations, { ordered: false });
  }

  /**
   * Stretches of `[from, until)` in which neither a router nor a log has counted accesses of the keyspace, though one did before.
   * Without any record of that, such as of a catalog of an earlier version, there are none.
   */
  async gaps(keyspace: string, from: number, until: number): Promise<Span[]> {
    const isAlive = {
      $and: [{ $eq: ['$ended', false] }, { $gt: ['$writtenAt', { $subtract: ['$$NOW', ALIVE_MS] }] }],
    };
    const [first, routers, logs] = await Promise.all([
      this.spans.find({ keyspace }, { sort: { from: 1 }, limit: 1 }).toArray(),
      this.spans
        .aggregate<{ from: Date; until: Date }>([
          { $match: { keyspace, $or: [{ until: { $gte: new Date(from) } }, { $expr: isAlive }] } },
          { $project: { from: 1, until: { $cond: [isAlive, { $max: ['$until', new Date(until)] }, '$until'] } } },
        ])
        .toArray(),
      this.ingestions
        .find<{ from: Date; to: Date }>({ keyspace, from: { $exists: true } }, { projection: { from: 1, to: 1 } })
        .toArray(),
    ]);
    const spans = [
      ...[...first, ...routers].map((each) => ({ from: each.from.getTime(), until: each.until.getTime() })),
      ...logs.map((each) => ({ from: each.from.getTime(), until: each.to.getTime() })),
    ];
    return uncovered(spans, from, until);
  }
}
