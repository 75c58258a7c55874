import { MongoServerError } from 'mongodb';

/** As long as a server keeps a cursor that nobody reads from. */
const IDLE_MS = 600_000;
const LOOK_MS = 1_000;

/** A request that reads through cursors, at however many places, for as long as the application likes. */
export class LongRead {
  private usedAt = performance.now();
  private underWay = 0;
  private isOver = false;
  private readonly checks: (() => void)[] = [];

  get isGivenUp(): boolean {
    return this.isOver;
  }

  /**
   * Reads on.
   *
   * @throws MongoServerError `CursorNotFound` when what it reads from may have been removed meanwhile
   */
  async use<T>(request: () => Promise<T>): Promise<T> {
    if (this.isOver) throw cursorNotFound();
    this.underWay += 1;
    try {
      const answer = await request();
      for (const check of this.checks) check();
      return answer;
    } finally {
      this.underWay -= 1;
      this.usedAt = performance.now();
    }
  }

  /** @param check after each answer; throws when the answer can't be relied on */
  afterEach(check: () => void): void {
    this.checks.push(check);
  }

  /** What it reads from goes away: it can't be read on. */
  giveUp(): void {
    this.isOver = true;
  }

  /**
   * Goes on with an answer if that can be relied on.
   *
   * @throws MongoServerError `CursorNotFound` when it can't
   */
  rely(canBeReliedOn: boolean | Promise<boolean>): void | Promise<void> {
    if (typeof canBeReliedOn !== 'boolean') return canBeReliedOn.then((isSo) => this.rely(isSo));
    if (canBeReliedOn) return;
    this.isOver = true;
    throw cursorNotFound();
  }

  /** Gives it up when nobody has read for so long. @returns whether it is over */
  giveUpIfIdle(now: number): boolean {
    if (this.underWay === 0 && now - this.usedAt > IDLE_MS) this.isOver = true;
    return this.isOver;
  }
}

interface OpenRead {
  readonly node: string;
  readonly long: LongRead | undefined;
  /** When a long one was last looked at. */
  since: number;
}

/**
 * Reads of one partition that are under way, cursors included. The copy at a node that no longer has a part in it goes away
 * only when nobody reads there any more.
 */
export class OpenReads {
  private readonly reads = new Set<OpenRead>();
  private waiting: (() => void)[] = [];

  begin(node: string, long?: LongRead): OpenRead {
    const since = long === undefined ? 0 : performance.now();
    if (long !== undefined) this.forgetAbandoned(since);
    const read = { node, long, since };
    this.reads.add(read);
    return read;
  }

  end(read: OpenRead): void {
    this.reads.delete(read);
    if (this.waiting.length > 0) for (const look of this.waiting.splice(0)) look();
  }

  /** Ends when no node but these is read from; what nobody has read on for long is given up. */
  async only(nodes: readonly (string | null)[]): Promise<void> {
    while ([...this.reads].some((read) => !nodes.includes(read.node) && !read.long?.giveUpIfIdle(performance.now()))) {
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

  /** What is read at other nodes than these: nobody has waited for it. */
  giveUpElsewhere(nodes: readonly (string | null)[]): void {
    for (const { node, long } of this.reads) if (!nodes.includes(node)) long?.giveUp();
  }

  /** Cursors that were neither read to their end nor closed would pile up here. The oldest come first. */
  private forgetAbandoned(now: number): void {
    for (const read of this.reads) {
      if (read.long === undefined) continue;
      if (now - read.since <= IDLE_MS) return;
      this.reads.delete(read);
      // One that is read from slowly starts again at the end of the line.
      if (read.long.giveUpIfIdle(now)) continue;
      read.since = now;
      this.reads.add(read);
    }
  }
}

const cursorNotFound = (): MongoServerError =>
  new MongoServerError({
    message:
      'the cursor can not be read on: nobody had read from it for ten minutes, or its documents have moved: begin again',
    code: 43,
    codeName: 'CursorNotFound',
  });
