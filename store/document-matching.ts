import { createHash } from 'node:crypto';
import type { PackedDocuments } from './packed-documents.js';
import type { RawDocument, RawValue } from './raw-bson.js';
import { idOf } from './raw-bson.js';

export type Side = 'source' | 'target';

/** A document of one side that the other side has not shown yet. */
interface Waiting {
  readonly side: Side;
  /** Among those that it came with. */
  readonly index: number;
  /** Not for long, and no longer than it waits: a reply is kept in memory as a whole. */
  documents: PackedDocuments | undefined;
  /** In their place. */
  digest: Digest | undefined;
}

interface Digest {
  readonly id: RawValue;
  readonly content: string;
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
  private readonly recent: Waiting[][] = [[]];
  private readonly different = new Map<string, RawValue>();

  /** How many one side is ahead of the other. */
  get ahead(): number {
    return this.waiting.size;
  }

  /** Everything that was not found the same so far. */
  get size(): number {
    return this.waiting.size + this.different.size;
  }

  add(side: Side, documents: PackedDocuments): void {
    const [round] = this.recent;
    for (let index = 0; index < documents.length; index++) {
      const name = documents.identityAt(index);
      const other = this.waiting.get(name);
      // Twice on one side: deleted, and inserted again behind where it was read. The later one counts.
      if (other === undefined || other.side === side) {
        if (other !== undefined) other.documents = undefined;
        const waiting = { side, index, documents, digest: undefined };
        this.waiting.set(name, waiting);
        round!.push(waiting);
        continue;
      }
      this.waiting.delete(name);
      if (!isSame(other, documents, index)) this.different.set(name, ownCopy(idOf(documents.at(index))));
      other.documents = undefined;
    }
  }

  /** Between two rounds of `add`. */
  endRound(): void {
    this.recent.unshift([]);
    if (this.recent.length <= ROUNDS) return;
    for (const waiting of this.recent.pop()!) {
      if (waiting.documents === undefined) continue;
      const document = waiting.documents.at(waiting.index);
      waiting.digest = { id: ownCopy(idOf(document)), content: digest(document) };
      waiting.documents = undefined;
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
    for (const [name, { documents, index, digest: kept }] of this.waiting) {
      if (!this.different.has(name)) yield [name, kept?.id ?? idOf(documents!.at(index))];
    }
  }

  clear(): void {
    this.waiting.clear();
    this.different.clear();
    this.recent.splice(0, Infinity, []);
  }
}

/** A part of a reply keeps all of it in memory. */
const ownCopy = ({ type, bytes }: RawValue): RawValue => ({ type, bytes: Uint8Array.from(bytes) });

function isSame(
  { digest: kept, documents: theirs, index: their }: Waiting,
  documents: PackedDocuments,
  index: number,
): boolean {
  return kept === undefined ? documents.isSame(index, theirs!, their) : kept.content === digest(documents.at(index));
}

export const digest = (document: RawDocument): string => createHash('sha256').update(document).digest('base64');
