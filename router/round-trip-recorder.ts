import type { NodePool } from '../store/node-pool.js';

export interface RoundTripRecorderOptions {
  readonly everyMs: number;
  readonly nodes: Pick<NodePool, 'roundTripMs'>;
  readonly write?: ((roundTrips: ReadonlyMap<string, number>) => Promise<void>) | undefined;
  readonly onProblem: (problem: string, error: unknown) => void;
}

/**
 * Tells the catalog how far each node is from here. The driver measures it anyway, to know which server is near: nothing is sent to
 * the nodes for it.
 */
export class RoundTripRecorder {
  private readonly timer: NodeJS.Timeout;
  private writing: Promise<void> = Promise.resolve();
  private isWriting = false;

  constructor(private readonly options: RoundTripRecorderOptions) {
    this.timer = setInterval(() => void this.flush(), options.everyMs);
    this.timer.unref();
  }

  /** While the catalog is slow or away, what is measured meanwhile is left out: only the newest matters. */
  flush(): Promise<void> {
    const { nodes, write } = this.options;
    if (write === undefined || this.isWriting) return this.writing;
    this.isWriting = true;
    this.writing = write(nodes.roundTripMs)
      .catch((error: unknown) => this.options.onProblem('writing round trips', error))
      .finally(() => (this.isWriting = false));
    return this.writing;
  }

  async close(): Promise<void> {
    clearInterval(this.timer);
    await this.writing;
    await this.flush();
  }
}
