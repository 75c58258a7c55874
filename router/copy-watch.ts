import { setTimeout as delay } from 'node:timers/promises';
import type { Db, Timestamp } from 'mongodb';
import type { Freshness, Look } from '../domain/copy-freshness.js';
import { freshness, withLook } from '../domain/copy-freshness.js';
import type { Direction } from '../domain/partition.js';
import { timeFromBson } from '../store/codec.js';
import { confirmedTime } from '../store/confirmed-time.js';
import { copyPosition } from '../store/copy-position.js';

/** Looks go on for so long after the last read that asked. */
const IDLE_MS = 10_000;
const SHORTEST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 1_000;
/** As long as nothing is known of the copy. */
const FIRST_PAUSE_MS = 250;
/** Looks within the time by which the copy may be behind. */
const LOOKS = 4;
const TIMEOUT_MS = 10_000;

/** A copy of a partition, and what replication it is kept by. */
export interface WatchedCopy {
  readonly migration: string;
  readonly direction: Direction;
  readonly origin: Db;
  /** Name of the origin's collection. */
  readonly collection: string;
  readonly copy: Db;
}

/** What a copy has for certain. */
export interface CopyState extends Freshness {
  /** Time of the copy's node at which it is there to be read. */
  readonly visibleAt: Timestamp;
}

/** Looks again and again how fresh a copy is, as long as reads ask for it: these don't wait for that. */
export class CopyWatch {
  private looks: Look[] = [];
  private state: CopyState | undefined;
  private wantedUntil = -Infinity;
  private pauseMs = LONGEST_PAUSE_MS;
  private running: Promise<void> | undefined;
  private readonly closing = new AbortController();

  constructor(
    private readonly watched: WatchedCopy,
    private readonly onProblem: (problem: string, error: unknown) => void,
  ) {}

  /** What the copy has, if it is behind by no more than that. It is known after some looks, so that the first reads get none. */
  within(maxStalenessMs: number): CopyState | undefined {
    const now = performance.now();
    this.wantedUntil = Math.max(this.wantedUntil, now + IDLE_MS);
    this.pauseMs = Math.min(this.pauseMs, Math.max(SHORTEST_PAUSE_MS, maxStalenessMs / LOOKS));
    this.running ??= this.run().finally(() => (this.running = undefined));
    return this.state !== undefined && now - this.state.asOf <= maxStalenessMs ? this.state : undefined;
  }

  /** The copy can't be read: until a look finds it again nothing is known of it. */
  forget(): void {
    this.looks = [];
    this.state = undefined;
  }

  get isIdle(): boolean {
    return this.running === undefined;
  }

  async close(): Promise<void> {
    this.closing.abort();
    await this.running;
  }

  private async run(): Promise<void> {
    const { signal } = this.closing;
    while (!signal.aborted && performance.now() < this.wantedUntil) {
      try {
        await this.look();
      } catch (error) {
        if (!signal.aborted) this.onProblem('looking how far behind a copy is', error);
      }
      const pauseMs = this.state === undefined ? Math.min(this.pauseMs, FIRST_PAUSE_MS) : this.pauseMs;
      await delay(pauseMs, undefined, { signal, ref: false }).catch(() => undefined);
    }
    this.pauseMs = LONGEST_PAUSE_MS;
    this.forget();
  }

  private async look(): Promise<void> {
    const { migration, direction, origin, collection, copy } = this.watched;
    const askedAt = performance.now();
    const { operationTime } = await confirmedTime(origin, collection, TIMEOUT_MS);
    const found = await copyPosition(copy, migration, direction, TIMEOUT_MS);
    if (found === undefined) return this.forget();
    const { position, visibleAt } = found;
    this.looks = withLook(this.looks, { askedAt, originTime: timeFromBson(operationTime), position });
    const fresh = freshness(this.looks);
    if (fresh !== undefined) this.state = { ...fresh, visibleAt };
  }
}
