/** Keeps a stream of bytes below a rate by making its producer wait; 0 means no limit. */
export class Throttle {
  private readyAt = 0;

  constructor(
    private readonly bytesPerSecond: number,
    private readonly now: () => number = () => performance.now(),
    private readonly sleep: (ms: number) => Promise<void> = (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  ) {}

  /** Waits until `bytes` more may pass. */
  async take(bytes: number): Promise<void> {
    if (this.bytesPerSecond <= 0) return;
    const now = this.now();
    const start = Math.max(now, this.readyAt);
    this.readyAt = start + (bytes * 1000) / this.bytesPerSecond;
    if (start > now) await this.sleep(start - now);
  }
}
