import { setTimeout as delay } from 'node:timers/promises';
import type { ClusterTime } from '../domain/partition.js';
import type { Throttle } from './throttle.js';

/** A backlog is to be worked off at least so many times as fast as it was written. */
const GAIN = 2;
/** Times of changes are whole seconds: the first rests come before a gain can be told, later ones only where there is one for certain. */
const [FIRST_SLACK_S, LATER_SLACK_S] = [2, -1];
/** For so long what has been gained counts, and at least for half of it. */
const WINDOW_MS = 10_000;
/** The server closes a cursor that nobody has read from for ten minutes. */
const LONGEST_MS = 300_000;

/** A part of a backlog. */
export interface BacklogPart {
  /** Of its last change. */
  readonly time: ClusterTime;
  readonly documents: number;
  readonly bytes: number;
  readonly tookMs: number;
}

/** When it went on behind a part, and where that was in the log; milliseconds and seconds. */
interface Mark {
  readonly at: number;
  readonly logged: number;
}

/**
 * Lets others pass between the parts of a backlog of changes, where a move has a limit: it rests as long as each part has taken, and
 * longer where the limit asks for that. Whoever goes on writing meanwhile is gained on all the same: where a rest would be in the way
 * of that, there is none, however tight the limit, as the backlog would never end.
 */
export class BacklogPace {
  /** From when on gains are counted, and from when next. */
  private began: Mark | undefined;
  private next: Mark | undefined;
  /** Whether there was time for a rest behind the last part. */
  isResting = true;

  constructor(
    private readonly throttle: Throttle,
    private readonly now: () => number = () => performance.now(),
    private readonly sleep = (ms: number, signal: AbortSignal): Promise<unknown> =>
      delay(ms, undefined, { signal }).catch(() => undefined),
  ) {}

  /** To be called after each part. Ends early with `signal`. */
  async rest({ time, documents, bytes, tookMs }: BacklogPart, signal: AbortSignal): Promise<void> {
    const [now, logged] = [this.now(), Number(time >> 32n)];
    const waitMs = Math.min(LONGEST_MS, Math.max(tookMs, this.throttle.due(bytes, documents) - tookMs));
    this.began ??= { at: now, logged: logged - FIRST_SLACK_S };
    const elapsed = (now + waitMs - this.began.at) / 1_000;
    this.isResting = logged - this.began.logged >= GAIN * elapsed;
    if (this.isResting) await this.sleep(waitMs, signal);
    const mark = { at: this.now(), logged: logged - LATER_SLACK_S };
    this.next ??= mark;
    if (mark.at - this.next.at > WINDOW_MS / 2) [this.began, this.next] = [this.next, mark];
  }
}
