import type { AccessRecord } from '../../domain/access.js';
import type { LatencyUnit } from '../../domain/access-log.js';
import { BadLine, parseBytes, parseFailed, parseLatency, parseOperation, parseTime } from '../../domain/access-log.js';
import { clientNetwork } from '../../domain/client-network.js';
import type { EntityUse } from '../../domain/entity-sessions.js';
import { EntitySessions, userOf } from '../../domain/entity-sessions.js';
import type { Partition } from '../../domain/partition.js';
import { tokensOf } from '../../domain/partition.js';
import type { Token } from '../../domain/token.js';
import { AccessCounters } from '../access-counters.js';
import { tokenOfKey } from '../key-token.js';
import type { LineValues } from './log-lines.js';

/** Keys, networks and times whose meaning is remembered: a log repeats them. */
const REMEMBERED = 65_536;
/** Places are numbered, so that counting needs no text. */
const MOST_REGIONS = 1_024;
/** A line from further ahead is not from this world. */
const AHEAD_MS = 24 * 3_600_000;
/** Nor, unless somebody says so, is one that is older. */
const OLDEST_MS = 20 * 365 * 24 * 3_600_000;

export interface AccessMeaning {
  readonly keyspace: string;
  readonly partitions: readonly Partition[];
  /** Length of a record's interval, milliseconds. */
  readonly bucketMs: number;
  /** Of lines that name none. */
  readonly region?: string | undefined;
  readonly latencyUnit: LatencyUnit;
  /** Whether bytes are those of the answer: of a line that writes, it is not known then how many were written. */
  readonly bytesAreOfAnswers?: boolean | undefined;
  /** The key as the application stores it, of what the log has; undefined for a line that is about something else. */
  readonly keyOf: (value: unknown) => unknown;
  /** No line can be from after this time, milliseconds since 1970. */
  readonly now: number;
  /** Nor from before this time. Default: 20 years before `now`. */
  readonly oldest?: number | undefined;
}

export interface Counted {
  readonly records: AccessRecord[];
  /** Which entities were used together. */
  readonly use: EntityUse[];
  readonly accesses: number;
  readonly skipped: number;
  readonly from: number;
  readonly to: number;
}

interface Place {
  readonly partition: number;
  readonly token: Token;
}

interface Client {
  readonly network: string;
  readonly hash: Token;
  readonly user: number | undefined;
}

/** Pairs of entities are stored so often, or when they are of more hours: each time it is a document of every hour. */
const USE_MS = 60_000;
const USE_HOURS = 8;
/** Entities and pairs of them that take as much room as an access record. */
const PER_RECORD = 32;

/** Turns what lines say into access records: counts per partition, region and interval. */
export class AccessBatch {
  private counters = new Map<number, AccessCounters>();
  private readonly regions: string[] = [];
  private readonly regionNumbers = new Map<string, number>();
  private readonly sorted: readonly Partition[];
  private readonly places = new Map<unknown, Place | null>();
  private readonly networks = new Map<string, Client>();
  /** Intervals are numbered from that of the first line on. */
  private firstInterval: number | undefined;
  private readonly sessions: EntitySessions;
  private useTakenAt = performance.now();
  private lastTime: unknown;
  private lastTimeMs = 0;
  /** Of the lines since the last take. */
  accesses = 0;
  skipped = 0;
  from = Infinity;
  to = -Infinity;

  constructor(private readonly meaning: AccessMeaning) {
    this.sorted = [...meaning.partitions].sort((a, b) => (tokensOf(a).low < tokensOf(b).low ? -1 : 1));
    this.sessions = new EntitySessions(meaning.keyspace);
  }

  /** Records that a take would give, with what it would give besides. */
  get size(): number {
    return this.counters.size + this.sessions.size / PER_RECORD;
  }

  /** @throws BadLine and DroverError `InvalidRequest` when the line can't be counted; then nothing of it is. */
  count([time, key, regionName, client, operation, status, latency, size]: LineValues): void {
    const { meaning } = this;
    const at = this.timeOf(time);
    const place = this.placeOf(key);
    const region = this.regionOf(regionName);
    const kind = parseOperation(operation);
    const failed = parseFailed(status);
    const ms = parseLatency(latency, meaning.latencyUnit);
    const bytes = parseBytes(size);
    const from =
      client === undefined || client === null || client === '' || client === '-' ? undefined : this.networkOf(client);
    if (place === null) {
      this.skipped += 1;
      return;
    }
    const interval = Math.floor(at / meaning.bucketMs);
    this.firstInterval ??= interval;
    const counters = this.countersOf(interval - this.firstInterval, place.partition, region);
    counters[kind] += 1;
    if (failed) counters.errors += 1;
    if (ms !== undefined) counters.addLatency(ms);
    if (bytes !== undefined) this.addBytes(counters, kind, bytes);
    counters.tokens.add(place.token);
    if (from !== undefined) {
      if (counters.networks.add(from.network)) counters.clients.add(from.hash);
      if (from.user !== undefined) this.sessions.add(from.user, at, place.token);
    }
    this.accesses += 1;
    if (at < this.from) this.from = at;
    if (at > this.to) this.to = at;
  }

  /** What has been counted since the last time. @param isEnd whether no line follows: otherwise sessions of users go on */
  take(isEnd = true): Counted {
    const { keyspace, bucketMs } = this.meaning;
    const perInterval = this.sorted.length * MOST_REGIONS;
    const first = this.firstInterval ?? 0;
    const records = [...this.counters].map(([place, counters]) =>
      counters.record(keyspace, (first + Math.floor(place / perInterval)) * bucketMs),
    );
    const { accesses, skipped, from, to } = this;
    this.counters = new Map();
    Object.assign(this, { accesses: 0, skipped: 0, from: Infinity, to: -Infinity });
    this.sessions.end(isEnd ? undefined : this.lastTimeMs);
    return { records, use: this.takeUse(isEnd), accesses, skipped, from, to };
  }

  private takeUse(isEnd: boolean): EntityUse[] {
    const now = performance.now();
    if (!isEnd && now - this.useTakenAt < USE_MS && this.sessions.hoursHeld <= USE_HOURS) return [];
    this.useTakenAt = now;
    return this.sessions.take();
  }

  private addBytes({ bytes: known }: AccessCounters, kind: 'reads' | 'writes', bytes: number): void {
    if (kind === 'reads') known.read += bytes;
    else if (this.meaning.bytesAreOfAnswers === true) return;
    else known.written += bytes;
    known.requests += 1;
  }

  private countersOf(interval: number, partition: number, region: number): AccessCounters {
    const place = (interval * this.sorted.length + partition) * MOST_REGIONS + region;
    let counters = this.counters.get(place);
    if (counters === undefined) {
      counters = new AccessCounters(this.sorted[partition]!.name, undefined, this.regions[region]!);
      this.counters.set(place, counters);
    }
    return counters;
  }

  private timeOf(time: unknown): number {
    if (time !== this.lastTime || time === undefined) {
      const ms = parseTime(time);
      if (ms > this.meaning.now + AHEAD_MS) throw new BadLine('it is from the future', time);
      if (ms < (this.meaning.oldest ?? this.meaning.now - OLDEST_MS)) {
        throw new BadLine('it is older than lines are thought to be (--oldest TIME has older ones counted)', time);
      }
      this.lastTime = time;
      this.lastTimeMs = ms;
    }
    return this.lastTimeMs;
  }

  private placeOf(value: unknown): Place | null {
    const known = this.places.get(value);
    if (known !== undefined) return known;
    if (value === undefined || value === null || value === '') throw new BadLine('it has no key');
    const key = this.meaning.keyOf(value);
    const place = key === undefined ? null : this.locate(tokenOfKey(key));
    if (this.places.size === REMEMBERED) this.places.clear();
    // Objects are never the same one again.
    if (typeof value !== 'object') this.places.set(value, place);
    return place;
  }

  private locate(token: Token): Place {
    let low = 0;
    let high = this.sorted.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (tokensOf(this.sorted[middle]!).low <= token) low = middle;
      else high = middle - 1;
    }
    return { partition: low, token };
  }

  private regionOf(value: unknown): number {
    const name = value === undefined || value === null || value === '' ? this.meaning.region : value;
    if (typeof name !== 'string') throw new BadLine('it has no region (--region names one for lines without)');
    let number = this.regionNumbers.get(name);
    if (number === undefined) {
      if (this.regions.length === MOST_REGIONS) throw new BadLine(`there are more than ${MOST_REGIONS} regions`);
      number = this.regions.push(name) - 1;
      this.regionNumbers.set(name, number);
    }
    return number;
  }

  private networkOf(value: unknown): Client {
    if (typeof value !== 'string') throw new BadLine('its client is not a text');
    let known = this.networks.get(value);
    if (known === undefined) {
      const network = clientNetwork(value);
      if (network === undefined) throw new BadLine('its client is neither an address nor a name');
      known = { network, hash: tokenOfKey(network), user: userOf(value) };
      if (this.networks.size === REMEMBERED) this.networks.clear();
      this.networks.set(value, known);
    }
    return known;
  }
}
