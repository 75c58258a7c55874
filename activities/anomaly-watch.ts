import { setImmediate } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Anomaly } from '../domain/anomaly.js';
import { AnomalyDetector } from '../domain/anomaly.js';
import { grouped } from '../domain/grouped.js';
import type { AccessHistory } from '../store/catalog/access-history.js';

/** So much history is asked for at once, at first and at most; */
const CHUNK_MS = { least: 3_600_000, most: 24 * 3_600_000 };
/** less where it has more rows than these: windows of one partition and region. */
const ROWS_AT_ONCE = 50_000;
/** A chunk grows by no more than this, as the next one may have more rows. */
const GROWTH = 2;
/** Partitions of a keyspace that are watched one by one, those that were used first: each takes about 70 kB. */
const MOST_WATCHED = 5_000;
/** Nodes are looked at in the newest windows alone: before, it is not known which partitions they had. */
const NODE_WINDOWS = 2;
/** Some milliseconds of work: a step is what one window takes of one series. */
const STEPS_AT_ONCE = 1_000;
/** So much takes a copy of a series; */
const STEPS_PER_COPY = 20;
/** and so little one value that is looked up in it. */
const STEPS_PER_VALUE = 0.02;

/** A finding, and where its window begins, milliseconds since 1970. */
export interface Found {
  readonly of: 'partition' | 'node';
  readonly subject: string;
  readonly at: number;
  readonly anomaly: Anomaly;
}

/**
 * Watches the requests to each partition of a keyspace, and to each node's partitions together, window by window.
 *
 * What it has learnt is in this process alone, as it can be learnt again from the access history: a new watch begins with that.
 */
export class AnomalyWatch {
  private end: number | undefined;
  /** What a partition is that nobody has asked anything of: those that are first seen late begin as copies of it. */
  private readonly unused: AnomalyDetector;
  private readonly partitions = new Map<string, AnomalyDetector>();
  private readonly nodes = new Map<string, NodeSeries>();
  private readonly found: Found[] = [];
  private steps = 0;

  constructor(
    private readonly access: AccessHistory,
    private readonly keyspace: string,
    private readonly windowMs: number,
    private readonly historyMs: number,
  ) {
    this.unused = this.newSeries();
  }

  /**
   * Looks at all windows up to `end`, on the grid. One that fails is taken up by the next, where it stood.
   *
   * @param owners node of each partition
   * @returns what was found, old windows included where they are seen for the first time, until it is {@link told}
   */
  async lookUpTo(end: number, owners: ReadonlyMap<string, string>, signal: AbortSignal): Promise<readonly Found[]> {
    this.end ??= Math.ceil((end - this.historyMs) / this.windowMs) * this.windowMs;
    let chunkMs = CHUNK_MS.least;
    while (this.end < end) {
      signal.throwIfAborted();
      const start = this.end;
      const to = Math.min(end, start + Math.max(1, Math.floor(chunkMs / this.windowMs)) * this.windowMs);
      const { byWindow, rows } = await this.totals(start, to);
      // Before the first record ever nothing is known, which is not the same as no requests.
      const first = this.unused.known > 0 ? start : Math.min(to, ...byWindow.keys());
      for (let at = first; at < to; at += this.windowMs) {
        await this.lookAt(
          at,
          byWindow.get(at) ?? NOTHING,
          at >= end - NODE_WINDOWS * this.windowMs ? owners : undefined,
        );
        this.end = at + this.windowMs;
      }
      this.end = to;
      const growth = Math.min(GROWTH, ROWS_AT_ONCE / Math.max(1, rows));
      chunkMs = Math.min(CHUNK_MS.most, Math.max(CHUNK_MS.least, growth * (to - start)));
    }
    return [...this.found];
  }

  /** What was found is recorded. */
  told(): void {
    this.found.length = 0;
  }

  /** Requests by window and partition. */
  private async totals(
    from: number,
    to: number,
  ): Promise<{ byWindow: Map<number, Map<string, number>>; rows: number }> {
    const byWindow = new Map<number, Map<string, number>>();
    const windows = await this.access.windows(this.keyspace, from, to, this.windowMs);
    for (const { start, partition, reads, writes, spread = false } of windows) {
      // Even shares of an hour are smoother than windows: what is usual for these would look like an anomaly.
      if (spread) continue;
      const requests = byWindow.get(start) ?? new Map<string, number>();
      byWindow.set(start, requests);
      requests.set(partition, (requests.get(partition) ?? 0) + reads + writes);
    }
    return { byWindow, rows: windows.length };
  }

  /** Nothing in here fails: a window is taken by all series, or by none. */
  private async lookAt(
    at: number,
    requests: ReadonlyMap<string, number>,
    owners: ReadonlyMap<string, string> | undefined,
  ): Promise<void> {
    this.found.push(...(await this.lookAtPartitions(at, requests)));
    if (owners === undefined) this.passNodes(requests);
    else this.found.push(...(await this.lookAtNodes(at, requests, owners)));
  }

  private async lookAtPartitions(at: number, requests: ReadonlyMap<string, number>): Promise<Found[]> {
    for (const name of requests.keys()) {
      if (this.partitions.has(name) || this.partitions.size === MOST_WATCHED) continue;
      this.partitions.set(name, this.unused.copy());
      if (this.isTimeToRest(STEPS_PER_COPY)) await setImmediate();
    }
    const found: Found[] = [];
    for (const [name, series] of this.partitions) {
      const anomaly = series.next(requests.get(name) ?? 0);
      if (anomaly !== undefined) found.push({ of: 'partition', subject: name, at, anomaly });
      if (this.isTimeToRest(1)) await setImmediate();
    }
    this.unused.next(0);
    return found;
  }

  private async lookAtNodes(
    at: number,
    requests: ReadonlyMap<string, number>,
    owners: ReadonlyMap<string, string>,
  ): Promise<Found[]> {
    const found: Found[] = [];
    const owned = [...this.partitions.keys()].filter((name) => owners.has(name));
    const members = grouped(owned, (name) => owners.get(name)!);
    for (const [node, names] of members) {
      const anomaly = (await this.nodeOf(node, names)).next(totalOf(names, requests));
      if (anomaly !== undefined) found.push({ of: 'node', subject: node, at, anomaly });
    }
    for (const node of this.nodes.keys()) if (!members.has(node)) this.nodes.delete(node);
    return found;
  }

  /** Nodes learn from the window as if they had had the partitions then that they were last seen with. */
  private passNodes(requests: ReadonlyMap<string, number>): void {
    for (const { names, series } of this.nodes.values()) series.next(totalOf(names, requests));
  }

  /** A partition that comes or goes is no anomaly of its node: what it had there before, or had not, is taken as if it had. */
  private async nodeOf(node: string, names: readonly string[]): Promise<AnomalyDetector> {
    const known = this.nodes.get(node);
    if (known !== undefined && isDeepStrictEqual(known.names, names)) return known.series;
    const series = this.newSeries();
    const own = names.map((name) => this.partitions.get(name)!);
    // The last window is the one that comes next.
    for (let i = Math.min(...own.map(({ known }) => known)) - 1; i > 0; i--) {
      series.next(own.reduce((sum, each) => sum + each.recent(i), 0));
      if (this.isTimeToRest(1 + STEPS_PER_VALUE * own.length)) await setImmediate();
    }
    this.nodes.set(node, { names, series });
    return series;
  }

  private newSeries(): AnomalyDetector {
    return new AnomalyDetector({ windowMs: this.windowMs, counts: true });
  }

  /** The process has other things to do, in which writes may be waiting. */
  private isTimeToRest(steps: number): boolean {
    this.steps += steps;
    if (this.steps < STEPS_AT_ONCE) return false;
    this.steps = 0;
    return true;
  }
}

interface NodeSeries {
  /** Partitions whose requests are added up. */
  readonly names: readonly string[];
  readonly series: AnomalyDetector;
}

const NOTHING: ReadonlyMap<string, number> = new Map();

const totalOf = (names: readonly string[], requests: ReadonlyMap<string, number>): number =>
  names.reduce((sum, name) => sum + (requests.get(name) ?? 0), 0);
