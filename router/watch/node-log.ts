import type { ChangeStream, MongoClient, Timestamp } from 'mongodb';
import { MongoChangeStreamError } from 'mongodb';
import { CHECKPOINTS, MARKERS } from '../../store/checkpoint.js';
import { withPlainCode } from '../stored-types.js';
import type { LogEvent } from './log-event.js';
import { isTouch, transactionOf } from './log-event.js';
import type { NodePosition } from './position.js';
import { timeOf } from './position.js';

interface Transaction {
  readonly id: string;
  readonly time: string;
  /** Whether it is one of Drover's own: each of these moves a checkpoint on before it writes anything else. */
  own: boolean;
  /** The marker up to which it applies changes of another node. */
  marker: string | undefined;
  /** Whether the event that tells its arrival has been taken. */
  hasArrived: boolean;
}

/**
 * The change log of one node, event by event. The driver's own change stream reads it, and goes on by itself after an
 * election or a lost connection.
 *
 * A transaction can be judged from its beginning only: in the middle of one the position is where it begins.
 */
export class NodeLog {
  private readonly events: LogEvent[] = [];
  private isReading = false;
  private ended: () => void = () => undefined;
  private failure: Error | undefined;
  private transaction: Transaction | undefined;
  private behind: string | Timestamp;
  /** Of the present transaction. */
  private shown = 0;
  /** Of the first transaction, before this stream was resumed. */
  private shownBefore: number;
  /** The node's own token behind all events that have been read. */
  private readUntil = '';
  private last = '';

  constructor(
    readonly node: string,
    readonly client: MongoClient,
    private readonly stream: ChangeStream,
    /** Whether a collection is one of the keyspace's. */
    private readonly isOurs: (collection: string) => boolean,
    { behind, shown }: NodePosition,
  ) {
    this.behind = behind;
    this.shownBefore = shown;
  }

  get position(): NodePosition {
    return { behind: this.behind, shown: Math.max(this.shown, this.shownBefore) };
  }

  /** The marker whose arrival was taken, and will be read once more by whoever goes on from the position. */
  get arrivedAhead(): string | undefined {
    return this.transaction?.hasArrived === true ? this.transaction.marker : undefined;
  }

  /** Ends when the server has accepted the request. @throws as {@link check} */
  async open(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.stream.once('resumeTokenChanged', resolve);
      this.read(resolve);
    });
    this.check();
  }

  /** The next event, if it has been read. */
  peek(): LogEvent | undefined {
    return this.events[0];
  }

  /**
   * Reads on, once all that was read is taken.
   *
   * @param ended called, in place of an earlier one, with the next events, or without any after a while, or with an error
   */
  read(ended: () => void): void {
    this.ended = ended;
    if (this.isReading) return;
    this.isReading = true;
    this.fill()
      .catch((error: unknown) => (this.failure ??= withPlainCode(error) as Error))
      .finally(() => {
        this.isReading = false;
        this.ended();
      });
  }

  /** @throws the error that reading has ended with: for good, as the driver's stream can't be read on */
  check(): void {
    if (this.failure !== undefined) throw this.failure;
  }

  /** @returns the next event, and whether the application sees it */
  take(): { readonly event: LogEvent; readonly isShown: boolean } {
    const arrives = this.arriving() !== undefined;
    const event = this.events.shift()!;
    this.enter(event);
    if (arrives) this.transaction!.hasArrived = true;
    const isShown = this.isShown(event);
    if (isShown && this.transaction !== undefined) this.shown += 1;
    const wasShown = this.shown <= this.shownBefore && this.transaction !== undefined;
    this.last = event._id._data;
    this.settle();
    return { event, isShown: isShown && !wasShown };
  }

  /** The marker of a hand-over that the next event tells the arrival of. */
  arriving(): string | undefined {
    const next = this.peek();
    if (next?.ns.coll !== CHECKPOINTS || next.operationType !== 'update') return undefined;
    const { updatedFields } = next['updateDescription'] as { updatedFields: { scope?: unknown } };
    // With the marker the tokens leave the scope, in the transaction that applies all changes before it.
    return updatedFields.scope !== undefined && this.transaction?.id === transactionOf(next)
      ? this.transaction?.marker
      : undefined;
  }

  async close(): Promise<void> {
    await this.stream.close();
  }

  private async fill(): Promise<void> {
    if (this.failure !== undefined) return;
    const batch: LogEvent[] = [];
    let event = await this.stream.tryNext();
    for (; event !== null; event = this.stream.bufferedCount() > 0 ? await this.stream.tryNext() : null) {
      batch.push(event as unknown as LogEvent);
    }
    if (batch.length === 0 && this.stream.closed) {
      throw new MongoChangeStreamError(`the change stream of node "${this.node}" has ended: its database was dropped`);
    }
    // At once: in between others would take what there is for all.
    this.readUntil = (this.stream.resumeToken as LogEvent['_id'])._data;
    this.events.push(...batch);
    if (batch.length === 0) this.settle();
  }

  private enter(event: LogEvent): void {
    const id = transactionOf(event);
    if (id !== this.transaction?.id) {
      if (this.transaction !== undefined) this.settleAt(this.last);
      this.transaction =
        id === undefined
          ? undefined
          : { id, time: timeOf(event._id._data), own: false, marker: undefined, hasArrived: false };
    }
    // What was shown before was within the first transaction.
    if (id === undefined) this.shownBefore = 0;
    if (this.transaction === undefined || event.ns.coll !== CHECKPOINTS) return;
    this.transaction.own = true;
    const { updatedFields } = (event['updateDescription'] ?? {}) as { updatedFields?: { marker?: string } };
    this.transaction.marker ??= updatedFields?.marker;
  }

  private isShown(event: LogEvent): boolean {
    const { coll } = event.ns;
    if (coll === CHECKPOINTS || coll === MARKERS || this.transaction?.own === true) return false;
    return !isTouch(event) && this.isOurs(coll);
  }

  /** The position moves on, unless what comes next may be part of the same transaction. */
  private settle(): void {
    const done = this.events.length === 0;
    const { transaction } = this;
    // Resumed within a transaction, which has not been read again yet.
    if (transaction === undefined && this.shownBefore > 0) return;
    if (transaction === undefined) this.settleAt(done ? this.readUntil : this.last);
    else if (done && timeOf(this.readUntil) > transaction.time) {
      this.transaction = undefined;
      this.settleAt(this.readUntil);
    }
  }

  private settleAt(token: string): void {
    this.behind = token;
    this.shown = 0;
    this.shownBefore = 0;
  }
}
