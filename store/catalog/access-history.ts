import type { Collection, Document, ErrorDescription } from 'mongodb';
import { MongoBulkWriteError, MongoServerError, ObjectId } from 'mongodb';
import type { AccessLatency, AccessRecord, AccessWindow } from '../../domain/access.js';
import { startOf, WINDOWS_PER_HOUR, windowsFrom } from '../../domain/access-roll-up.js';
import { distinctIn, HASHES_KEPT } from '../../domain/distinct-count.js';
import type { Served } from '../../domain/watch.js';
import type { TokenLoad } from '../../domain/weights.js';
import { tokenFromBson } from '../codec.js';
import { latenciesAt } from '../latency-sketch.js';
import { ServerError } from '../server-errors.js';
import { recordToDocument } from './access-documents.js';
import type { CountsDocument, RecordDocument } from './access-documents.js';
import type { AccessCollections } from './access-reads.js';
import { AccessReads } from './access-reads.js';
import { AccessTop } from './access-top.js';
import type { PartitionRange } from './partition-range.js';
import { inRange } from './partition-range.js';

/** Records in one command: some megabytes. */
const AT_ONCE = 1_000;

/**
 * What routers and logs tell of accesses, and what is asked of it. Records are as they were written for some hours, then they become
 * counts of windows and hours, and details of hours (access-roll-up.ts): of the time before, who asked for what is known hour
 * by hour.
 */
export class AccessHistory {
  readonly top: AccessTop;

  /** Length of the stretches that who asked for what is known of, after some hours. */
  readonly hourMs: number;

  private readonly reads: AccessReads;
  /** A caller that repeats what may have been written gives the same records: they get the same ids. */
  private readonly ids = new WeakMap<AccessRecord, string>();

  /** @param windowMs length of the windows that records are rolled up to */
  constructor(
    private readonly collections: AccessCollections,
    windowMs: number,
  ) {
    this.hourMs = WINDOWS_PER_HOUR * windowMs;
    this.reads = new AccessReads(collections, this.hourMs);
    this.top = new AccessTop(this.reads);
  }

  /** @param batch by which the records can be removed again, as long as the ingestion they are of is not through with it */
  async append(records: readonly AccessRecord[], batch?: string): Promise<void> {
    if (records.length === 0) return;
    const documents = records.map((record) => recordToDocument(record, this.idOf(record), batch));
    if (batch !== undefined) return this.appendMany(documents);
    try {
      await this.collections.records.insertMany(documents, { ordered: false });
    } catch (error) {
      if (!areThere(error)) throw error;
    }
  }

  private idOf(record: AccessRecord): string {
    const known = this.ids.get(record);
    if (known !== undefined) return known;
    const id = new ObjectId().toHexString();
    this.ids.set(record, id);
    return id;
  }

  /** Without what `insertMany` does to each document beforehand, which takes as long as writing it. A caller repeats what fails. */
  private async appendMany(documents: readonly RecordDocument[]): Promise<void> {
    const { db, collectionName } = this.collections.records;
    for (let at = 0; at < documents.length; at += AT_ONCE) {
      const { writeErrors = [], writeConcernError } = await db.command({
        insert: collectionName,
        documents: documents.slice(at, at + AT_ONCE),
        ordered: false,
        writeConcern: { w: 'majority' },
      });
      const [failure = writeConcernError] = writeErrors as Document[];
      if (failure !== undefined) throw new MongoServerError(failure as ErrorDescription);
    }
  }

  /** Removes what was appended under this name. */
  async removeBatch(batch: string): Promise<void> {
    await this.collections.records.deleteMany({ 'meta.batch': batch });
  }

  /** Windows `[from, to)` on a grid of `windowMs`, per partition and region, oldest first. */
  async windows(
    keyspace: string,
    from: number,
    to: number,
    windowMs: number,
    range: PartitionRange = {},
  ): Promise<AccessWindow[]> {
    const { hourMs } = this;
    const span = (first: number, end: number) => ({ time: { $gte: new Date(first), $lt: new Date(end) } });
    // Whether all windows of an hour are there is told by the hour: whole ones are looked at.
    const [first, end] = hourMs > windowMs ? [startOf(from, hourMs), Math.ceil(to / hourMs) * hourMs] : [from, to];
    const of = { 'meta.keyspace': keyspace, ...inRange('meta.partition', range) };
    const rows = await this.reads.counts(
      {
        counts: { ...of, tier: { $in: hourMs > windowMs ? ['window', 'hour'] : ['hour'] }, ...span(first, end) },
        records: { ...of, ...span(from, to) },
      },
      windowMs,
    );
    return windowsFrom(rows, windowMs).filter(({ start }) => start >= startOf(from, windowMs) && start < to);
  }

  /** Start of the first window that anything is known of, whatever the partition. Before it, routers did not report. */
  async firstWindow(keyspace: string, windowMs: number): Promise<number | undefined> {
    const { counts, records } = this.collections;
    // In this order: one that is rolled up meanwhile is found in either.
    const record = await oldestIn(records, { 'meta.keyspace': keyspace });
    const hour = await oldestIn(counts, { 'meta.keyspace': keyspace, tier: 'hour' });
    const time = Math.min(record?.getTime() ?? Infinity, hour?.getTime() ?? Infinity);
    if (time === Infinity) return undefined;
    // Of counts, it is only the hour: which of its windows is the first is asked for.
    const lengthMs = Math.max(this.hourMs, windowMs);
    const from = startOf(time, lengthMs);
    const [first] = await this.windows(keyspace, from, from + lengthMs, windowMs);
    return first?.start;
  }

  /** Whether anything is known of windows `[from, to)` of a grid, whatever the partition. */
  async isSilent(keyspace: string, from: number, to: number): Promise<boolean> {
    const { counts, records } = this.collections;
    const within = (start: number, end: number) => ({ $gte: new Date(start), $lt: new Date(end) });
    const of = { 'meta.keyspace': keyspace };
    const only = { projection: { _id: 1 } } as const;
    // In this order: one that is rolled up meanwhile is found in either.
    if ((await records.findOne({ ...of, time: within(from, to) }, only)) !== null) return false;
    if ((await counts.findOne({ ...of, tier: 'window', time: within(from, to) }, only)) !== null) return false;
    const { hourMs } = this;
    const hours = within(Math.ceil(from / hourMs) * hourMs, startOf(to, hourMs));
    return (await counts.findOne({ ...of, tier: 'hour', time: hours }, only)) === null;
  }

  /** Requests per client network and partition since `from`, and before `to`, busiest first. */
  async clients(
    keyspace: string,
    from: number,
    { to = Infinity, range = {} }: { readonly to?: number; readonly range?: PartitionRange | undefined } = {},
  ): Promise<Map<string, (readonly [network: string, requests: number])[]>> {
    const rows = await this.reads.details<{ _id: { partition: string; network: string }; requests: number }>(
      { 'meta.keyspace': keyspace, ...inRange('meta.partition', range) },
      { from, to },
      [
        { $unwind: '$clients' },
        {
          $group: {
            _id: { partition: '$meta.partition', network: { $arrayElemAt: ['$clients', 0] } },
            requests: { $sum: { $arrayElemAt: ['$clients', 1] } },
          },
        },
        { $sort: { requests: -1, '_id.network': 1 } },
      ],
    );
    const byPartition = new Map<string, (readonly [string, number])[]>();
    for (const { _id, requests } of rows) {
      const list = byPartition.get(_id.partition) ?? [];
      list.push([_id.network, requests]);
      byPartition.set(_id.partition, list);
    }
    return byPartition;
  }

  /**
   * How long requests since `from` took, over all routers, nodes and time: their sketches are merged. Partitions and regions whose
   * records have none are left out.
   *
   * @param quantiles in [0, 1]
   */
  async latencies(keyspace: string, from: number, quantiles: readonly number[]): Promise<AccessLatency[]> {
    const rows = await this.reads.details<{
      _id: { partition: string; region: string };
      bins: { bin: number; requests: number }[];
    }>({ 'meta.keyspace': keyspace }, { from }, [
      { $unwind: '$latencyMs.bins' },
      {
        $group: {
          _id: {
            partition: '$meta.partition',
            region: '$meta.region',
            bin: { $arrayElemAt: ['$latencyMs.bins', 0] },
          },
          requests: { $sum: { $arrayElemAt: ['$latencyMs.bins', 1] } },
        },
      },
      {
        $group: {
          _id: { partition: '$_id.partition', region: '$_id.region' },
          bins: { $push: { bin: '$_id.bin', requests: '$requests' } },
        },
      },
      { $sort: { '_id.partition': 1, '_id.region': 1 } },
    ]);
    return rows.map(({ _id, bins }) => ({
      ..._id,
      requests: bins.reduce((sum, { requests }) => sum + requests, 0),
      latencyMs: latenciesAt(
        quantiles,
        bins.map(({ bin, requests }) => [bin, requests]),
      ),
    }));
  }

  /** How many different client networks have used each partition since `from`, over all routers; to 6 % beyond 256. */
  async distinctClients(keyspace: string, from: number): Promise<Map<string, number>> {
    const rows = await this.reads.details<{ _id: string; sketch: unknown[] }>({ 'meta.keyspace': keyspace }, { from }, [
      { $unwind: '$distinctClients' },
      { $group: { _id: { partition: '$meta.partition', hash: '$distinctClients' } } },
      { $group: { _id: '$_id.partition', sketch: { $minN: { n: HASHES_KEPT, input: '$_id.hash' } } } },
    ]);
    return new Map(rows.map(({ _id, sketch }) => [_id, distinctIn(sketch.map(tokenFromBson))]));
  }

  /** How each node has served a partition since `from`, some minutes ago, by the node's name. */
  async served(keyspace: string, partition: string, from: number): Promise<Map<string, Served>> {
    const rows = await this.collections.records
      .aggregate<Served & { _id: string }>([
        {
          $match: {
            'meta.keyspace': keyspace,
            'meta.partition': partition,
            'meta.node': { $exists: true },
            time: { $gte: new Date(from) },
          },
        },
        {
          $group: {
            _id: '$meta.node',
            requests: { $sum: { $add: ['$reads', '$writes'] } },
            errors: { $sum: '$errors' },
            latencyMs: { $sum: '$latencyMs.sum' },
          },
        },
      ])
      .toArray();
    return new Map(rows.map(({ _id, ...served }) => [_id, served]));
  }

  /** Requests per token of one partition since `from`: where inside of it the load lies. */
  async tokenLoads(keyspace: string, partition: string, from: number): Promise<TokenLoad[]> {
    const rows = await this.reads.details<{ _id: unknown; load: number }>(
      { 'meta.keyspace': keyspace, 'meta.partition': partition },
      { from },
      [
        { $unwind: '$tokens' },
        {
          $group: { _id: { $arrayElemAt: ['$tokens', 0] }, load: { $sum: { $arrayElemAt: ['$tokens', 1] } } },
        },
        { $sort: { load: -1 } },
        { $limit: 10_000 },
      ],
    );
    return rows.map(({ _id, load }) => ({ token: tokenFromBson(_id), load }));
  }
}

/** By an index that ends with partition and time: one key is read for each partition. */
async function oldestIn<T extends RecordDocument | CountsDocument>(
  collection: Collection<T>,
  match: Readonly<Record<string, string>>,
): Promise<Date | undefined> {
  const [oldest] = await collection
    .aggregate<{ time: Date }>([
      { $match: match },
      { $sort: { ...Object.fromEntries(Object.keys(match).map((field) => [field, 1])), 'meta.partition': 1, time: 1 } },
      { $group: { _id: '$meta.partition', time: { $first: '$time' } } },
      { $group: { _id: null, time: { $min: '$time' } } },
    ])
    .toArray();
  return oldest?.time;
}

/** Whether all that failed is there already. */
function areThere(error: unknown): boolean {
  if (!(error instanceof MongoBulkWriteError) || error.result.getWriteConcernError() != null) return false;
  const refused = [error.writeErrors].flat();
  // Without any it wraps what is no answer of the server.
  return refused.length > 0 && refused.every(({ code }) => code === ServerError.duplicateKey);
}
