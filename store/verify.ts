import type { ClientSession, Collection, Db } from 'mongodb';
import { BSON } from 'mongodb';
import type { BulkWork } from './bulk-work.js';
import type { Side } from './document-matching.js';
import { digest, DocumentMatching } from './document-matching.js';
import type { RawDocument, RawValue } from './raw-bson.js';
import type { Part } from './part.js';
import { confirmTokenIndex, countOf, filterOf } from './part.js';
import { decode, identity, idOf } from './raw-bson.js';
import type { RawBatch } from './raw-documents.js';
import { batchSizeFor, inIdOrder, inNaturalOrder, inTokenOrder, lastRecord, readAhead } from './raw-documents.js';
import { memberOf } from './record-place.js';
import type { Verified } from './verify-position.js';
import { VerifyPosition } from './verify-position.js';

export interface VerifyOptions extends BulkWork<VerifyProgress> {
  /** Waits until the target has everything that the source had when it was called. */
  readonly settle: () => Promise<void>;
  /** Where the position is kept, from which another attempt goes on. */
  readonly migration?: string;
  /** As many documents of one side may be ahead of the other one, of which ids and digests are kept. Default 100,000. */
  readonly mostAhead?: number;
}

export interface VerifyProgress {
  readonly compared: number;
  /** About so many there are. */
  readonly documentsInAll: number;
  /** To be looked at again so far. */
  readonly recheck: number;
}

export interface VerifyResult {
  readonly compared: number;
  /** Ids (as relaxed extended JSON) of documents that differ after every recheck; at most 20. */
  readonly different: readonly string[];
}

const BATCH_BYTES = 2 * 1024 * 1024;
const MOST_AHEAD = 100_000;
const MOST_TOLD = 20;
const NOTE_EVERY_MS = 5_000;
/** With more that is not found the same, the position is not noted. */
const MOST_NOTED = 1_000;
const RECHECKED_AT_ONCE = 1_000;
const RECHECKS = 10;

/**
 * Compares every document byte for byte while writes go on. Both sides are read at the same pace, in natural order, which a
 * copy has from its source, or where a collection holds other partitions, too, in the order of tokens; where that is not the same,
 * in the order of `_id`. What is not the same is looked at again after
 * replication has caught up, until it agrees or has differed every time.
 */
export async function verify(options: VerifyOptions): Promise<VerifyResult> {
  return new Verification(options).run();
}

type Order = 'natural' | 'token' | '_id';

/** Read so far. */
interface ReadSide {
  readonly batches: AsyncGenerator<RawBatch>;
  /** Which was asked before anything was read. */
  readonly member: string;
  documents: number;
  last: RawBatch | undefined;
  ended: boolean;
}

class Verification {
  private readonly dbs: Readonly<Record<Side, Db>>;
  private readonly collections: Readonly<Record<Side, string>>;
  private readonly matching = new DocumentMatching();
  private readonly different = new Map<string, RawValue>();
  private readonly position: VerifyPosition | undefined;
  private compared = 0;
  private documentsInAll = 0;

  constructor(private readonly options: VerifyOptions) {
    const { source, target, database, collection, copy, migration } = options;
    this.dbs = { source: source.db(database), target: target.db(database) };
    this.collections = { source: collection, target: copy ?? collection };
    if (migration !== undefined) this.position = new VerifyPosition(this.dbs, collection, migration);
  }

  async run(): Promise<VerifyResult> {
    const { part } = this.options;
    if (part !== undefined) {
      for (const side of ['source', 'target'] as const) {
        await confirmTokenIndex(this.dbs[side].collection(this.collections[side]), part.keyField);
      }
    }
    const before = await this.position?.read();
    const order = part === undefined ? 'natural' : 'token';
    const inThatOrder = before?.ids === undefined ? await this.runIn(order, before) : undefined;
    const finished = inThatOrder ?? (await this.runIn('_id', before?.ids === undefined ? undefined : before));
    if (finished === undefined) throw new Error('in the order of _id no side can be ahead of the other one');
    return finished;
  }

  /**
   * @param after where an earlier attempt has come to in this order
   * @returns undefined when one side is too far ahead of the other one
   */
  private async runIn(order: Order, after: Verified | undefined): Promise<VerifyResult | undefined> {
    const { source, target, signal } = this.options;
    const sessions = { source: source.startSession(), target: target.startSession() };
    try {
      const suspects = new Map(after?.suspects.map((id) => [identity(id), id]));
      this.compared = after?.compared ?? 0;
      this.matching.clear();
      const sides = {
        source: await this.open('source', order, sessions.source, after),
        target: await this.open('target', order, sessions.target, after),
      };
      try {
        if (!(await this.match(sides, order, suspects))) return undefined;
      } finally {
        await Promise.all(Object.values(sides).map(({ batches }) => batches.return(undefined)));
      }
    } finally {
      await Promise.all(Object.values(sessions).map((session) => session.endSession()));
    }
    signal.throwIfAborted();
    await this.position?.remove();
    return {
      compared: this.compared,
      different: [...this.different.values()]
        .slice(0, MOST_TOLD)
        .map((id) => BSON.EJSON.stringify({ id: decode(id) }, { relaxed: true })),
    };
  }

  private async open(side: Side, order: Order, session: ClientSession, after: Verified | undefined): Promise<ReadSide> {
    const [db, collection] = [this.dbs[side], this.collections[side]];
    const { part } = this.options;
    const member = await memberOf(db);
    const { count, batchSize } = await batchSizeFor(db, collection, (meanBytes) =>
      this.options.throttle.atOnce(BATCH_BYTES, meanBytes),
    );
    if (side === 'source') {
      this.documentsInAll = part === undefined ? count : await countOf(db.collection(collection), part);
    }
    const reading = { session, batchSize };
    const natural = async () => ({
      ...reading,
      ...(after?.records === undefined ? {} : { after: after.records[side] }),
      until: await lastRecord(db, collection),
    });
    const batches =
      order === 'natural'
        ? inNaturalOrder(db, collection, await natural())
        : order === 'token'
          ? inTokenOrder(
              db,
              collection,
              part!,
              after?.tokens === undefined ? reading : { ...reading, from: after.tokens[side] },
            )
          : inIdOrder(db, collection, reading, after?.ids?.[side], part);
    return { batches: readAhead(batches, this.options.throttle), member, documents: 0, last: undefined, ended: false };
  }

  /** @returns false when one side is too far ahead of the other one */
  private async match(
    sides: Readonly<Record<Side, ReadSide>>,
    order: Order,
    suspects: Map<string, RawValue>,
  ): Promise<boolean> {
    const { signal } = this.options;
    const { mostAhead = MOST_AHEAD } = this.options;
    let notedAt = performance.now();
    while (!sides.source.ended || !sides.target.ended) {
      signal.throwIfAborted();
      await this.readOn(sides);
      this.report(suspects.size);
      if (this.matching.ahead > mostAhead) {
        if (order !== '_id') return false;
        // Here nothing is ahead: so many differ. They are looked at before there are more.
        const some = new Map(this.matching.suspects());
        this.matching.clear();
        await this.recheck(some);
      }
      if (this.matching.size - this.matching.ahead > MOST_NOTED) await this.recheck(this.matching.takeDifferent());
      if (this.different.size >= MOST_TOLD) return true;
      if (performance.now() - notedAt > NOTE_EVERY_MS) {
        notedAt = performance.now();
        await this.note(sides, order, suspects);
      }
    }
    for (const [name, id] of this.matching.suspects()) suspects.set(name, id);
    this.matching.clear();
    await this.recheck(suspects);
    return true;
  }

  /** The side that is behind goes first. */
  private async readOn({ source, target }: Readonly<Record<Side, ReadSide>>): Promise<void> {
    const isNext = !source.ended && (target.ended || source.documents <= target.documents);
    const [side, name] = isNext ? ([source, 'source'] as const) : ([target, 'target'] as const);
    const { done, value } = await side.batches.next();
    if (done === true) {
      side.ended = true;
      return;
    }
    await this.options.throttle.take(value.documents.bytes.length, value.documents.length, this.options.signal);
    this.matching.add(name, value.documents);
    this.matching.endRound();
    side.documents += value.documents.length;
    side.last = value;
    if (isNext) this.compared += value.documents.length;
  }

  private report(suspects: number): void {
    const { compared, documentsInAll } = this;
    this.options.onProgress({ compared, documentsInAll, recheck: suspects + this.matching.size });
  }

  private async note(
    sides: Readonly<Record<Side, ReadSide>>,
    order: Order,
    suspects: ReadonlyMap<string, RawValue>,
  ): Promise<void> {
    const [source, target] = [sides.source.last, sides.target.last];
    if (source === undefined || target === undefined) return;
    const ids = [...new Map([...suspects, ...this.different, ...this.matching.suspects()]).values()];
    if (ids.length > MOST_NOTED) return;
    const members = { source: sides.source.member, target: sides.target.member };
    const { part } = this.options;
    if (order === '_id') await this.position?.noteIds({ source, target }, this.compared, ids);
    else if (part !== undefined) await this.position?.noteTokens({ source, target }, part, this.compared, ids);
    else await this.position?.notePlaces({ source, target }, members, this.compared, ids);
  }

  /** Looks at the suspects again, and adds those that go on to differ to `different`. */
  private async recheck(suspects: Map<string, RawValue>): Promise<void> {
    const { signal, settle, part } = this.options;
    const [source, target] = (['source', 'target'] as const).map((side) =>
      this.dbs[side].collection(this.collections[side]),
    ) as [Collection, Collection];
    const lastSeen = new Map<string, string | undefined>();
    for (let round = 0; round < RECHECKS && suspects.size > 0; round++) {
      signal.throwIfAborted();
      if (round > 0) await new Promise((resolve) => setTimeout(resolve, 20 * round));
      for (const chunk of chunks([...suspects], RECHECKED_AT_ONCE)) {
        const ids = chunk.map(([, id]) => id);
        const before = await digestsOf(source, ids, part);
        await settle();
        const theirs = await digestsOf(target, ids, part);
        const after = await digestsOf(source, ids, part);
        for (const [name] of chunk) {
          const [old, copy, now] = [before.get(name), theirs.get(name), after.get(name)];
          // A document that is written all the time never stands still; its copy must change along with it.
          const followed = old !== now && copy !== undefined && lastSeen.has(name) && lastSeen.get(name) !== copy;
          if (copy === old || copy === now || followed) suspects.delete(name);
          lastSeen.set(name, copy);
        }
        this.report(suspects.size);
      }
    }
    for (const [name, id] of suspects) this.different.set(name, id);
  }
}

/** Of the documents that are there. */
async function digestsOf(
  collection: Collection,
  ids: readonly RawValue[],
  part: Part | undefined,
): Promise<Map<string, string>> {
  const digests = new Map<string, string>();
  const filter = { _id: { $in: ids.map(decode) as never[] }, ...(part === undefined ? {} : filterOf(part)) };
  // One after the other: all of them may be more than memory holds.
  for await (const document of collection.find(filter, { raw: true }) as AsyncIterable<unknown>) {
    digests.set(identity(idOf(document as RawDocument)), digest(document as RawDocument));
  }
  return digests;
}

function* chunks<T>(items: readonly T[], size: number): Generator<T[]> {
  for (let i = 0; i < items.length; i += size) yield items.slice(i, i + size);
}
