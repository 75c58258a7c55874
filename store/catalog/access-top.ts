import { AccessCorrelation, SESSION_MS } from '../../domain/access-correlation.js';
import type { UsedTogether } from '../../domain/access-correlation.js';
import type { Token } from '../../domain/token.js';
import { tokenFromBson, tokenToBson } from '../codec.js';
import type { AccessReads } from './access-reads.js';
import type { PartitionRange } from './partition-range.js';
import { inRange } from './partition-range.js';

/** Of which windows is spoken: Drover's time, milliseconds; `to` does not belong to them. */
export interface AccessSpan {
  readonly keyspace: string;
  readonly from: number;
  readonly to: number;
}

/** Requests for one entity, at least: of each record only the busiest entities are known. */
export interface EntityRequests {
  readonly partition: string;
  readonly token: Token;
  readonly requests: number;
  readonly byRegion: ReadonlyMap<string, number>;
}

/** Sessions that are looked at, the newest. */
const MOST_SESSIONS = 200_000;

/** The busiest of what access records tell of. */
export class AccessTop {
  constructor(private readonly reads: AccessReads) {}

  async entities(span: AccessSpan, atMost: number, range: PartitionRange = {}): Promise<EntityRequests[]> {
    const of = { 'meta.keyspace': span.keyspace, ...inRange('meta.partition', range) };
    const rows = await this.reads.details<{
      _id: { partition: string; token: unknown };
      requests: number;
      regions: { region: string; requests: number }[];
    }>(of, span, [
      { $unwind: '$tokens' },
      {
        $group: {
          _id: {
            partition: '$meta.partition',
            token: { $arrayElemAt: ['$tokens', 0] },
            region: '$meta.region',
          },
          requests: { $sum: { $arrayElemAt: ['$tokens', 1] } },
        },
      },
      {
        $group: {
          _id: { partition: '$_id.partition', token: '$_id.token' },
          requests: { $sum: '$requests' },
          regions: { $push: { region: '$_id.region', requests: '$requests' } },
        },
      },
      { $sort: { requests: -1, '_id.token': 1 } },
      { $limit: atMost },
    ]);
    return rows.map(({ _id, requests, regions }) => ({
      partition: _id.partition,
      token: tokenFromBson(_id.token),
      requests,
      byRegion: new Map(regions.map((each) => [each.region, each.requests])),
    }));
  }

  /**
   * Requests for one entity, at least, by the beginning of each hour (milliseconds) in which it was among the busiest; hours as long
   * as those of roll-ups.
   */
  async entityHours(partition: string, token: Token, { keyspace, from, to }: AccessSpan): Promise<Map<number, number>> {
    const time = { $toLong: '$time' };
    const own = { $eq: [{ $arrayElemAt: ['$$each', 0] }, tokenToBson(token)] };
    const rows = await this.reads.details<{ _id: number; requests: number }>(
      { 'meta.keyspace': keyspace, 'meta.partition': partition },
      { from, to },
      [
        { $project: { time: 1, tokens: { $filter: { input: '$tokens', as: 'each', cond: own } } } },
        { $unwind: '$tokens' },
        {
          $group: {
            _id: { $toDouble: { $subtract: [time, { $mod: [time, this.reads.hourMs] }] } },
            requests: { $sum: { $arrayElemAt: ['$tokens', 1] } },
          },
        },
      ],
    );
    return new Map(rows.map(({ _id, requests }) => [_id, requests]));
  }

  /** Requests per client network, at least: of each record only the busiest networks are known. */
  async networks(span: AccessSpan, atMost: number): Promise<{ network: string; requests: number }[]> {
    const rows = await this.reads.details<{ _id: string; requests: number }>({ 'meta.keyspace': span.keyspace }, span, [
      { $unwind: '$clients' },
      {
        $group: {
          _id: { $arrayElemAt: ['$clients', 0] },
          requests: { $sum: { $arrayElemAt: ['$clients', 1] } },
        },
      },
      { $sort: { requests: -1, _id: 1 } },
      { $limit: atMost },
    ]);
    return rows.map(({ _id: network, requests }) => ({ network, requests }));
  }

  /**
   * Partitions that the same clients use within a minute, those that belong together most first; as far back as there are
   * single records.
   */
  async usedTogether({ keyspace, from, to }: AccessSpan, atMost: number): Promise<UsedTogether[]> {
    const time = { $toLong: '$time' };
    const sessions = this.reads.collections.records.aggregate<{ partitions: string[] }>(
      [
        { $match: { 'meta.keyspace': keyspace, time: { $gte: new Date(from), $lt: new Date(to) } } },
        { $unwind: '$clients' },
        {
          $group: {
            _id: { at: { $subtract: [time, { $mod: [time, SESSION_MS] }] }, client: { $arrayElemAt: ['$clients', 0] } },
            partitions: { $addToSet: '$meta.partition' },
          },
        },
        { $sort: { '_id.at': -1 } },
        { $limit: MOST_SESSIONS },
      ],
      { allowDiskUse: true },
    );
    const correlation = new AccessCorrelation();
    for await (const { partitions } of sessions) correlation.add(partitions);
    return correlation.top(atMost);
  }
}
