import { DroverError } from '../domain/errors.js';

interface Waiting {
  /** By `performance.now()`. */
  readonly deadline: number;
  readonly comeIn: () => void;
  readonly giveUp: (reason: DroverError) => void;
  next: Waiting | undefined;
}

/**
 * Lets a few in at a time, in the order in which they came. Who waits costs little: a promise, and nothing of what the
 * driver needs for a request.
 */
export class Turnstile {
  private first: Waiting | undefined;
  private last: Waiting | undefined;
  private timer: NodeJS.Timeout | undefined;
  /** When the timer goes off. */
  private dueAt = Infinity;
  private closed: DroverError | undefined;

  constructor(
    private free: number,
    /** What is waited for, as errors say it. */
    private readonly what: string,
  ) {}

  /** Whoever has come in must `leave`. */
  tryEnter(): boolean {
    if (this.free === 0 || this.closed !== undefined) return false;
    this.free -= 1;
    return true;
  }

  /** @throws DroverError `TimedOut` at the deadline (milliseconds of `performance.now()`) */
  async enter(deadline: number): Promise<void> {
    if (this.tryEnter()) return;
    if (this.closed !== undefined) throw this.closed;
    await new Promise<void>((comeIn, giveUp) => {
      const waiting: Waiting = { deadline, comeIn, giveUp, next: undefined };
      if (this.last === undefined) this.first = waiting;
      else this.last.next = waiting;
      this.last = waiting;
      this.watch();
    });
  }

  leave(): void {
    const next = this.take();
    if (next === undefined) this.free += 1;
    else next.comeIn();
  }

  /** Turns away who waits, and who comes. */
  close(reason: DroverError): void {
    this.closed = reason;
    while (this.first !== undefined) this.take()!.giveUp(reason);
  }

  private take(): Waiting | undefined {
    const { first } = this;
    this.first = first?.next;
    if (this.first === undefined) this.last = undefined;
    this.watch();
    return first;
  }

  /** One timer is enough: who came first has, but for repetitions, the first deadline. */
  private watch(): void {
    const deadline = this.first?.deadline ?? Infinity;
    if (this.timer !== undefined && deadline !== Infinity && deadline >= this.dueAt) return;
    clearTimeout(this.timer);
    this.timer = undefined;
    this.dueAt = deadline;
    if (deadline === Infinity) return;
    this.timer = setTimeout(() => this.giveUp(), Math.max(1, deadline - performance.now()));
  }

  private giveUp(): void {
    this.timer = undefined;
    const now = performance.now();
    while (this.first !== undefined && this.first.deadline <= now) {
      this.take()!.giveUp(new DroverError('TimedOut', `a request waited too long for ${this.what}`));
    }
    this.watch();
  }
}
