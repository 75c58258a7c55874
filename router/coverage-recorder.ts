import type { CountedSpan } from '../store/catalog/access-coverage.js';

export interface CoverageRecorderOptions {
  readonly everyMs: number;
  readonly write: (spans: readonly CountedSpan[]) => Promise<void>;
  readonly onProblem: (problem: string, error: unknown) => void;
}

/** Tells the catalog now and then from when until when all requests to a keyspace are in the access records that it has. */
export class CoverageRecorder {
  /** By keyspace. */
  private readonly since = new Map<string, number>();
  private lost = 0;
  private toldAt = -Infinity;
  private telling: Promise<void> = Promise.resolve();
  private isTelling = false;

  constructor(private readonly options: CoverageRecorderOptions) {}

  /** There are requests to the keyspace in an interval that begins then; Drover's time, milliseconds. */
  counted(keyspace: string, from: number): void {
    if (!this.since.has(keyspace)) this.since.set(keyspace, from);
  }

  /**
   * All that was counted before `until` is in the catalog.
   *
   * @param lost records that are not there, since the beginning: from then to now nothing is covered
   */
  written(until: number, lost: number): void {
    if (lost > this.lost) {
      this.since.clear();
      this.lost = lost;
    }
    if (this.isTelling || performance.now() - this.toldAt < this.options.everyMs) return;
    void this.tell(until, false);
  }

  /** The last one. */
  async close(until: number): Promise<void> {
    await this.telling;
    await this.tell(until, true);
  }

  private tell(until: number, ended: boolean): Promise<void> {
    const spans = [...this.since].map(([keyspace, from]) => ({ keyspace, from, until, ended }));
    if (spans.length === 0) return Promise.resolve();
    this.isTelling = true;
    this.toldAt = performance.now();
    this.telling = this.options
      .write(spans)
      .catch((error: unknown) => this.options.onProblem('writing from when until when accesses were counted', error))
      .finally(() => (this.isTelling = false));
    return this.telling;
  }
}
