import { setTimeout as delay } from 'node:timers/promises';
import type { ClusterTime } from '../domain/partition.js';
import type { Throttle } from './throttle.js';

/** A backlog is to be worked off at least so many times as fast as it was written. */
const GAIN = 2;
/** Times of changes are whole seconds. */
const EXACT_TO_S = 2;

/** For so long what has been gained counts. */
const WINDOW_MS = 10_000;

/** A part of a backlog. */
export interface BacklogPart {
  /** Of its last change. */
  readonly time: ClusterTime;
  readonly documents: number;
  readonly bytes: number;
  readonly tookMs: number;
}

/**
 * Lets others pass between the parts of a backlog of changes, where a move has a limit: it rests as long as each part has taken, and
 * longer where the limit asks for that. Whoever goes on writing meanwhile is gained on all the same: where a rest would be in the way
 * of that, there is none, however tight the limit, as the backlog would never end.
 */
export class BacklogPace {
  /** When one of its parts was done, by the clock and in the log; milliseconds and seconds. */
  private began: { readonly at: number; readonly logged: number } | undefined;

  constructor(
    private readonly throttle: Throttle,
    private readonly now: () => number = () => performance.now(),
    private readonly sleep = (ms: number, signal: AbortSignal): Promise<unknown> =>
      delay(ms, undefined, { signal }).catch(() => undefined),
  ) {}

  /** To be called after each part. Ends early with `signal`. */
  async rest({ time, documents, bytes, tookMs }: BacklogPart, signal: AbortSignal): Promise<void> {
    const logged = Number(time >> 32n);
    if (this.began === undefined || this.now() - this.began.at > WINDOW_MS) this.began = { at: this.now(), logged };
    const waitMs = Math.max(tookMs, this.throttle.due(bytes, documents) - tookMs);
    const elapsed = (this.now() + waitMs - this.began.at) / 1_000;
    if (logged - this.began.logged + EXACT_TO_S >= GAIN * elapsed) await this.sleep(waitMs, signal);
  }

  /** What has come is read: the next backlog is another one. */
  over(): void {
    this.began = undefined;
  }
}
