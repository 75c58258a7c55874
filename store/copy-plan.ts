import type { ReplicationScope } from '../domain/replication.js';
import { isApplied } from '../domain/replication.js';
import type { Outcome } from './change-outcome.js';
import type { CopyWrites } from './copy-writer.js';
import { deletion, replacement } from './copy-writer.js';
import { isPartitionKey, tokenOfRaw } from './key-token.js';
import type { RawDocument, RawValue } from './raw-bson.js';
import { fieldAt, hasDollarNames, identity } from './raw-bson.js';

/** A document that changed, and what it is to be in the copy: undefined where that is nothing, or not to be written. */
export interface Changed {
  readonly outcome: Outcome;
  readonly document: RawDocument | undefined;
}

export interface PlanRequest {
  readonly changes: readonly Changed[];
  /** Keys of the documents that are in the copy, by the identity of their `_id`. */
  readonly present: ReadonlyMap<string, RawValue>;
  readonly scope: ReplicationScope;
  readonly keyField: string;
  /** Every predecessor goes before any of the documents comes: values may have been exchanged under a unique index. */
  readonly predecessors: boolean;
  /**
   * Where the origin's collection is one that sprang up in the place of one that is lost: ids of its documents that are not those of the copy
   * that have these ids, by {@link idName}. What becomes of them does not concern the copy.
   */
  readonly strangers?: ReadonlySet<string> | undefined;
}

export interface CopyPlan extends CopyWrites {
  /** Something that was deleted is not there to be deleted. */
  readonly isMissing: boolean;
  /** Documents that go as one of another key has their `_id` now, and of whose end nobody knows. */
  readonly displaced: readonly { readonly id: RawValue; readonly key: RawValue }[];
  /** As it is afterwards; absent where nothing has changed. */
  readonly strangers?: ReadonlySet<string>;
}

/** An id as it is kept: by type and bytes. */
export const idName = (id: RawValue): string => Buffer.from(identity(id), 'latin1').toString('hex');

/**
 * The last state of each document, deletes first: what one document was in between does not matter, and a document that
 * gave its `_id` to another key has to go before the other one comes.
 */
export function planWrites(request: PlanRequest): CopyPlan {
  const { changes, present, scope, keyField, predecessors } = request;
  const [deletes, updates, inserts]: [RawDocument[], RawDocument[], RawDocument[]] = [[], [], []];
  const displaced: { id: RawValue; key: RawValue }[] = [];
  const strangers = request.strangers && new Strangers(request.strangers);
  let isMissing = false;
  for (const { outcome, document } of changes) {
    const { id, at, deletedAt } = outcome;
    const there = present.get(identity(id));
    const key = document && fieldAt(document, keyField)!;
    const isSame = there !== undefined && key !== undefined && identity(there) === identity(key);
    const hasEnded = there !== undefined && (strangers === undefined || strangers.hasEnded(outcome, there));
    strangers?.follow(outcome, there, document !== undefined);
    // A replacement may not have names with dollars, a document may.
    if (isSame && !predecessors && !hasDollarNames(document!)) {
      updates.push(replacement(id, document!));
      continue;
    }
    // Of a document that comes, whatever has its `_id` goes.
    if (there !== undefined && (document !== undefined || hasEnded) && isOwned(scope, there, deletedAt ?? at)) {
      deletes.push(deletion(id));
      if (!hasEnded && !isSame) displaced.push({ id, key: there });
    }
    if (document !== undefined) inserts.push(document);
    isMissing ||= there === undefined && deletedAt !== undefined;
  }
  return {
    deletes,
    updates,
    inserts,
    isMissing,
    displaced,
    ...(strangers?.hasChanged && { strangers: strangers.ids }),
  };
}

export const isOwned = (scope: ReplicationScope, key: RawValue, at: bigint): boolean =>
  isPartitionKey(key) && isApplied(scope, tokenOfRaw(key), at);

/** Which documents of the origin are not those of the copy that have their ids. */
class Strangers {
  readonly ids: Set<string>;
  hasChanged = false;

  constructor(before: ReadonlySet<string>) {
    this.ids = new Set(before);
  }

  /** Whether the copy's document is one that was deleted. */
  hasEnded({ id, deletedAt, passedBy }: Outcome, there: RawValue): boolean {
    if (deletedAt !== undefined && !this.ids.has(idName(id))) return true;
    return passedBy.some((key) => key !== undefined && identity(key) === identity(there));
  }

  follow({ id, key, present, isNew, deletedAt }: Outcome, there: RawValue | undefined, isWritten: boolean): void {
    const isOther = key === undefined || there === undefined || identity(key) !== identity(there);
    if (isWritten || (!present && deletedAt !== undefined)) this.change(() => this.ids.delete(idName(id)));
    else if (present && isNew && there !== undefined && isOther) this.change(() => !!this.ids.add(idName(id)));
  }

  private change(change: () => boolean): void {
    const before = this.ids.size;
    change();
    this.hasChanged ||= this.ids.size !== before;
  }
}
