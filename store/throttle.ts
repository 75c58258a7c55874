import { setTimeout as delay } from 'node:timers/promises';
import type { CopyLimits } from '../domain/copy-limits.js';
import { BYTES_PER_MEGABYTE } from '../domain/copy-limits.js';

/** However busy the nodes are: a move has to end some time. Bytes per second. */
const LEAST = 500_000;
/** What a limit lets through in so many milliseconds passes at once: the less that is, the less others wait for it. */
const AT_ONCE_MS = 20;
/** Where the limit is not reached with that, as each time takes longer, it becomes more, and less again when it is. */
const MORE_AT_ONCE = 1.5;
const LESS_AT_ONCE = 0.98;
const MOST_AT_ONCE_MS = 1_000;
/** Up to this one thing is done after the other; where more is needed, the limit is reached only with several under way. */
const ALONE_UP_TO_MS = 80;
/** Each time costs something: so many bytes, if that is no more than a limit lets through in a second. */
const LEAST_AT_ONCE = 16_384;
const SLOWER = 0.6;
const FASTER = 1.2;

/**
 * Keeps a stream of documents below a rate by making its producer wait. The rate is the one that was asked for, or less, as
 * whoever watches the nodes says.
 */
export class Throttle {
  private readonly most: number;
  private readonly mostDocuments: number;
  private readyAt = 0;
  private last: Promise<unknown> = Promise.resolve();
  private atOnceMs = AT_ONCE_MS;
  private allowed: number;
  private passed = 0;
  private countedSince: number;

  constructor(
    /** Bytes per second at most; 0 means no limit. */
    bytesPerSecond: number,
    /** The same for documents. */
    documentsPerSecond = 0,
    private readonly now: () => number = () => performance.now(),
    private readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void> = sleepUnlessAborted,
  ) {
    this.most = bytesPerSecond > 0 ? bytesPerSecond : Infinity;
    this.mostDocuments = documentsPerSecond > 0 ? documentsPerSecond : Infinity;
    this.allowed = this.most;
    this.countedSince = now();
  }

  static of({ maxMegabytesPerSecond = 0, maxDocumentsPerSecond = 0 }: Partial<CopyLimits>): Throttle {
    return new Throttle(maxMegabytesPerSecond * BYTES_PER_MEGABYTE, maxDocumentsPerSecond);
  }

  /** Bytes per second at this moment, `Infinity` without a limit of them. */
  get rate(): number {
    return this.allowed;
  }

  get isLimited(): boolean {
    return this.allowed !== Infinity || this.mostDocuments !== Infinity;
  }

  /** Of `most` bytes, as many as should be sent together. @param meanBytes of a document */
  atOnce(most: number, meanBytes: number): number {
    const perSecond = Math.min(this.allowed, this.mostDocuments * meanBytes);
    const least = Math.min(LEAST_AT_ONCE, perSecond);
    return Math.min(most, Math.max(least, (perSecond * this.atOnceMs) / 1000));
  }

  /** Waits until so much more may pass. @throws the reason of `signal`, as soon as it has one */
  async take(bytes: number, documents: number, signal?: AbortSignal): Promise<void> {
    this.passed += bytes;
    if (!this.isLimited) return;
    const now = this.now();
    const start = Math.max(now, this.readyAt);
    if (this.readyAt > 0) this.adjust(now > this.readyAt);
    this.readyAt = start + this.due(bytes, documents);
    if (start > now) await this.sleep(start - now, signal);
  }

  /** How long so much takes at the limit, milliseconds. */
  due(bytes: number, documents: number): number {
    return 1000 * Math.max(bytes / this.allowed, documents / this.mostDocuments);
  }

  /**
   * Where there is a limit, one thing after the other: whoever else wants something of the nodes is not kept waiting by a read and a
   * write at the same time.
   */
  alone<T>(work: () => Promise<T>): Promise<T> {
    if (!this.isLimited || this.atOnceMs > ALONE_UP_TO_MS) return work();
    const done = this.last.then(work);
    this.last = done.catch(() => undefined);
    return done;
  }

  private adjust(isLate: boolean): void {
    const changed = this.atOnceMs * (isLate ? MORE_AT_ONCE : LESS_AT_ONCE);
    this.atOnceMs = Math.min(MOST_AT_ONCE_MS, Math.max(AT_ONCE_MS, changed));
  }

  /** Clearly below what has passed a second since the last adjustment. */
  slowDown(): void {
    const passed = this.countAnew();
    const rate = Math.min(this.allowed, passed > 0 ? passed : this.allowed);
    if (rate !== Infinity) this.allowed = Math.max(Math.min(LEAST, this.most), rate * SLOWER);
  }

  /** A little, up to what was asked for; where the limit is far from being reached, there is none. */
  speedUp(): void {
    const passed = this.countAnew();
    this.allowed = Math.min(this.most, this.allowed * FASTER);
    if (this.allowed > 4 * passed && passed > 0) this.allowed = this.most;
  }

  private countAnew(): number {
    const now = this.now();
    const perSecond = (this.passed * 1000) / Math.max(1, now - this.countedSince);
    this.passed = 0;
    this.countedSince = now;
    return perSecond;
  }
}

/** A timer that is set for longer is over at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

async function sleepUnlessAborted(ms: number, signal?: AbortSignal): Promise<void> {
  try {
    for (let left = ms; left > 0; left -= LONGEST_TIMER_MS) {
      await delay(Math.min(left, LONGEST_TIMER_MS), undefined, { ...(signal && { signal }) });
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
