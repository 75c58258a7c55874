import { setImmediate } from 'node:timers/promises';
import type { Anomaly } from '../domain/anomaly.js';
import { AnomalyDetector } from '../domain/anomaly.js';
import { grouped } from '../domain/grouped.js';
import type { AccessHistory } from '../store/catalog/access-history.js';

/** So much history is asked for at once. */
const CHUNK_MS = 24 * 3_600_000;
/** Partitions of a keyspace that are watched one by one, those that were used first: each takes about 70 kB. */
const MOST_WATCHED = 5_000;
/** Nodes are looked at in the newest windows alone: before, it is not known which partitions they had. */
const NODE_WINDOWS = 2;
/** Some milliseconds of work. */
const STEPS_AT_ONCE = 1_000;

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
  private readonly partitions = new Map<string, Series>();
  private readonly nodes = new Map<string, { readonly members: string; readonly series: Series }>();
  /** A window in which nothing was asked for is as long ago as the first one is known. */
  private windows = 0;

  constructor(
    private readonly access: AccessHistory,
    private readonly keyspace: string,
    private readonly windowMs: number,
    private readonly historyMs: number,
  ) {}

  /**
   * Looks at all windows up to `end`, on the grid.
   *
   * @param owners node of each partition
   * @returns what was found, old windows included where they are seen for the first time
   */
  async lookUpTo(end: number, owners: ReadonlyMap<string, string>, signal: AbortSignal): Promise<Found[]> {
    const found: Found[] = [];
    let steps = 0;
    const from = this.end ?? Math.ceil((end - this.historyMs) / this.windowMs) * this.windowMs;
    const chunkMs = Math.max(1, Math.floor(CHUNK_MS / this.windowMs)) * this.windowMs;
    for (let start = from; start < end; start += chunkMs) {
      signal.throwIfAborted();
      const to = Math.min(end, start + chunkMs);
      const totals = await this.totals(start, to);
      // Before the first record ever nothing is known, which is not the same as no requests.
      const first = this.windows > 0 ? start : Math.min(...totals.keys());
      for (let at = first; at < to; at += this.windowMs) {
        const isNew = at >= end - NODE_WINDOWS * this.windowMs;
        found.push(...this.next(at, totals.get(at) ?? NOTHING, isNew ? owners : undefined));
        steps += this.partitions.size;
        // The process has other things to do, in which writes may be waiting.
        if (steps > STEPS_AT_ONCE) {
          steps = 0;
          await setImmediate();
        }
      }
      this.end = to;
    }
    return found;
  }

  /** Requests by window and partition. */
  private async totals(from: number, to: number): Promise<Map<number, Map<string, number>>> {
    const byWindow = new Map<number, Map<string, number>>();
    for (const { start, partition, reads, writes, spread = false } of await this.access.windows(
      this.keyspace,
      from,
      to,
      this.windowMs,
    )) {
      // Even shares of an hour are smoother than windows: what is usual for these would look like an anomaly.
      if (spread) continue;
      const requests = byWindow.get(start) ?? new Map<string, number>();
      byWindow.set(start, requests);
      requests.set(partition, (requests.get(partition) ?? 0) + reads + writes);
    }
    return byWindow;
  }

  private *next(
    at: number,
    requests: ReadonlyMap<string, number>,
    owners: ReadonlyMap<string, string> | undefined,
  ): Generator<Found> {
    for (const name of requests.keys()) {
      if (this.partitions.has(name) || this.partitions.size === MOST_WATCHED) continue;
      this.partitions.set(name, new Series(this.windowMs, this.windows));
    }
    for (const [name, series] of this.partitions) {
      const anomaly = series.next(requests.get(name) ?? 0);
      if (anomaly !== undefined) yield { of: 'partition', subject: name, at, anomaly };
    }
    this.windows += 1;
    if (owners === undefined) {
      this.nodes.clear();
      return;
    }
    const owned = [...this.partitions.keys()].filter((name) => owners.has(name));
    for (const [node, names] of grouped(owned, (name) => owners.get(name)!)) {
      const total = names.reduce((sum, name) => sum + (requests.get(name) ?? 0), 0);
      const anomaly = this.nodeOf(node, names).next(total);
      if (anomaly !== undefined) yield { of: 'node', subject: node, at, anomaly };
    }
  }

  /** A partition that comes or goes is no anomaly of its node: what it had there before, or had not, is taken as if it had. */
  private nodeOf(node: string, names: readonly string[]): Series {
    const members = names.join('/');
    const known = this.nodes.get(node);
    if (known?.members === members) return known.series;
    const series = new Series(this.windowMs, 0);
    const own = names.map((name) => this.partitions.get(name)!);
    // The last window is the one that comes next.
    for (let i = Math.min(...own.map(({ length }) => length)) - 1; i > 0; i--) {
      series.next(own.reduce((sum, { recent }) => sum + recent(i), 0));
    }
    this.nodes.set(node, { members, series });
    return series;
  }
}

const NOTHING: ReadonlyMap<string, number> = new Map();
const MOST_ZEROS = 4 * 7 * 24 * 12;

class Series {
  private readonly detector: AnomalyDetector;

  /** @param zeros windows before, in which there was nothing */
  constructor(windowMs: number, zeros: number) {
    this.detector = new AnomalyDetector({ windowMs, counts: true });
    for (let i = 0; i < Math.min(zeros, MOST_ZEROS); i++) this.detector.next(0);
  }

  get length(): number {
    return this.detector.known;
  }

  /** The value `ago` windows before the last one. */
  readonly recent = (ago: number): number => this.detector.recent(ago);

  next(value: number): Anomaly | undefined {
    return this.detector.next(value);
  }
}
