import type { Db, Timestamp } from 'mongodb';
import type { BulkWork } from './bulk-work.js';
import { Checkpoint } from './checkpoint.js';
import type { Copied, CopiedBatches, CopiedInto, CopyLane } from './copy-lane.js';
import { takeLanes } from './copy-lane.js';
import type { Part } from './part.js';
import { countOf, tokenOf } from './part.js';
import { decode, idOf } from './raw-bson.js';
import type { RawBatch, Reading, RecordPosition } from './raw-documents.js';
import { batchSizeFor, inNaturalOrder, inTokenOrder, lastRecord, readAhead } from './raw-documents.js';
import type { CopyPlace } from './record-place.js';
import { goOnBehind, memberOf, tokenAt, tokenPlace } from './record-place.js';

export interface BackfillOptions extends BulkWork<CopyProgress>, Pick<CopiedInto, 'copyUuid'> {
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
/** About so far they are apart, as batches may be small. */
const POSITIONS_APART = BATCH_BYTES;

/**
 * Copies every document of the source that was there when its turn came, in natural order, or in that of tokens where the
 * collection holds other partitions, too; what changes before or after is in the change log, which is followed from a
 * position taken before the copy began.
 *
 * The next documents are read while others are written, by several inserts under way. Each insert is one transaction with
 * its position: a repeated attempt goes on there, and one that was taken over can't write.
 *
 * @throws DroverError `Superseded`, `SourceChanged` when the copy is gone, or another collection has its name
 */
export async function backfill(options: BackfillOptions): Promise<CopyProgress> {
  const { source, target, database, collection, part, copyUuid, migration } = options;
  const [from, to] = [source.db(database), target.db(database)];
  const checkpoint = new Checkpoint(to, migration, 'forward');
  const reading = source.startSession();
  try {
    const { attempt, startAt, ...before } = await checkpoint.takeOver();
    const { count: inCollection, batchSize } = await batchSizeFor(from, collection, (meanBytes) =>
      options.throttle.atOnce(BATCH_BYTES, meanBytes),
    );
    const count = part === undefined ? inCollection : await countOf(from.collection(collection), part);
    const inAll = { documentsInAll: count, read: 0, toRead: 0 };
    if (before.copyDone === true) return { documents: before.documents, bytes: before.bytes, ...inAll };
    const { lanes, copied } = await takeLanes(to, options.copy ?? collection, migration, attempt, { part, copyUuid });
    try {
      const settings = { session: reading, afterClusterTime: startAt, batchSize };
      const order =
        part === undefined
          ? await naturalOrder(from, collection, settings, copied)
          : tokenOrder(from, collection, part, settings, copied);
      const { documents, bytes } = copied;
      const copy = new Backfill(options, order, copied, {
        documents,
        bytes,
        ...inAll,
        toRead: Math.max(0, order.goesOn ? count - documents : count),
      });
      await copy.run(lanes);
      await checkpoint.endCopy(attempt, copy.progress);
      return copy.progress;
    } finally {
      await Promise.all(lanes.map((lane) => lane.end()));
    }
  } finally {
    await reading.endSession();
  }
}

/** In which order the source is read. */
interface CopyOrder {
  readonly batches: AsyncGenerator<RawBatch>;
  /** Whether it goes on where another attempt stood. */
  readonly goesOn: boolean;
  /** From where everything is still to be copied when a batch and all before it have been. */
  placeBehind(batch: RawBatch): CopyPlace;
}

type Settings = Reading & { readonly afterClusterTime: Timestamp };

/** Behind the last document that was copied and is still where it was; from the beginning where there is none. */
async function naturalOrder(db: Db, collection: string, settings: Settings, { positions }: Copied): Promise<CopyOrder> {
  const member = await memberOf(db);
  let after: RecordPosition | undefined;
  for (const position of positions) after ??= await goOnBehind(db, collection, member, position);
  const until = await lastRecord(db, collection);
  const place = after === undefined ? {} : { after };
  return {
    batches: inNaturalOrder(db, collection, { ...settings, ...place, until }),
    goesOn: after !== undefined,
    placeBehind: ({ documents, position }) => ({ _id: decode(idOf(documents.last)), record: position, member }),
  };
}

/** From the token that was copied last on: others of its documents may be missing. */
function tokenOrder(db: Db, collection: string, part: Part, settings: Settings, { positions }: Copied): CopyOrder {
  const from = positions[0] && tokenAt(positions[0]);
  return {
    batches: inTokenOrder(db, collection, part, { ...settings, ...(from === undefined ? {} : { from }) }),
    goesOn: from !== undefined,
    placeBehind: ({ documents }) => tokenPlace(tokenOf(part, documents.last)),
  };
}

class Backfill {
  private copied: CopiedBatches & { readonly sinceOlder: number };
  /** Ends of the batches under way, and of those that were copied before an earlier one. */
  private readonly ends = new Map<number, { readonly place: CopyPlace; readonly bytes: number }>();
  private readonly done = new Set<number>();

  constructor(
    private readonly options: BackfillOptions,
    private readonly order: CopyOrder,
    { positions }: Copied,
    public progress: CopyProgress,
  ) {
    this.copied = { batches: 0, positions, sinceOlder: Infinity };
  }

  async run(lanes: readonly CopyLane[]): Promise<void> {
    const batches = numbered(readAhead(this.order.batches, this.options.throttle));
    const lanesEnd = await Promise.allSettled(lanes.map((lane) => this.copy(batches, lane)));
    for (const end of lanesEnd) if (end.status === 'rejected') throw end.reason;
  }

  /** Whichever lane is free takes the next batch. When one fails there are no more for the others. */
  private async copy(batches: AsyncGenerator<NumberedBatch>, lane: CopyLane): Promise<void> {
    const { signal, throttle, onProgress } = this.options;
    for await (const { number, ...batch } of batches) {
      const { documents } = batch;
      const bytes = documents.bytes.length;
      signal.throwIfAborted();
      await throttle.take(bytes, documents.length, signal);
      this.ends.set(number, { place: this.order.placeBehind(batch), bytes });
      const inserted = await throttle.alone(() => lane.insert(documents, this.copied, this.reached(number)));
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
  private reached(also?: number): Backfill['copied'] {
    let { batches, positions, sinceOlder } = this.copied;
    for (; this.done.has(batches) || batches === also; batches++) {
      const { place, bytes } = this.ends.get(batches)!;
      sinceOlder += bytes;
      // The newest one moves on until it is far enough from the one before it.
      const isApart = sinceOlder > POSITIONS_APART;
      if (isApart) sinceOlder = bytes;
      positions = [place, ...(isApart ? positions : positions.slice(1))].slice(0, POSITIONS);
    }
    return { batches, positions, sinceOlder };
  }
}

type NumberedBatch = RawBatch & { readonly number: number };

async function* numbered(batches: AsyncGenerator<RawBatch>): AsyncGenerator<NumberedBatch> {
  let number = 0;
  for await (const batch of batches) yield { ...batch, number: number++ };
}
