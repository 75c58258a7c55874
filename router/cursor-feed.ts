import type { ClientSession, Document } from 'mongodb';
import type { Batches } from './batches.js';
import { DriverAnswer } from './driver-answer.js';
import { LongRead } from './open-reads.js';

type Documents = Batches<Document | Uint8Array>;

/** What a cursor of the driver is given in place of a server's answers: from the first one on, as often as it is begun. */
export class CursorFeed {
  /** Of all that is read since it was begun last. */
  long = new LongRead();
  private batches: Documents | undefined;
  private ended = false;

  /** @returns the first answer, as the driver's classes take it */
  async first(session: ClientSession, open: () => Promise<Documents>) {
    this.ended = false;
    for (;;) {
      await this.batches?.close();
      this.long = new LongRead();
      try {
        this.batches = await open();
        return { server: undefined, session, response: await this.next() };
      } catch (error) {
        // Its documents were no longer where it was asked: nothing of it has been given out.
        if (!this.long.isGivenUp || this.ended) throw error;
      }
    }
  }

  /** The next answer. After an error, at the end, or when it was closed meanwhile, nothing is left open. */
  async next(): Promise<DriverAnswer> {
    const batches = this.batches!;
    try {
      const answer = await this.long.use(() => DriverAnswer.of(batches));
      if (!this.ended && !answer.id.isZero()) return answer;
    } catch (error) {
      await batches.close();
      throw error;
    }
    await batches.close();
    return DriverAnswer.none();
  }

  /** @param cursor ends the driver's part */
  async close(cursor: () => Promise<void>): Promise<void> {
    this.ended = true;
    await cursor();
    await this.batches?.close();
  }
}
