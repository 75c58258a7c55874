import type { ClientSession, Db } from 'mongodb';
import type { Outcome } from './change-outcome.js';
import { timeToBson } from './codec.js';
import type { Part } from './part.js';
import type { RawDocument } from './raw-bson.js';
import { field, identity } from './raw-bson.js';
import { bytesOf, findRaw } from './raw-documents.js';

/** By identity of the `_id`; null of one that is gone. */
export type Documents = ReadonlyMap<string, RawDocument | null>;

/** Of a document, before any has been seen. */
const FIRST_GUESS_BYTES = 16 * 1024;

/** The present state of documents at the origin of changes. */
export class OriginDocuments {
  averageBytes = FIRST_GUESS_BYTES;

  constructor(
    private readonly origin: Db,
    private readonly collection: string,
    /** The partition's documents, where the collection holds others, too. */
    private readonly part: Part | undefined,
    /** Causally consistent. */
    private readonly session: ClientSession,
  ) {}

  /**
   * Null of one that is gone, which a later change will say.
   *
   * @returns undefined when there are more than `maxBytes` in several documents
   */
  async lookUp(outcomes: readonly Pick<Outcome, 'id' | 'at'>[], maxBytes: number): Promise<Documents | undefined> {
    const documents = new Map<string, RawDocument | null>(outcomes.map(({ id }) => [identity(id), null]));
    if (outcomes.length === 0) return documents;
    const { origin, collection, part, session } = this;
    const newest = outcomes.reduce((latest, { at }) => (at > latest ? at : latest), 0n);
    // After an election the new primary's majority may be behind a change that the old one has told of.
    session.advanceOperationTime(timeToBson(newest));
    const options = { readConcern: { level: 'majority' as const }, session };
    const ids = outcomes.map(({ id }) => id);
    const limit = outcomes.length === 1 ? Infinity : maxBytes;
    const found = await findRaw(origin.collection(collection), ids, { ...options, part, maxBytes: limit });
    if (found === undefined) return undefined;
    for (const document of found) documents.set(identity(field(document, '_id')!), document);
    if (found.length > 0) this.averageBytes = bytesOf(found) / found.length;
    return documents;
  }
}
