import { CHECKPOINTS, MARKERS } from '../../store/checkpoint.js';
import { checkpointOf, originOf } from '../../store/step-marker.js';
import type { LogEvent } from './log-event.js';

/** Directions of replication that have ended, but whose markers are still to be read: those of the moves that end at once. */
const MOST_ENDED = 1_000;

/** Whether a marker is of a keyspace's own hand-overs; of one of an earlier release it is not known. */
export const isMarkerOf = (keyspace: string, marker: string): boolean =>
  (originOf(marker)?.keyspace ?? keyspace) === keyspace;

/** Markers of a keyspace's hand-overs that one node's log has, and whose arrival has not been read in another one. */
export class SentMarkers {
  private readonly sent: Set<string>;
  private readonly ended = new Set<string>();

  constructor(
    private readonly keyspace: string,
    sent: Iterable<string>,
  ) {
    this.sent = new Set([...sent].filter((marker) => this.concerns(marker)));
  }

  [Symbol.iterator](): Iterator<string> {
    return this.sent[Symbol.iterator]();
  }

  concerns(marker: string): boolean {
    return isMarkerOf(this.keyspace, marker);
  }

  /** Whether what comes behind the arrival of a marker has to wait for it. */
  awaits(marker: string): boolean {
    return this.concerns(marker) && !this.sent.has(marker);
  }

  arrived(marker: string): void {
    this.sent.delete(marker);
  }

  note({ ns: { coll }, operationType, documentKey, fullDocument }: LogEvent): void {
    const id = String(documentKey['_id']);
    if (coll === MARKERS && operationType === 'insert' && fullDocument['boundary'] !== undefined) {
      if (this.concerns(id) && !this.ended.has(checkpointOf(id))) this.sent.add(id);
    }
    if (coll === MARKERS && operationType === 'delete') this.ended.delete(checkpointOf(id));
    if (coll === CHECKPOINTS && operationType === 'delete' && checkpointOf(id) === id) this.end(id);
  }

  /** Nothing of a direction arrives any more: markers of steps that were undone are left, and may even be read later. */
  private end(checkpoint: string): void {
    for (const marker of this.sent) if (checkpointOf(marker) === checkpoint) this.sent.delete(marker);
    this.ended.add(checkpoint);
    const [oldest] = this.ended;
    if (this.ended.size > MOST_ENDED) this.ended.delete(oldest!);
  }
}
