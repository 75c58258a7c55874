import type { MongoClient } from 'mongodb';
import type { Throttle } from './throttle.js';

/** What goes through all of a partition on both of its nodes: backfill and verification. */
export interface BulkWork<Progress> {
  readonly source: MongoClient;
  readonly target: MongoClient;
  readonly database: string;
  readonly collection: string;
  readonly throttle: Throttle;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: Progress) => void;
}
