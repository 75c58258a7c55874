import type { Collection } from 'mongodb';
import type { AccessRecord, AccessWindow } from '../../domain/access.js';
import type { Served } from '../../domain/watch.js';
import type { TokenLoad } from '../../domain/weights.js';
import { tokenFromBson, tokenToBson } from '../codec.js';

interface AccessDocument {
  /** Start of the router's flush interval. */
  time: Date;
  meta: { keyspace: string; partition: string; region: string; node?: string };
  reads: number;
  writes: number;
  errors: number;
  latencyMs: { sum: number; max: number };
  clients: (readonly [string, number])[];
  tokens: (readonly [ReturnType<typeof tokenToBson>, number])[];
}

/** Access records in a time-series collection, and what is asked of them. */
export class AccessHistory {
  constructor(private readonly collection: Collection<AccessDocument>) {}

  async append(records: readonly AccessRecord[]): Promise<void> {
    if (records.length === 0) return;
    await this.collection.insertMany(
      records.map(({ keyspace, partition, region, node, time, tokens, clients, latencyMs, reads, writes, errors }) => ({
        time: new Date(time),
        meta: { keyspace, partition, region, ...(node === undefined ? {} : { node }) },
        reads,
        writes,
        errors,
        latencyMs: { ...latencyMs },
        clients: [...clients],
        tokens: tokens.map(([token, requests]) => [tokenToBson(token), requests] as const),
      })),
      { ordered: false },
    );
  }

  /** Windows `[from, to)` on a grid of `windowMs`, per partition and region, oldest first. */
  async windows(keyspace: string, from: number, to: number, windowMs: number): Promise<AccessWindow[]> {
    const rows = await this.collection
      .aggregate<{
        _id: { partition: string; region: string; start: number };
        reads: number;
        writes: number;
        errors: number;
        latencyMsSum: number;
        latencyMsMax: number;
      }>([
        { $match: { 'meta.keyspace': keyspace, time: { $gte: new Date(from), $lt: new Date(to) } } },
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

  /** Requests per client network and partition since `from`, busiest first. */
  async clients(
    keyspace: string,
    from: number,
  ): Promise<Map<string, (readonly [network: string, requests: number])[]>> {
    const rows = await this.collection
      .aggregate<{ _id: { partition: string; network: string }; requests: number }>([
        { $match: { 'meta.keyspace': keyspace, time: { $gte: new Date(from) } } },
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
