import type { ClusterTime, Db, Timestamp } from 'mongodb';

export interface ConfirmedTime {
  /** Not earlier than anything that a majority of the node had acknowledged when it was asked. */
  readonly operationTime: Timestamp;
  /** With the node's signature, as sessions take it. */
  readonly clusterTime: ClusterTime;
}

/**
 * A node's own logical time, told by its one true primary: a primary that has been replaced and does not know it yet can't answer a
 * linearizable read. The read itself finds nothing.
 *
 * @throws MongoServerError when no majority answers within `timeoutMs`
 */
export async function confirmedTime(db: Db, collection: string, timeoutMs: number): Promise<ConfirmedTime> {
  const reply = await db.command({
    find: collection,
    filter: { _id: { $in: [] } },
    limit: 1,
    singleBatch: true,
    readConcern: { level: 'linearizable' },
    maxTimeMS: Math.max(1, Math.round(timeoutMs)),
  });
  return { operationTime: reply['operationTime'] as Timestamp, clusterTime: reply['$clusterTime'] as ClusterTime };
}
