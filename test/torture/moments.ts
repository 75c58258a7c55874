import { setTimeout as sleep } from 'node:timers/promises';
import type { ChangeStream, MongoClient } from 'mongodb';
import type { HandoverState } from '../../domain/partition.js';
import type { MigrationPhase } from '../../workflows/messages.js';

/** Named points of a migration, at which faults are aimed. */
export const MOMENTS = [
  'shadow',
  'backfill',
  'replicate',
  'verify',
  'cutover',
  'soak',
  'fencing',
  'owned',
  'undoing',
  'retiring',
] as const satisfies readonly (MigrationPhase | HandoverState['kind'])[];
export type Moment = (typeof MOMENTS)[number];

const REOPEN_MS = 200;

/** Follows the catalog's change log, past all proxies: a moment is known some milliseconds after it has begun. */
export class Moments {
  private readonly waiting = new Set<(moment: Moment) => void>();
  private stream: ChangeStream | undefined;
  private closed = false;
  private readonly running: Promise<void>;

  constructor(private readonly catalog: MongoClient) {
    this.running = this.follow();
  }

  /** Resolves with the first of these moments that comes, or with undefined after `timeoutMs`. */
  async next(wanted: readonly Moment[], timeoutMs: number): Promise<Moment | undefined> {
    return await new Promise((resolve) => {
      const end = (hit?: Moment) => {
        clearTimeout(timer);
        this.waiting.delete(listener);
        resolve(hit);
      };
      const listener = (moment: Moment) => wanted.includes(moment) && end(moment);
      const timer = setTimeout(end, timeoutMs);
      this.waiting.add(listener);
    });
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.stream?.close();
    await this.running;
  }

  private async follow(): Promise<void> {
    while (!this.closed) {
      try {
        this.stream = this.catalog.db('drover').watch([], { fullDocument: 'updateLookup' });
        for await (const event of this.stream) {
          if (!('fullDocument' in event) || !event.fullDocument) continue;
          const { phase, handover } = event.fullDocument;
          const moment: unknown = event.ns.coll === 'partitions' ? handover?.state.kind : phase;
          if (isMoment(moment)) for (const listener of [...this.waiting]) listener(moment);
        }
      } catch {
        // The catalog is away, or this is being closed: what happens meanwhile is not aimed at.
        await sleep(REOPEN_MS);
      }
    }
  }
}

const isMoment = (name: unknown): name is Moment => MOMENTS.some((moment) => moment === name);
