import type { Collection } from 'mongodb';
import type { Anomaly } from '../../domain/anomaly.js';

/** Real time that findings are kept for: they are looked up, nothing is decided on old ones. */
export const ANOMALIES_KEPT_MS = 90 * 24 * 3_600_000;

/** Something unexpected in the load of a partition or a node. */
export interface AnomalyDocument extends Pick<
  Anomaly,
  'kind' | 'direction' | 'value' | 'expected' | 'windows' | 'score'
> {
  /** `<keyspace>/<subject>/<start of its window>`: the same finding of two workers is one. */
  _id: string;
  keyspace: string;
  /** Name of a partition, or of a node. */
  subject: string;
  of: 'partition' | 'node';
  /** Partitions to evaluate anew. */
  partitions: string[];
  /** Start of the window, Drover's time. */
  at: Date;
  foundAt: Date;
  /** The workflow that evaluated them anew; null where one had done so a short time before. */
  reevaluation?: string | null;
  reevaluatedAt?: Date;
}

interface StoredAnomaly extends AnomalyDocument {
  /** By the real clock: what a replay finds is old from the beginning. */
  expireAt: Date;
}

export class Anomalies {
  constructor(private readonly collection: Collection<StoredAnomaly>) {}

  /** Records findings that are not there yet. */
  async record(anomalies: readonly AnomalyDocument[]): Promise<void> {
    if (anomalies.length === 0) return;
    const expireAt = new Date(Date.now() + ANOMALIES_KEPT_MS);
    await this.collection.bulkWrite(
      anomalies.map(({ _id, ...anomaly }) => ({
        updateOne: { filter: { _id }, update: { $setOnInsert: { ...anomaly, expireAt } }, upsert: true },
      })),
      { ordered: false },
    );
  }

  /** Newest first. */
  async list(
    filter: { readonly keyspace?: string; readonly from?: Date; readonly reevaluation?: null | { $exists: boolean } },
    atMost = 100,
  ): Promise<AnomalyDocument[]> {
    const { from, ...rest } = filter;
    return this.collection
      .find<AnomalyDocument>(
        { ...rest, ...(from === undefined ? {} : { at: { $gte: from } }) },
        { sort: { at: -1, _id: 1 }, limit: atMost, projection: { expireAt: 0 } },
      )
      .toArray();
  }

  /** Partitions that have been evaluated anew since then. */
  async reevaluatedSince(keyspace: string, since: Date): Promise<Set<string>> {
    const names = await this.collection.distinct('partitions', {
      keyspace,
      reevaluation: { $type: 'string' },
      reevaluatedAt: { $gte: since },
    });
    return new Set(names);
  }

  async setReevaluation(ids: readonly string[], workflowId: string | null, at: Date): Promise<void> {
    if (ids.length === 0) return;
    await this.collection.updateMany(
      { _id: { $in: [...ids] }, reevaluation: { $exists: false } },
      { $set: { reevaluation: workflowId, reevaluatedAt: at } },
    );
  }
}
