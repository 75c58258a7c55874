import type { MongoClient } from 'mongodb';
import type { Part } from './part.js';
import type { Throttle } from './throttle.js';

/** What goes through all of a partition on both of its nodes: backfill and verification. */
export interface BulkWork<Progress> {
  readonly source: MongoClient;
  readonly target: MongoClient;
  readonly database: string;
  readonly collection: string;
  /** Name of the target's collection, where it is another one. */
  readonly copy?: string;
  /** The partition's documents, where one of the collections holds others, too; both have the key's hashed index then. */
  readonly part?: Part | undefined;
  readonly throttle: Throttle;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: Progress) => void;
}
