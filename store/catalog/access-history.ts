import type { Collection, Document, ErrorDescription } from 'mongodb';
import { MongoServerError } from 'mongodb';
import type { AccessLatency, AccessRecord, AccessWindow } from '../../domain/access.js';
import { distinctIn, HASHES_KEPT } from '../../domain/distinct-count.js';
import type { Served } from '../../domain/watch.js';
import type { TokenLoad } from '../../domain/weights.js';
import { tokenFromBson, tokenToBson } from '../codec.js';
import { latenciesAt } from '../latency-sketch.js';
import type { PartitionRange } from './partition-range.js';
import { inRange } from './partition-range.js';
import { AccessTop } from './access-top.js';

interface AccessDocument {
  /** Start of the router's flush interval. */
  time: Date;
  meta: { keyspace: string; partition: string; region: string; node?: string; batch?: string };
  reads: number;
  writes: number;
  errors: number;
  latencyMs: { sum: number; max: number; bins?: (readonly [number, number])[] };
  clients: (readonly [string, number])[];
  distinctClients?: ReturnType<typeof tokenToBson>[];
  tokens: (readonly [ReturnType<typeof tokenToBson>, number])[];
}

/** Records of this age are left alone: most of their time is still to come. */
const YOUNG_S = 30 * 24 * 3600;

/** Records in one command: some megabytes. */
const AT_ONCE = 1_000;

/** How long access records are kept at least, in seconds. */
export const RETENTION_S = 90 * 24 * 3600;

/** Access records in a time-series collection, and what is asked of them. */
export class AccessHistory {
  /** What it was last seen to be, at least. */
  private keptSeconds = RETENTION_S;

  readonly top: AccessTop;

  constructor(private readonly collection: Collection<AccessDocument>) {
    this.top = new AccessTop(collection as unknown as Collection);
  }

  /** @param batch by which the records can be removed again */
  async append(records: readonly AccessRecord[], batch?: string): Promise<void> {
    if (records.length === 0) return;
    const documents = records.map((record) => toDocument(record, batch));
    if (batch === undefined) await this.collection.insertMany(documents, { ordered: false });
    else await this.appendMany(documents);
  }

  /** Without what `insertMany` does to each document beforehand, which takes as long as writing it. A caller repeats what fails. */
  private async appendMany(documents: readonly AccessDocument[]): Promise<void> {
    const { db, collectionName } = this.collection;
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
    await this.collection.deleteMany({ 'meta.batch': batch });
  }

  /**
   * Has records from this time on be kept as long as those of today: the server deletes by their age, and what a log or a replay
   * brings may be old from the beginning.
   */
  async keepFrom(time: Date | undefined): Promise<void> {
    const age = Math.ceil((Date.now() - (time?.getTime() ?? Infinity)) / 1000);
    const wanted = RETENTION_S + age;
    if (age <= YOUNG_S || wanted <= this.keptSeconds) return;
    const { db, collectionName } = this.collection;
    const [info] = await db
      .listCollections<{ name: string; type: string; options?: { expireAfterSeconds?: number } }>(
        { name: collectionName },
        { nameOnly: false },
      )
      .toArray();
    this.keptSeconds = info?.options?.expireAfterSeconds ?? RETENTION_S;
    if (wanted <= this.keptSeconds) return;
    // More than is needed, so that it does not have to be changed again soon.
    const seconds = wanted + RETENTION_S;
    await db.command({ collMod: collectionName, expireAfterSeconds: seconds });
    this.keptSeconds = seconds;
  }

  /** Windows `[from, to)` on a grid of `windowMs`, per partition and region, oldest first. */
  async windows(
    keyspace: string,
    from: number,
    to: number,
    windowMs: number,
    range: PartitionRange = {},
  ): Promise<AccessWindow[]> {
    const rows = await this.collection
      .aggregate<{
        _id: { partition: string; region: string; start: number };
        reads: number;
        writes: number;
        errors: number;
        latencyMsSum: number;
        latencyMsMax: number;
      }>([
        {
          $match: {
            'meta.keyspace': keyspace,
            ...inRange('meta.partition', range),
            time: { $gte: new Date(from), $lt: new Date(to) },
          },
        },
        {
          $group: {
            _id: {
              partition: '$meta.partition',
              region: '$meta.region',
              start: { $subtract: [{ $toLong: '$time' }, { $mod: [{ $toLong: '$time' }, windowMs] }] },
            },
            reads: { $sum: '$reads' },
            writes: { $sum: '$writes' },
            errors: { $sum: '$errors' },
            latencyMsSum: { $sum: '$latencyMs.sum' },
            latencyMsMax: { $max: '$latencyMs.max' },
          },
        },
        { $sort: { '_id.start': 1, '_id.partition': 1, '_id.region': 1 } },
      ])
      .toArray();
    return rows.map(({ _id, ...sums }) => ({ ..._id, start: Number(_id.start), ...sums, clients: [] }));
  }

  /** Requests per client network and partition since `from`, and before `to`, busiest first. */
  async clients(
    keyspace: string,
    from: number,
    to = Infinity,
  ): Promise<Map<string, (readonly [network: string, requests: number])[]>> {
    const rows = await this.collection
      .aggregate<{ _id: { partition: string; network: string }; requests: number }>([
        {
          $match: {
            'meta.keyspace': keyspace,
            time: { $gte: new Date(from), ...(to === Infinity ? {} : { $lt: new Date(to) }) },
          },
        },
        { $unwind: '$clients' },
        {
          $group: {
            _id: { partition: '$meta.partition', network: { $arrayElemAt: ['$clients', 0] } },
            requests: { $sum: { $arrayElemAt: ['$clients', 1] } },
          },
        },
        { $sort: { requests: -1, '_id.network': 1 } },
      ])
      .toArray();
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
    const rows = await this.collection
      .aggregate<{ _id: { partition: string; region: string }; bins: { bin: number; requests: number }[] }>([
        { $match: { 'meta.keyspace': keyspace, time: { $gte: new Date(from) } } },
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
      ])
      .toArray();
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
    const rows = await this.collection
      .aggregate<{ _id: string; sketch: unknown[] }>([
        { $match: { 'meta.keyspace': keyspace, time: { $gte: new Date(from) } } },
        { $unwind: '$distinctClients' },
        { $group: { _id: { partition: '$meta.partition', hash: '$distinctClients' } } },
        { $group: { _id: '$_id.partition', sketch: { $minN: { n: HASHES_KEPT, input: '$_id.hash' } } } },
      ])
      .toArray();
    return new Map(rows.map(({ _id, sketch }) => [_id, distinctIn(sketch.map(tokenFromBson))]));
  }

  /** How each node has served a partition since `from`, by the node's name. */
  async served(keyspace: string, partition: string, from: number): Promise<Map<string, Served>> {
    const rows = await this.collection
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
    const rows = await this.collection
      .aggregate<{ _id: unknown; load: number }>([
        { $match: { 'meta.keyspace': keyspace, 'meta.partition': partition, time: { $gte: new Date(from) } } },
        { $unwind: '$tokens' },
        {
          $group: { _id: { $arrayElemAt: ['$tokens', 0] }, load: { $sum: { $arrayElemAt: ['$tokens', 1] } } },
        },
        { $sort: { load: -1 } },
        { $limit: 10_000 },
      ])
      .toArray();
    return rows.map(({ _id, load }) => ({ token: tokenFromBson(_id), load }));
  }
}

function toDocument(record: AccessRecord, batch: string | undefined): AccessDocument {
  const { keyspace, partition, region, node, time, tokens, clients, latencyMs, distinctClients, ...counts } = record;
  const { bins, ...latency } = latencyMs;
  return {
    time: new Date(time),
    meta: {
      keyspace,
      partition,
      region,
      ...(node === undefined ? {} : { node }),
      ...(batch === undefined ? {} : { batch }),
    },
    ...counts,
    latencyMs: { ...latency, ...(bins === undefined ? {} : { bins: [...bins] }) },
    clients: [...clients],
    ...(distinctClients === undefined ? {} : { distinctClients: distinctClients.map(tokenToBson) }),
    tokens: tokens.map(([token, requests]) => [tokenToBson(token), requests] as const),
  };
}
