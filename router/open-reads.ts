import type { AbstractCursor } from 'mongodb';

/** The server closes a cursor that nobody has read from for so long. */
const IDLE_MS = 600_000;
const LOOK_MS = 1_000;

interface OpenRead {
  readonly node: string;
  readonly cursor?: AbstractCursor;
  /** What the cursor held when it was last looked at, and since when. */
  buffered: number;
  since: number;
}

/**
 * Reads of one partition that are under way, cursors included. The copy at a node that no longer has a part in it goes away
 * only when nobody reads there any more.
 */
export class OpenReads {
  private readonly reads = new Set<OpenRead>();
  private waiting: (() => void)[] = [];

  begin(node: string): OpenRead {
    const read = { node, buffered: 0, since: 0 };
    this.reads.add(read);
    return read;
  }

  end(read: OpenRead): void {
    this.reads.delete(read);
    if (this.waiting.length > 0) for (const look of this.waiting.splice(0)) look();
  }

  cursor(node: string, cursor: AbstractCursor): void {
    const now = performance.now();
    this.forgetAbandoned(now);
    const read: OpenRead = { node, cursor, buffered: -1, since: now };
    this.reads.add(read);
    cursor.once('close', () => this.end(read));
  }

  /** Ends when no node but these is read from; idle cursors are left out of the count. */
  async only(nodes: readonly (string | null)[]): Promise<void> {
    while ([...this.reads].some((read) => !nodes.includes(read.node) && !this.isIdle(read, performance.now()))) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, LOOK_MS);
        timer.unref();
        this.waiting.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  private isIdle(read: OpenRead, now: number): boolean {
    if (read.cursor === undefined) return false;
    const buffered = read.cursor.bufferedCount();
    if (buffered !== read.buffered) {
      read.buffered = buffered;
      read.since = now;
    }
    return now - read.since > IDLE_MS;
  }

  /** Cursors that were neither read to their end nor closed would pile up here. The oldest come first. */
  private forgetAbandoned(now: number): void {
    for (const read of this.reads) {
      if (read.cursor === undefined) continue;
      if (now - read.since <= IDLE_MS) return;
      this.reads.delete(read);
      // One that is read from slowly starts again at the end of the line.
      if (!this.isIdle(read, now)) this.reads.add(read);
    }
  }
}
