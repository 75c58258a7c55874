import { isUnknown } from './same-transaction.js';

/** Records that wait for the catalog: in busy times half a minute of some dozens of partitions. */
const WAITING = 2_048;

export interface RecordQueueOptions<R> {
  /** Such as `access records`. */
  readonly what: string;
  readonly write: (records: R[]) => Promise<void>;
  readonly onProblem: (problem: string, error: unknown) => void;
  /** Records that wait, those aside that are being written, or have to be written once more. */
  readonly atMost?: number;
  /** The same in fewer records, where too many wait. */
  readonly merge?: (records: readonly R[]) => R[];
}

/**
 * Writes records in the background, oldest first. While the catalog is away they wait for it, up to a bound; what is lost is
 * told. Nobody waits for it but who closes it.
 */
export class RecordQueue<R> {
  private waiting: R[] = [];
  /** May be in the catalog already: they are written again as they are, which is how the catalog knows them. */
  private tried: R[] = [];
  private lostRecords = 0;
  private writing: Promise<void> | undefined;

  constructor(private readonly options: RecordQueueOptions<R>) {}

  /** Records that wait for the catalog, and how many have been lost since the beginning. */
  get backlog(): { readonly waiting: number; readonly lost: number } {
    const again = this.writing === undefined ? this.tried.length : 0;
    return { waiting: again + this.waiting.length, lost: this.lostRecords };
  }

  add(record: R): void {
    this.waiting.push(record);
  }

  /** While earlier records are still being written, the later ones wait. */
  async flush(): Promise<void> {
    this.makeRoom();
    if (this.writing !== undefined) return;
    this.writing = this.writeAll().finally(() => (this.writing = undefined));
    await this.writing;
  }

  /** Ends when nothing is being written. */
  async idle(): Promise<void> {
    await this.writing;
  }

  private async writeAll(): Promise<void> {
    const { what, write, onProblem } = this.options;
    while (this.tried.length + this.waiting.length > 0) {
      if (this.tried.length === 0) this.tried = this.waiting.splice(0);
      try {
        await write(this.tried);
      } catch (error) {
        // What a server has refused it would refuse again.
        if (!isUnknown(error)) {
          this.lostRecords += this.tried.length;
          this.tried = [];
        }
        onProblem(`writing ${what}`, error);
        return;
      }
      this.tried = [];
    }
  }

  private makeRoom(): void {
    const { what, merge, atMost = WAITING, onProblem } = this.options;
    if (this.waiting.length > atMost && merge !== undefined) this.waiting = merge(this.waiting);
    const excess = this.waiting.length - atMost;
    if (excess <= 0) return;
    this.waiting.splice(0, excess);
    this.lostRecords += excess;
    onProblem(
      `keeping ${what}`,
      new Error(`${excess} ${what} are lost: more than ${atMost} were waiting for the catalog`),
    );
  }
}
