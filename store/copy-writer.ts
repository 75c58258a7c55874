import type { ClientSession, Collection, Db } from 'mongodb';
import { MongoServerError, UUID } from 'mongodb';
import { PackedDocuments } from './packed-documents.js';
import type { RawDocument, RawValue } from './raw-bson.js';
import {
  compose,
  exactly,
  field,
  fieldAt,
  hasZeroTimestamp,
  identity,
  RAW_ONE,
  rawDocument,
  withId,
} from './raw-bson.js';
import type { RefusedWrite } from './raw-documents.js';
import { findRaw, writeRaw } from './raw-documents.js';

/** A document that could not be inserted. */
export class RefusedInsert extends MongoServerError {
  constructor(
    readonly refused: RefusedWrite,
    readonly document: RawDocument,
  ) {
    super(refused);
  }
}

/** What one transaction does to a copy, in this order. */
export interface CopyWrites {
  /** As {@link deletion}. */
  readonly deletes: readonly RawDocument[];
  /** As {@link replacement}. */
  readonly updates: readonly RawDocument[];
  /** Documents. */
  readonly inserts: readonly RawDocument[];
}

/** Writes to the copy of a partition, past its fence, in the transactions of one session. */
export class CopyWriter {
  constructor(
    private readonly copy: Collection,
    private readonly destination: Db,
    private readonly session: ClientSession,
    /** Of the collection, where it is known: another one of its name is not written to. */
    private readonly uuid: string | undefined,
    /** More is not sent in one message, unless a single document is larger. */
    private readonly mostBytes: number,
  ) {}

  /** The keys of those documents that are there, by the identity of their `_id`. */
  async presentKeys(ids: readonly RawValue[], keyField: string): Promise<Map<string, RawValue>> {
    const found = await findRaw(this.copy, ids, { projection: { _id: 1, [keyField]: 1 }, session: this.session });
    return new Map(found!.map((document) => [identity(field(document, '_id')!), fieldAt(document, keyField)!]));
  }

  /** Refused by the server, as writes are, when another collection has the name of the copy, or none. */
  async confirm(): Promise<void> {
    const { copy, destination, uuid, session } = this;
    if (uuid === undefined) return;
    const command = { find: copy.collectionName, projection: { _id: 1 }, limit: 1, singleBatch: true };
    await destination.command({ ...command, collectionUUID: new UUID(uuid) }, { session });
  }

  /** @returns how many documents were written or deleted */
  async write({ deletes, updates, inserts }: CopyWrites): Promise<number> {
    await this.command('delete', deletes);
    await this.command('update', updates);
    await this.command('insert', inserts);
    return deletes.length + updates.length + inserts.length;
  }

  private async command(command: 'insert' | 'update' | 'delete', writes: readonly RawDocument[]): Promise<void> {
    if (writes.length === 0) return;
    const { copy, destination, uuid, session } = this;
    for (const piece of PackedDocuments.of(writes).pieces(this.mostBytes)) {
      const refused = await writeRaw(destination, command, copy.collectionName, piece, session, uuid);
      if (refused === undefined) continue;
      throw command === 'insert' ? new RefusedInsert(refused, piece.at(refused.index)) : new MongoServerError(refused);
    }
  }
}

export const deletion = (id: RawValue): RawDocument =>
  compose([
    ['q', withId(id)],
    ['limit', RAW_ONE],
  ]);

export const replacement = (id: RawValue, document: RawDocument): RawDocument =>
  compose([
    ['q', withId(id)],
    ['u', hasZeroTimestamp(document) ? exactly(document) : rawDocument(document)],
  ]);
