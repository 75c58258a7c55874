import { isUnknown } from './same-transaction.js';

/** Records that wait for the catalog: in busy times half a minute of some dozens of partitions. */
const WAITING = 2_048;

/**
 * Writes records in the background, oldest first. While the catalog is away they wait for it, up to a bound; what is lost is
 * told. Nobody waits for it but who closes it.
 */
export class RecordQueue<R> {
  private waiting: R[] = [];
  private lostRecords = 0;
  private writing: Promise<void> | undefined;

  constructor(
    /** Such as `access records`. */
    private readonly what: string,
    private readonly write: (records: R[]) => Promise<void>,
    private readonly onProblem: (problem: string, error: unknown) => void,
  ) {}

  /** Records that wait for the catalog, and how many have been lost since the beginning. */
  get backlog(): { readonly waiting: number; readonly lost: number } {
    return { waiting: this.waiting.length, lost: this.lostRecords };
  }

  add(record: R): void {
    this.waiting.push(record);
  }

  /** While earlier records are still being written, the later ones wait. */
  async flush(): Promise<void> {
    if (this.writing !== undefined) return this.dropOldest();
    if (this.waiting.length === 0) return;
    this.writing = this.attempt(this.waiting.splice(0)).finally(() => (this.writing = undefined));
    await this.writing;
  }

  /** Ends when nothing is being written. */
  async idle(): Promise<void> {
    await this.writing;
  }

  private async attempt(records: R[]): Promise<void> {
    try {
      await this.write(records);
    } catch (error) {
      // What a server has refused it would refuse again.
      if (isUnknown(error)) this.waiting.unshift(...records);
      else this.lostRecords += records.length;
      this.onProblem(`writing ${this.what}`, error);
      this.dropOldest();
    }
  }

  private dropOldest(): void {
    const excess = this.waiting.length - WAITING;
    if (excess <= 0) return;
    this.waiting.splice(0, excess);
    this.lostRecords += excess;
    const text = `${excess} ${this.what} are lost: more than ${WAITING} were waiting for the catalog`;
    this.onProblem(`keeping ${this.what}`, new Error(text));
  }
}
