import { MongoServerError } from 'mongodb';
import { originOf } from '../../store/step-marker.js';
import type { LogEvent } from './log-event.js';
import type { NodeLog } from './node-log.js';
import type { Position } from './position.js';
import { SentMarkers } from './sent-markers.js';

/** An event that the application sees. */
export interface ShownEvent {
  readonly event: LogEvent;
  readonly log: NodeLog;
  /** Of the whole stream, behind the event. */
  readonly position: Position;
}

/**
 * The change logs of all nodes as one.
 *
 * In the log of a node that loses tokens the marker of the hand-over stands behind its last change of these; in that of the
 * node that gains them, before its first own one, stands the transaction with which the marker arrived. There a log waits until
 * the marker has been read in the other one: so all changes of a document come in their order, however often it moves and
 * however far one node's log is read behind another's. What waits for what can't be a circle: a marker arrives after it was sent.
 */
export class MergedLog {
  private readonly sent: SentMarkers;
  private readonly logs: NodeLog[];
  private closed = false;
  private wake: () => void = () => undefined;

  constructor(
    keyspace: string,
    logs: readonly NodeLog[],
    sent: ReadonlySet<string>,
    /** Until then there are no other logs that tell anything. */
    public since: Date,
  ) {
    this.logs = [...logs];
    this.sent = new SentMarkers(keyspace, sent);
  }

  /** The log of a node that has come in: nothing that it tells was told before. */
  async add(log: NodeLog): Promise<void> {
    if (this.closed) await log.close();
    else this.logs.push(log);
  }

  /** A node that is not read, and from which tokens have come. */
  get unread(): string | undefined {
    const waiting = this.logs.filter((log) => this.waits(log));
    const nodes = waiting.flatMap((log) => originOf(log.arriving()!)?.from ?? []);
    return nodes.find((node) => this.logs.every((log) => log.node !== node));
  }

  /** Behind everything that was given out. */
  get position(): Position {
    // Who goes on reads an arrival once more that stands in a transaction which is not known to be over.
    const ahead = this.logs.flatMap((log) => log.arrivedAhead ?? []).filter((marker) => this.sent.concerns(marker));
    return {
      nodes: new Map(this.logs.map((log) => [log.node, log.position])),
      sent: new Set([...this.sent, ...ahead]),
      since: this.since,
    };
  }

  /**
   * The next events, in an order that is right for each document.
   *
   * @param deadline by `performance.now()`: then there are none
   * @throws what a node's change stream has ended with
   */
  async next(deadline: number): Promise<ShownEvent[]> {
    for (let timeIsUp = false; ;) {
      const events = this.takeAll();
      if (events.length > 0 || timeIsUp) return events;
      timeIsUp = !(await this.read(deadline));
    }
  }

  async close(): Promise<void> {
    this.closed = true;
    this.wake();
    await Promise.all(this.logs.map((log) => log.close()));
  }

  /** @returns false when there was nothing new until the deadline */
  private async read(deadline: number): Promise<boolean> {
    this.check();
    let timer: NodeJS.Timeout;
    const isWoken = await new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), Math.max(0, deadline - performance.now()));
      // No promise that lasts is waited for: each wait would leave something behind there.
      this.wake = () => resolve(true);
      for (const log of this.logs) if (log.peek() === undefined) log.read(this.wake);
    });
    clearTimeout(timer!);
    this.check();
    return isWoken;
  }

  private check(): void {
    if (this.closed) {
      throw new MongoServerError({ code: 11601, codeName: 'Interrupted', message: 'operation was interrupted' });
    }
    for (const log of this.logs) log.check();
  }

  private takeAll(): ShownEvent[] {
    const events: ShownEvent[] = [];
    for (let taken = true; taken;) {
      taken = false;
      for (const log of this.logs) {
        while (log.peek() !== undefined && !this.waits(log)) {
          taken = true;
          const { event, isShown } = this.take(log);
          if (isShown) events.push({ event, log, position: this.position });
        }
      }
    }
    return events;
  }

  private waits(log: NodeLog): boolean {
    const marker = log.arriving();
    return marker !== undefined && this.sent.awaits(marker);
  }

  private take(log: NodeLog) {
    const arrived = log.arriving();
    if (arrived !== undefined) this.sent.arrived(arrived);
    const taken = log.take();
    this.sent.note(taken.event);
    return taken;
  }
}
