import { setTimeout as delay } from 'node:timers/promises';
import type { ClientSession, Collection, Db, MongoServerError, ResumeToken } from 'mongodb';
import { DroverError } from '../domain/errors.js';
import type { Direction } from '../domain/partition.js';
import type { ReplicationScope } from '../domain/replication.js';
import { handOver, isApplied } from '../domain/replication.js';
import type { Change } from './change-log.js';
import type { Outcome } from './change-outcome.js';
import { mayCover, outcomesOf } from './change-outcome.js';
import type { Segment } from './change-segments.js';
import { segmentsOf } from './change-segments.js';
import type { Checkpoint, MarkerDocument } from './checkpoint.js';
import { MARKERS, markerBoundary } from './checkpoint.js';
import { scopeFromBson } from './codec.js';
import type { PlanRequest } from './copy-plan.js';
import { planWrites } from './copy-plan.js';
import type { LeftOut } from './copy-conflict.js';
import { EqualValues, removedFor } from './copy-conflict.js';
import { CopyWriter, deletion, RefusedInsert } from './copy-writer.js';
import { isPartitionKey, tokenOfRaw } from './key-token.js';
import type { Documents } from './origin-documents.js';
import { OriginDocuments } from './origin-documents.js';
import type { Part } from './part.js';
import type { RawDocument, RawValue } from './raw-bson.js';
import { fieldAt, identity } from './raw-bson.js';
import { hasCode } from './server-errors.js';

export interface ApplierOptions {
  readonly migration: string;
  readonly direction: Direction;
  readonly origin: Db;
  readonly destination: Db;
  /** Name of the origin's collection. */
  readonly collection: string;
  /** Name of the destination's collection, where it is another one. */
  readonly copy?: string;
  readonly keyField: string;
  /** The partition's documents, where the origin's collection holds others, too. */
  readonly part?: Part | undefined;
  /** The destination's collection, where it is known: another one of its name is not written to. */
  readonly copyUuid?: string | undefined;
  /** Told when the source's collection is gone, and nothing can be handed back to it any more. */
  readonly onSourceGone?: (() => void) | undefined;
  /** It is known that somebody has dropped the origin's collection: what comes after that is followed. */
  readonly originWasDropped?: boolean | undefined;
  /** Told before a document is left out of the copy, or goes from it, as another one has an equal value (only after such a drop). */
  readonly onLeftOut?: ((what: LeftOut) => Promise<void>) | undefined;
}

/** Documents of one transaction have about so many bytes, and are at most so many. */
const TRANSACTION_BYTES = 8 * 1024 * 1024;
const TRANSACTION_DOCUMENTS = 1_000;
/** More is neither held in memory nor sent in one message, unless a single document is larger. */
const MOST_BYTES = 4 * TRANSACTION_BYTES;
const OPTIONS = { readConcern: { level: 'snapshot' }, writeConcern: { w: 'majority' } } as const;
/** What came of some changes. */
export interface Applied {
  /** Documents written or deleted. */
  readonly written: number;
  /** The last of the markers. */
  readonly marker: MarkerDocument | undefined;
  /** Equal values under a unique index. */
  readonly conflict?: DroverError;
}

/** Longer than who ends a transaction takes to change what it was in the way of. */
const MAKE_WAY_MS = 300;

/** What is stored with the last change of a segment. */
interface SegmentEnd {
  readonly resumeToken?: ResumeToken;
  readonly marker?: MarkerDocument;
}

/** In the transaction, the scope covers a document that was not asked for: it has grown since the last one. */
class ScopeHasGrown extends Error {}

/** Applies changes of one direction of replication, for one attempt. */
export class ChangeApplier {
  private readonly copy: Collection;
  private readonly documents: OriginDocuments;
  private readonly writer: CopyWriter;
  /** As the last transaction has read or left it. */
  private scope: ReplicationScope | undefined;
  private isSourceGone = false;
  /** While documents of equal values are told apart. */
  private equalValues: EqualValues | undefined;

  constructor(
    private readonly options: ApplierOptions,
    readonly checkpoint: Checkpoint,
    private readonly attempt: number,
    /** Of the transactions at the destination. */
    private readonly session: ClientSession,
    /** Causally consistent, at the origin. */
    reading: ClientSession,
  ) {
    const { origin, destination, collection, copy, part, copyUuid } = options;
    this.copy = destination.collection(copy ?? collection);
    this.documents = new OriginDocuments(origin, collection, part, reading);
    this.writer = new CopyWriter(this.copy, destination, session, copyUuid, MOST_BYTES);
  }

  /** Of a document, as far as they have been read. */
  get averageBytes(): number {
    return this.documents.averageBytes;
  }

  /** Whether a change is to be applied soon, by all that is known: its transaction has the last word. */
  concerns(change: Change): boolean {
    const { collection, key, time } = change;
    if (this.isForeign(change)) return false;
    return this.scope === undefined || collection === MARKERS || mayCover(this.scope, key, time);
  }

  /** In a collection that somebody has made in the place of the source's there may be anything. */
  private isForeign({ operationType, collection, key }: Change): boolean {
    const isWhole = operationType === 'insert' || operationType === 'replace';
    return isWhole && collection !== MARKERS && this.hasNoPlace(key);
  }

  private hasNoPlace(key: RawValue | undefined): boolean {
    return this.isAnother && !isPartitionKey(key);
  }

  /** Whether the origin's collection is another one than that of which there is a copy. */
  private get isAnother(): boolean {
    return this.options.originWasDropped === true;
  }

  /**
   * With a conflict, some of the changes may have been applied, and all of them are to be given again.
   *
   * @param isLasting no later change resolves a conflict: where the origin's collection is another one now, documents are left out
   */
  async apply(changes: readonly Change[], position: ResumeToken, isLasting: boolean): Promise<Applied> {
    const segments = segmentsOf(changes, this.options);
    let written = 0;
    try {
      for (const segment of segments) {
        this.equalValues = isLasting && this.isAnother ? this.newEqualValues() : undefined;
        written += await this.segment(segment, segment === segments.at(-1) ? { resumeToken: position } : {});
      }
      return { written, marker: segments.at(-2)?.marker };
    } catch (error) {
      if (!(error instanceof DroverError) || error.code !== 'DuplicateId') throw error;
      return { written, marker: undefined, conflict: error };
    }
  }

  private async segment({ changes, marker }: Segment, position: { resumeToken?: ResumeToken }): Promise<number> {
    await this.refuseWhatHappenedToTheCollection(changes);
    const outcomes = outcomesOf(changes, this.isAnother);
    const end = { ...position, ...(marker === undefined ? {} : { marker }) };
    const size = Math.max(1, Math.min(TRANSACTION_DOCUMENTS, Math.floor(TRANSACTION_BYTES / this.averageBytes)));
    try {
      return await this.slices(outcomes, size, end);
    } catch (error) {
      if (!hasCode(error, 'duplicateKey')) throw error;
    }
    // The look-up may be ahead of the stream: a document that has since been deleted and inserted under another key meets
    // its own predecessor here, or one that took its value under a unique index the other one: these have to go first.
    for (;;) {
      try {
        const documents = await this.documents.lookUp(
          outcomes.filter((each) => this.mayBeWritten(each)),
          Infinity,
        );
        return await this.transaction(outcomes, documents, end, true);
      } catch (error) {
        if (!hasCode(error, 'duplicateKey')) throw error;
        if (this.equalValues !== undefined && error instanceof RefusedInsert) {
          await this.equalValues.settle(error, this.scope!, changes.at(-1)!.time);
          continue;
        }
        throw new DroverError(
          'DuplicateId',
          `a document can't be copied to ${this.copy.namespace}, as another one there has an equal value under a unique index: ` +
            (error as MongoServerError).message,
        );
      }
    }
  }

  private newEqualValues(): EqualValues {
    const { keyField, onLeftOut } = this.options;
    return new EqualValues(this.copy, keyField, this.documents, async (what) => onLeftOut?.(what));
  }

  /** Of a side that owns nothing any more it does not matter. @throws DroverError `SourceChanged` */
  private async refuseWhatHappenedToTheCollection(changes: readonly Change[]): Promise<void> {
    const happened = changes.find(({ id }) => id === undefined);
    if (happened === undefined || this.isAnother) return;
    const { scope } = await this.checkpoint.get();
    if (scopeFromBson(scope).owned.length === 0) return;
    const { origin, collection } = this.options;
    const what = HAPPENED[happened.operationType] ?? `had "${happened.operationType}" happen to it`;
    throw new DroverError('SourceChanged', `${origin.databaseName}.${collection} ${what} while it moves`);
  }

  /** A transaction each; the documents of the next one are looked up while one is written. */
  private async slices(outcomes: readonly Outcome[], size: number, end: SegmentEnd): Promise<number> {
    let written = 0;
    let ahead: Promise<Documents | undefined> | undefined;
    for (let first = 0; first === 0 || first < outcomes.length; first += size) {
      const slice = outcomes.slice(first, first + size);
      const next = outcomes.slice(first + size, first + 2 * size);
      const documents = await (ahead ?? this.lookUpCovered(slice));
      ahead = next.length > 0 ? this.lookUpCovered(next) : undefined;
      // Whoever waits for it gets the error.
      ahead?.catch(() => undefined);
      written += await this.transaction(slice, documents, next.length > 0 ? {} : end);
    }
    return written;
  }

  private async transaction(
    outcomes: readonly Outcome[],
    documents: Documents | undefined,
    end: SegmentEnd,
    predecessors = false,
  ): Promise<number> {
    if (documents === undefined) {
      const half = Math.ceil(outcomes.length / 2);
      return this.slices(outcomes, half, end);
    }
    for (let found = documents; ;) {
      try {
        return await this.session.withTransaction(() => this.write(outcomes, found, end, predecessors), OPTIONS);
      } catch (error) {
        // Somebody has ended the transaction: for a newer attempt, which the checkpoint tells, or for a fence to change.
        if (hasCode(error, 'interrupted')) {
          await delay(MAKE_WAY_MS);
          continue;
        }
        if (hasCode(error, 'collectionUuidMismatch')) {
          this.destinationIsGone();
          continue;
        }
        if (!(error instanceof ScopeHasGrown)) throw error;
      }
      const present = outcomes.filter((each) => each.present);
      const again = await this.documents.lookUp(present, predecessors ? Infinity : MOST_BYTES);
      if (again === undefined) return this.transaction(outcomes, undefined, end);
      found = again;
    }
  }

  /**
   * The move goes on without the source's collection, once the target has it all; without the copy it can't.
   *
   * @throws DroverError `SourceChanged`
   */
  private destinationIsGone(): void {
    const { direction, onSourceGone } = this.options;
    if (direction === 'forward') {
      throw new DroverError('SourceChanged', `the copy ${this.copy.namespace} was dropped or renamed while it moves`);
    }
    this.isSourceGone = true;
    onSourceGone?.();
  }

  /** Those that the scope covers, by all that is known. */
  private lookUpCovered(outcomes: readonly Outcome[]): Promise<Documents | undefined> {
    return this.documents.lookUp(
      outcomes.filter((each) => this.mayBeWritten(each)),
      MOST_BYTES,
    );
  }

  private mayBeWritten({ present, key, at }: Outcome): boolean {
    return present && (this.scope === undefined || mayCover(this.scope, key, at));
  }

  /**
   * Inside the transaction.
   *
   * @throws DroverError `SourceChanged` at the marker of a step to a source whose collection was gone
   */
  private async write(
    outcomes: readonly Outcome[],
    documents: Documents,
    { resumeToken, marker }: SegmentEnd,
    predecessors: boolean,
  ): Promise<number> {
    const set = {
      ...(resumeToken === undefined ? {} : { resumeToken }),
      ...(marker === undefined ? {} : { marker: marker._id }),
      // Together with the position, which passes what is left out: the collection may come back, and that does not.
      ...(this.isSourceGone ? { sourceGone: true } : {}),
    };
    const before = await this.checkpoint.advance(this.attempt, set, this.session);
    const scope = scopeFromBson(before.scope);
    this.scope = scope;

    this.isSourceGone ||= before.sourceGone === true;
    const strangers = this.isAnother ? new Set(before.strangers) : undefined;
    const request = { scope, predecessors, strangers };
    const written = this.isSourceGone ? 0 : await this.writeDocuments(outcomes, documents, request);
    const boundary = marker && markerBoundary(marker);
    const next = boundary === undefined ? scope : handOver(scope, boundary);
    if (next !== scope) {
      if (this.isSourceGone) {
        throw new DroverError('SourceChanged', `${this.copy.namespace} was gone: nothing can be handed back to it`);
      }
      await this.checkpoint.setScope(this.attempt, next, this.session);
      this.scope = next;
    }
    return written;
  }

  private async writeDocuments(
    outcomes: readonly Outcome[],
    documents: Documents,
    request: Pick<PlanRequest, 'scope' | 'predecessors' | 'strangers'>,
  ): Promise<number> {
    const { keyField } = this.options;
    const changes = outcomes
      .map((outcome) => ({ outcome, document: this.newState(outcome, documents, request.scope) }))
      .filter(({ outcome, document }) => {
        return (
          document !== undefined || outcome.deletedAt !== undefined || (this.isAnother && concernsAnother(outcome))
        );
      });
    // A delete names the `_id` only: the key, and with it the token, is found in the copy. Of the others, to know whether
    // they are there saves the server the choice of an index for each.
    const present = await this.writer.presentKeys(
      changes.map(({ outcome }) => outcome.id),
      keyField,
    );
    const plan = planWrites({ ...request, changes, present, keyField });
    // In a collection that is gone, nothing is there either.
    if (plan.isMissing) await this.writer.confirm();
    if (plan.strangers !== undefined) {
      await this.checkpoint.setStrangers(this.attempt, [...plan.strangers], this.session);
    }
    for (const gone of plan.displaced) await this.options.onLeftOut?.(removedFor(gone, ['_id']));
    const removals = (this.equalValues?.toRemove ?? []).map(deletion);
    return this.writer.write({ ...plan, deletes: [...removals, ...plan.deletes] });
  }

  /** Of a document that is to be written: undefined when it isn't there any more, or belongs to the other side. */
  private newState(
    { id, key, present, at }: Outcome,
    documents: Documents,
    scope: ReplicationScope,
  ): RawDocument | undefined {
    if (!present || this.equalValues?.isLeftOut(id) === true) return undefined;
    const document = documents.get(identity(id));
    if (document === undefined && mayCover(scope, key, at)) throw new ScopeHasGrown();
    // Deleted since: that change follows.
    if (document === undefined || document === null) return undefined;
    const now = fieldAt(document, this.options.keyField);
    if (this.hasNoPlace(now)) return undefined;
    return isApplied(scope, tokenOfRaw(now), at) ? document : undefined;
  }
}

/** Of what can happen to a collection, in words. */
const HAPPENED: Readonly<Record<string, string>> = {
  drop: 'was dropped',
  dropDatabase: 'was dropped with its database',
  rename: 'was renamed, or another collection took its name',
};

/** Whether it may have been inserted by somebody else, with the `_id` of a document that there is a copy of. */
const concernsAnother = ({ isNew, passedBy }: Outcome): boolean => isNew || passedBy.length > 0;
