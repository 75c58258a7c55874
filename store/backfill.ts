import type { Db } from 'mongodb';
import type { BulkWork } from './bulk-work.js';
import { Checkpoint } from './checkpoint.js';
import type { Copied, CopiedBatches, CopyLane } from './copy-lane.js';
import { takeLanes } from './copy-lane.js';
import { decode, field } from './raw-bson.js';
import type { RawBatch, RecordPosition } from './raw-documents.js';
import { batchSizeFor, inNaturalOrder, lastRecord, readAhead } from './raw-documents.js';
import type { RecordPlace } from './record-place.js';
import { goOnBehind, memberOf } from './record-place.js';

export interface BackfillOptions extends BulkWork<CopyProgress> {
  readonly migration: string;
}

export interface CopyProgress {
  readonly documents: number;
  readonly bytes: number;
  readonly documentsInAll: number;
  /** Documents that this attempt has read, and about how many it has to: all but those behind which it went on. */
  readonly read: number;
  readonly toRead: number;
}

/** Of what a reply of the source holds; it is at most 16 MB, whatever is asked for. */
const BATCH_BYTES = 3 * 1024 * 1024;
/** As many may be deleted before a later attempt has nowhere to go on. */
const POSITIONS = 5;

/**
 * Copies every document of the source that was there when its turn came, in natural order; what changes before or after
 * is in the change log, which is followed from a position taken before the copy began.
 *
 * The next documents are read while others are written, by several inserts under way. Each insert is one transaction with
 * its position: a repeated attempt goes on there, and one that was taken over can't write.
 *
 * @throws DroverError `Superseded`
 */
export async function backfill(options: BackfillOptions): Promise<CopyProgress> {
  const { source, target, database, collection, migration } = options;
  const [from, to] = [source.db(database), target.db(database)];
  const checkpoint = new Checkpoint(to, migration, 'forward');
  const reading = source.startSession();
  try {
    const { attempt, startAt, ...before } = await checkpoint.takeOver();
    const { count, batchSize } = await batchSizeFor(from, collection, BATCH_BYTES);
    const inAll = { documentsInAll: count, read: 0, toRead: 0 };
    if (before.copyDone === true) return { documents: before.documents, bytes: before.bytes, ...inAll };
    const { lanes, copied } = await takeLanes(to, collection, migration, attempt);
    try {
      const member = await memberOf(from);
      const position = await placeToGoOn(from, collection, member, copied);
      const order = inNaturalOrder(from, collection, {
        session: reading,
        afterClusterTime: startAt,
        batchSize,
        ...position,
        until: await lastRecord(from, collection),
      });
      const { documents, bytes } = copied;
      const copy = new Backfill(options, member, copied, {
        documents,
        bytes,
        ...inAll,
        toRead: Math.max(0, position.after === undefined ? count : count - documents),
      });
      await copy.run(order, lanes);
      await checkpoint.endCopy(attempt, copy.progress);
      return copy.progress;
    } finally {
      await Promise.all(lanes.map((lane) => lane.end()));
    }
  } finally {
    await reading.endSession();
  }
}

/** Behind the last document that was copied and is still where it was; from the beginning where there is none. */
async function placeToGoOn(
  db: Db,
  collection: string,
  member: string,
  { positions }: Copied,
): Promise<{ readonly after?: RecordPosition }> {
  for (const position of positions) {
    const after = await goOnBehind(db, collection, member, position);
    if (after !== undefined) return { after };
  }
  return {};
}

class Backfill {
  private copied: CopiedBatches;
  /** Ends of the batches under way, and of those that were copied before an earlier one. */
  private readonly ends = new Map<number, RecordPlace>();
  private readonly done = new Set<number>();

  constructor(
    private readonly options: BackfillOptions,
    private readonly member: string,
    { positions }: Copied,
    public progress: CopyProgress,
  ) {
    this.copied = { batches: 0, positions };
  }

  async run(order: AsyncGenerator<RawBatch>, lanes: readonly CopyLane[]): Promise<void> {
    const batches = numbered(readAhead(order));
    const lanesEnd = await Promise.allSettled(lanes.map((lane) => this.copy(batches, lane)));
    for (const end of lanesEnd) if (end.status === 'rejected') throw end.reason;
  }

  /** Whichever lane is free takes the next batch. When one fails there are no more for the others. */
  private async copy(batches: AsyncGenerator<NumberedBatch>, lane: CopyLane): Promise<void> {
    const { signal, throttle, onProgress } = this.options;
    for await (const { number, documents, bytes, position } of batches) {
      signal.throwIfAborted();
      await throttle.take(bytes, signal);
      const _id = decode(field(documents.at(-1)!, '_id')!);
      this.ends.set(number, { _id, record: position, member: this.member });
      const inserted = await lane.insert(documents, this.copied, this.reached(number));
      this.done.add(number);
      this.copied = this.reached();
      for (const ended of this.done) if (ended < this.copied.batches) this.forget(ended);
      const { progress } = this;
      this.progress = {
        ...progress,
        read: progress.read + documents.length,
        documents: progress.documents + inserted.documents,
        bytes: progress.bytes + inserted.bytes,
      };
      onProgress(this.progress);
    }
  }

  private forget(batch: number): void {
    this.done.delete(batch);
    this.ends.delete(batch);
  }

  /** What has been copied without a gap, with the batch `also`. */
  private reached(also?: number): CopiedBatches {
    let { batches, positions } = this.copied;
    for (; this.done.has(batches) || batches === also; batches++) {
      positions = [this.ends.get(batches)!, ...positions].slice(0, POSITIONS);
    }
    return { batches, positions };
  }
}

type NumberedBatch = RawBatch & { readonly number: number };

async function* numbered(batches: AsyncGenerator<RawBatch>): AsyncGenerator<NumberedBatch> {
  let number = 0;
  for await (const batch of batches) yield { ...batch, number: number++ };
}
