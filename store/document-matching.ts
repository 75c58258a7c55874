import { createHash } from 'node:crypto';
import type { RawValue } from './raw-bson.js';
import { identity, idOf } from './raw-bson.js';
import type { RawDocument } from './raw-documents.js';

export type Side = 'source' | 'target';

/** A document of one side that the other side has not shown yet. */
interface Waiting {
  readonly side: Side;
  id: RawValue;
  /** After a while its digest only: the document keeps the whole reply that it came with in memory. */
  content: RawDocument | string;
  /** Documents that came with it. */
  readonly round: Map<string, Waiting>;
}

/** Rounds after which a document that waits for its counterpart is kept as a digest. */
const ROUNDS = 3;

/**
 * Finds the documents that are the same on both sides, byte for byte, while both are read in about the same order: what is
 * held in memory is what one side is ahead of the other, and what differs.
 */
export class DocumentMatching {
  private readonly waiting = new Map<string, Waiting>();
  /** Those of the last rounds that are still documents. */
  private readonly recent: Map<string, Waiting>[] = [new Map()];
  private readonly different = new Map<string, RawValue>();

  /** How many one side is ahead of the other. */
  get ahead(): number {
    return this.waiting.size;
  }

  /** Everything that was not found the same so far. */
  get size(): number {
    return this.waiting.size + this.different.size;
  }

  add(side: Side, documents: readonly RawDocument[]): void {
    for (const document of documents) {
      const id = idOf(document);
      const name = identity(id);
      const other = this.waiting.get(name);
      // Twice on one side: deleted, and inserted again behind where it was read. The later one counts.
      if (other === undefined || other.side === side) {
        const round = this.recent[0]!;
        const waiting = { side, id, content: document, round };
        this.waiting.set(name, waiting);
        round.set(name, waiting);
        continue;
      }
      this.waiting.delete(name);
      other.round.delete(name);
      if (!isSame(other.content, document)) this.different.set(name, ownCopy(id));
    }
  }

  /** Between two rounds of `add`. */
  endRound(): void {
    this.recent.unshift(new Map());
    if (this.recent.length <= ROUNDS) return;
    for (const [name, waiting] of this.recent.pop()!) {
      if (this.waiting.get(name) !== waiting) continue;
      waiting.content = digest(waiting.content as RawDocument);
      waiting.id = ownCopy(waiting.id);
    }
  }

  /** Those that are on both sides and not the same, which are forgotten here. */
  takeDifferent(): Map<string, RawValue> {
    const taken = new Map(this.different);
    this.different.clear();
    return taken;
  }

  /** Ids of all that was not found the same so far. */
  *suspects(): Generator<[name: string, id: RawValue]> {
    yield* this.different;
    for (const [name, { id }] of this.waiting) if (!this.different.has(name)) yield [name, id];
  }

  clear(): void {
    this.waiting.clear();
    this.different.clear();
    for (const round of this.recent) round.clear();
  }
}

/** A part of a reply keeps all of it in memory. */
const ownCopy = ({ type, bytes }: RawValue): RawValue => ({ type, bytes: Uint8Array.from(bytes) });

const isSame = (content: RawDocument | string, document: RawDocument): boolean =>
  typeof content === 'string' ? content === digest(document) : Buffer.compare(content, document) === 0;

export const digest = (document: RawDocument): string => createHash('sha256').update(document).digest('base64');
