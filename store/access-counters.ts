import type { AccessRecord } from '../domain/access.js';
import { MAX_CLIENTS_PER_RECORD, MAX_TOKENS_PER_RECORD } from '../domain/access.js';
import { DistinctCount } from '../domain/distinct-count.js';
import { FrequentItems } from '../domain/frequent-items.js';
import type { Token } from '../domain/token.js';
import { latencyBin } from './latency-sketch.js';

/** Of one partition in one interval. Beyond twice as many different ones the frequent ones are kept. */
const TOKENS_COUNTED = 512;
const NETWORKS_COUNTED = 128;

/** What has been counted of one partition, from one region, in an interval: an access record in the making. */
export class AccessCounters {
  reads = 0;
  writes = 0;
  errors = 0;
  /** Of documents: read, written, and the requests that this is known of. */
  readonly bytes = { read: 0, written: 0, requests: 0 };
  private latencySum = 0;
  private latencyMax = 0;
  private readonly bins = new Map<number, number>();
  readonly tokens = new FrequentItems<Token>(TOKENS_COUNTED);
  readonly networks = new FrequentItems<string>(NETWORKS_COUNTED);
  readonly clients = new DistinctCount();

  constructor(
    readonly partition: string,
    /** That served the requests, where that is known. */
    readonly node: string | undefined,
    readonly region: string,
  ) {}

  addLatency(ms: number): void {
    this.latencySum += ms;
    if (ms > this.latencyMax) this.latencyMax = ms;
    const bin = latencyBin(ms);
    this.bins.set(bin, (this.bins.get(bin) ?? 0) + 1);
  }

  record(keyspace: string, time: number): AccessRecord {
    const { partition, node, region, reads, writes, errors, latencySum, latencyMax } = this;
    const { read, written, requests } = this.bytes;
    const bins = [...this.bins].sort((a, b) => a[0] - b[0]);
    const distinctClients = this.clients.sketch();
    return {
      keyspace,
      partition,
      ...(node === undefined ? {} : { node }),
      region,
      time,
      reads,
      writes,
      errors,
      latencyMs: { sum: latencySum, max: latencyMax, ...(bins.length === 0 ? {} : { bins }) },
      ...(read === 0 && written === 0 && requests === 0 ? {} : { bytes: { read, written, requests } }),
      clients: this.networks.top(MAX_CLIENTS_PER_RECORD),
      ...(distinctClients.length === 0 ? {} : { distinctClients }),
      tokens: this.tokens.top(MAX_TOKENS_PER_RECORD),
    };
  }
}
