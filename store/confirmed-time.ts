import { setTimeout as delay } from 'node:timers/promises';
import type { ClusterTime, Db, Document, Timestamp } from 'mongodb';
import { MongoError } from 'mongodb';
import { isRetryableReadError } from 'mongodb/lib/error.js';

const PAUSE_MS = 20;

export interface ConfirmedTime {
  /** Not earlier than anything that a majority of the node had acknowledged when it was asked. */
  readonly operationTime: Timestamp;
  /** With the node's signature, as sessions take it. */
  readonly clusterTime: ClusterTime;
}

/**
 * A node's own logical time, told by its one true primary: a primary that has been replaced and does not know it yet can't answer a
 * linearizable read. The read itself finds nothing. As with the driver's reads, what an election or a lost connection has broken off is
 * repeated, within the same time.
 *
 * @throws MongoServerError when no majority answers within `timeoutMs`
 */
export async function confirmedTime(db: Db, collection: string, timeoutMs: number): Promise<ConfirmedTime> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    try {
      const reply = await ask(db, collection, deadline - performance.now());
      return { operationTime: reply['operationTime'] as Timestamp, clusterTime: reply['$clusterTime'] as ClusterTime };
    } catch (error) {
      const mayHelp = error instanceof MongoError && isRetryableReadError(error);
      if (!mayHelp || performance.now() + PAUSE_MS > deadline) throw error;
      await delay(PAUSE_MS);
    }
  }
}

const ask = (db: Db, collection: string, timeoutMs: number): Promise<Document> =>
  db.command({
    find: collection,
    filter: { _id: { $in: [] } },
    limit: 1,
    singleBatch: true,
    readConcern: { level: 'linearizable' },
    maxTimeMS: Math.max(1, Math.round(timeoutMs)),
  });
