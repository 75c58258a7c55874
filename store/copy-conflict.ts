import type { Collection, Document } from 'mongodb';
import { BSON } from 'mongodb';
import type { ClusterTime } from '../domain/partition.js';
import type { ReplicationScope } from '../domain/replication.js';
import { DroverError } from '../domain/errors.js';
import { idName, isOwned } from './copy-plan.js';
import type { RefusedInsert } from './copy-writer.js';
import type { OriginDocuments } from './origin-documents.js';
import type { RawDocument, RawValue } from './raw-bson.js';
import { decode, field, fieldAt, identity, idOf } from './raw-bson.js';

/** A document that is not in a copy because of another one. */
export interface LeftOut {
  /**
   * `removed`: there was only the copy of it any more, and the owner has accepted another one with its value since. `leftOut`: it is where the
   * owner has accepted it, but the copy can't take it.
   */
  readonly what: 'leftOut' | 'removed';
  /** Its `_id` and its partition key, as extended JSON. */
  readonly document: string;
  /** Fields whose values are those of the other one. */
  readonly fields: readonly string[];
}

interface Identified {
  readonly id: RawValue;
  readonly key: RawValue | undefined;
}

/**
 * Documents of a collection that sprang up in the place of a lost one, and may have equal values under the unique indexes of the copy, as it has
 * none: the copy can't have both. What the owner has accepted last counts, and takes the place of a document that there is only a copy of any more.
 * It is left out where the other document belongs to the other side, or is at the owner, too.
 */
export class EqualValues {
  /** By {@link idName}. */
  private readonly removed = new Map<string, RawValue>();
  private readonly leftOut = new Set<string>();

  constructor(
    private readonly copy: Collection,
    private readonly keyField: string,
    private readonly origin: OriginDocuments,
    /** Told before anything is removed or left out. */
    private readonly onLeftOut: (what: LeftOut) => Promise<void>,
  ) {}

  isLeftOut(id: RawValue): boolean {
    return this.leftOut.size > 0 && this.leftOut.has(idName(id));
  }

  /** Ids of documents that go before any of the others comes. */
  get toRemove(): readonly RawValue[] {
    return [...this.removed.values()];
  }

  /**
   * Says what becomes of a document that was refused, and of the other one.
   *
   * @param at time of its change
   * @throws DroverError `DuplicateId` when that has been said already
   */
  async settle(refusal: RefusedInsert, scope: ReplicationScope, at: ClusterTime): Promise<void> {
    const { refused, document } = refusal;
    const incoming = { id: idOf(document), key: fieldAt(document, this.keyField) };
    const fields = Object.keys(refused.keyPattern ?? {});
    const other = await this.holderOf(refusal);
    if (other !== undefined && (await this.mayGo(other, scope, at))) {
      await this.onLeftOut(removedFor(other, fields));
      this.removed.set(idName(other.id), other.id);
      return;
    }
    if (this.isLeftOut(incoming.id)) throw new DroverError('DuplicateId', refused.message);
    await this.onLeftOut({ what: 'leftOut', document: shown(incoming), fields });
    this.leftOut.add(idName(incoming.id));
  }

  private async mayGo(other: Identified, scope: ReplicationScope, at: ClusterTime): Promise<boolean> {
    if (this.removed.has(idName(other.id)) || other.key === undefined || !isOwned(scope, other.key, at)) return false;
    const found = await this.origin.lookUp([{ id: other.id, at }], Infinity);
    const atOrigin = found?.get(identity(other.id)) ?? null;
    const key = atOrigin === null ? undefined : fieldAt(atOrigin, this.keyField);
    return key === undefined || identity(key) !== identity(other.key);
  }

  /** The document of the copy that has the value; undefined when it was written by the same transaction, or can't be told. */
  private async holderOf({ refused, document }: RefusedInsert): Promise<Identified | undefined> {
    const { copy, keyField } = this;
    const { keyPattern, keyValue } = refused;
    if (keyPattern === undefined || keyValue === undefined) return undefined;
    const index = (await copy.indexes()).find(({ key }) => shownExactly(key) === shownExactly(keyPattern));
    if (index === undefined) return undefined;
    const { collation, partialFilterExpression } = index;
    // By a collation the server tells what it compares, not the value.
    const values = collation === undefined ? keyValue : valuesOf(document, keyPattern);
    const equal = Object.entries(values).map(([path, value]) => ({ [path]: { $eq: value as unknown } }));
    const filter = { $and: [...equal, ...(partialFilterExpression === undefined ? [] : [partialFilterExpression])] };
    const options = { projection: { _id: 1, [keyField]: 1 }, raw: true, ...(collation && { collation }) };
    const found = (await copy.findOne(filter, options)) as Uint8Array | null;
    return found === null ? undefined : { id: field(found, '_id')!, key: fieldAt(found, keyField) };
  }
}

const valuesOf = (document: RawDocument, keyPattern: Document): Document =>
  Object.fromEntries(
    Object.keys(keyPattern).map((path) => {
      const value = fieldAt(document, path);
      return [path, value === undefined ? null : decode(value)];
    }),
  );

const shownExactly = (value: unknown): string => BSON.EJSON.stringify(value, { relaxed: true });

export const removedFor = (other: Identified, fields: readonly string[]): LeftOut => ({
  what: 'removed',
  document: shown(other),
  fields,
});

const shown = ({ id, key }: Identified): string =>
  shownExactly({ _id: decode(id), ...(key === undefined ? {} : { key: decode(key) }) });
