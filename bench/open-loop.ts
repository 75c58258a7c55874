/** Times of arrival of independent requests, milliseconds from the start: a Poisson process of `rate` a second. */
export function* arrivals(rate: number, random: () => number): Generator<number, never> {
  for (let at = 0; ;) {
    at += (-Math.log(1 - random()) * 1000) / rate;
    yield at;
  }
}

/** Milliseconds since 1970 with fractions: comparable between the processes of one machine. */
export const wallClock = (): number => performance.timeOrigin + performance.now();

/** When each request was meant to be sent and when its answer came; both by {@link wallClock}, in pairs. */
export interface Waits {
  readonly intended: Float64Array;
  readonly answered: Float64Array;
}

const TICK_MS = 1;

/**
 * Sends requests when they are due, whether or not earlier ones have been answered, as the many clients of a service do.
 * A wait counts from the intended time: whatever keeps this process from sending, counts too, and a slow answer can't
 * keep later requests from being measured.
 */
export class OpenLoop {
  private readonly intended: number[] = [];
  private readonly answered: number[] = [];
  private readonly underWay = new Set<Promise<void>>();
  private readonly startedAt = wallClock();
  private timer: NodeJS.Timeout | undefined;
  private next: number;

  constructor(
    private readonly schedule: Iterator<number, never>,
    /** Must not reject. */
    private readonly send: () => Promise<void>,
  ) {
    this.next = this.startedAt + schedule.next().value;
    this.tick();
  }

  private readonly tick = (): void => {
    for (const now = wallClock(); this.next <= now; this.next = this.startedAt + this.schedule.next().value) {
      const request = this.one(this.next);
      this.underWay.add(request);
      void request.then(() => this.underWay.delete(request));
    }
    this.timer = setTimeout(this.tick, TICK_MS);
  };

  private async one(due: number): Promise<void> {
    await this.send();
    this.intended.push(due);
    this.answered.push(wallClock());
  }

  /** Sends nothing more, and waits for every answer. */
  async stop(): Promise<Waits> {
    clearTimeout(this.timer);
    await Promise.all(this.underWay);
    return { intended: Float64Array.from(this.intended), answered: Float64Array.from(this.answered) };
  }
}
