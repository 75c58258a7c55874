import type { AccessRecord, Origin } from '../domain/access.js';
import { mergedRecords } from '../domain/merged-records.js';
import type { Token } from '../domain/token.js';
import { AccessCounters } from '../store/access-counters.js';
import { tokenOfKey } from '../store/key-token.js';
import type { EntityRecorder } from './entity-recorder.js';
import { RecordQueue } from './record-queue.js';
import { SampledSizes } from './sampled-sizes.js';

/** Partitions, by node and region, in one interval; requests to others are not counted. */
const PLACES = 4_096;
/** Records that wait for the catalog: at least two intervals, or a minute and what came since it was merged. */
const WAITING = 2 * PLACES;
/** An interval with so many requests is ended early: what it takes in memory is bounded. */
const REQUESTS = 100_000;
/** Networks whose hashes are remembered. */
const HASHES = 4_096;

export interface AccessRecorderOptions {
  readonly flushMs: number;
  /** Drover's time, milliseconds. */
  readonly now: () => number;
  /** In [0, 1). */
  readonly random: () => number;
  /** Without it nothing is counted. */
  readonly write?: ((records: AccessRecord[]) => Promise<void>) | undefined;
  readonly onProblem: (problem: string, error: unknown) => void;
  readonly entities?: EntityRecorder | undefined;
}

/** Where bytes went, or came from. */
export interface AccessPlace {
  readonly origin: Origin;
  readonly keyspace: string;
  readonly partition: string;
  readonly node: string;
}

/**
 * Counts requests per partition, node and region, and the bytes of the documents that they carry, and writes the counts in the
 * background. What is lost when the process dies is one flush interval. Nothing here fails or delays a request: while the catalog is
 * away, records wait for it, up to a bound; what is not counted or lost is told.
 */
export class AccessRecorder {
  private counters = new Map<string, Map<string, AccessCounters[]>>();
  private places = 0;
  private requests = 0;
  private notCounted = 0;
  private since: number;
  /** Records of ended intervals. */
  private readonly ended: RecordQueue<AccessRecord>;
  private readonly sizes: SampledSizes;
  private readonly hashes = new Map<string, Token>();
  private readonly timer: NodeJS.Timeout;

  constructor(private readonly options: AccessRecorderOptions) {
    this.since = options.now();
    this.sizes = new SampledSizes(options.random);
    const { write = () => Promise.resolve(), onProblem } = options;
    this.ended = new RecordQueue({
      ...{ what: 'access records', write, onProblem, atMost: WAITING },
      merge: mergedRecords,
    });
    this.timer = setInterval(() => void this.flush(), options.flushMs);
    this.timer.unref();
  }

  /** Beside {@link count}: which entities requests are for. */
  get entities(): EntityRecorder | undefined {
    return this.options.entities;
  }

  /** Records that wait for the catalog, and how many have been lost since the beginning. */
  get backlog(): { readonly waiting: number; readonly lost: number } {
    return this.ended.backlog;
  }

  /**
   * @param node that served the request: what owned the token when it was over, or had the copy that was read
   * @param token of the key, if the request was for one
   * @param latencyMs from the call to its acknowledgement, waiting included
   */
  count(
    { region, network }: Origin,
    keyspace: string,
    partition: string,
    node: string,
    token: Token | undefined,
    kind: 'reads' | 'writes',
    latencyMs: number,
    failed: boolean,
  ): void {
    if (this.options.write === undefined) return;
    const counters = this.countersOf(keyspace, partition, node, region);
    if (counters === undefined) {
      this.notCounted += 1;
      return;
    }
    counters[kind] += 1;
    counters.bytes.requests += 1;
    if (failed) counters.errors += 1;
    counters.addLatency(latencyMs);
    if (token !== undefined) counters.tokens.add(token);
    if (network !== undefined && counters.networks.add(network)) counters.clients.add(this.hashOf(network));
    this.requests += 1;
    if (this.requests === REQUESTS) setImmediate(() => void this.flush());
  }

  /** The bytes of a document, or of several in a list: an estimate, and nearly always 0 ({@link SampledSizes}). */
  bytesOf(documents: unknown): number {
    return this.options.write === undefined ? 0 : this.sizes.of(documents);
  }

  /** Beside {@link count}: the documents of a cursor come before and after its request is counted. */
  addBytes({ origin, keyspace, partition, node }: AccessPlace, direction: 'read' | 'written', bytes: number): void {
    const counters = this.countersOf(keyspace, partition, node, origin.region);
    if (counters !== undefined) counters.bytes[direction] += bytes;
  }

  /** Ends the interval. While earlier records are still being written, those of this one wait. */
  flush(): Promise<void> {
    this.endInterval();
    return this.ended.flush();
  }

  async close(): Promise<void> {
    clearInterval(this.timer);
    await this.ended.idle();
    await this.flush();
  }

  private countersOf(keyspace: string, partition: string, node: string, region: string): AccessCounters | undefined {
    let partitions = this.counters.get(keyspace);
    let places = partitions?.get(partition);
    if (places !== undefined)
      for (const place of places) if (place.node === node && place.region === region) return place;
    if (this.places === PLACES) return undefined;
    this.places += 1;
    if (partitions === undefined) this.counters.set(keyspace, (partitions = new Map()));
    if (places === undefined) partitions.set(partition, (places = []));
    const counters = new AccessCounters(partition, node, region);
    places.push(counters);
    return counters;
  }

  private endInterval(): void {
    const time = this.since;
    this.since = this.options.now();
    if (this.places === 0) return;
    for (const [keyspace, partitions] of this.counters) {
      for (const places of partitions.values()) {
        for (const counters of places) this.ended.add(counters.record(keyspace, time));
      }
    }
    this.counters = new Map();
    this.places = 0;
    this.requests = 0;
    this.sizes.begin();
    this.tellNotCounted();
  }

  private tellNotCounted(): void {
    if (this.notCounted === 0) return;
    const text = `${this.notCounted} requests were not counted: they were of more than ${PLACES} partitions, nodes and regions in one interval`;
    this.notCounted = 0;
    this.options.onProblem('counting requests', new Error(text));
  }

  private hashOf(network: string): Token {
    let hash = this.hashes.get(network);
    if (hash === undefined) {
      hash = tokenOfKey(network);
      if (this.hashes.size === HASHES) this.hashes.clear();
      this.hashes.set(network, hash);
    }
    return hash;
  }
}
