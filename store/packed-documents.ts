import { BSON } from 'mongodb';
import type { RawDocument } from './raw-bson.js';
import {
  DOCUMENT,
  hasZeroTimestamp,
  ID_AT,
  ID_TYPE_AT,
  identity,
  idLengthAt,
  idOf,
  NAME_END_AND_ZERO,
} from './raw-bson.js';

/**
 * Documents one behind the other in one piece of memory, as a server takes them: an object for each of them would cost more than all
 * else that a copy does with it.
 */
export class PackedDocuments implements Iterable<RawDocument> {
  private constructor(
    private readonly memory: Buffer,
    /** Where each of them begins, and where the last one ends. */
    private readonly offsets: readonly number[],
  ) {}

  static of(documents: readonly RawDocument[]): PackedDocuments {
    const offsets = [0];
    for (const { length } of documents) offsets.push(offsets.at(-1)! + length);
    return new PackedDocuments(Buffer.concat(documents), offsets);
  }

  /** @param list a BSON array of documents, whose memory is used for them: it is no array any more */
  static fromList(list: Uint8Array): PackedDocuments {
    const memory = Buffer.from(list.buffer, list.byteOffset, list.length);
    const offsets = [0];
    let end = 0;
    for (let at = LENGTH_BYTES; memory[at] !== 0;) {
      if (memory[at] !== DOCUMENT) throw new BSON.BSONError('a list of documents holds something else');
      while (memory[++at] !== 0);
      at += 1;
      const length = memory.readInt32LE(at);
      memory.copyWithin(end, at, at + length);
      at += length;
      end += length;
      offsets.push(end);
    }
    return new PackedDocuments(memory.subarray(0, end), offsets);
  }

  get length(): number {
    return this.offsets.length - 1;
  }

  /** All of them, one behind the other. */
  get bytes(): Uint8Array {
    return this.memory;
  }

  at(index: number): RawDocument {
    return this.memory.subarray(this.offsets[index], this.offsets[index + 1]);
  }

  /** @throws RangeError when there is none */
  get last(): RawDocument {
    if (this.length === 0) throw new RangeError('there is no last one of no documents');
    return this.at(this.length - 1);
  }

  *[Symbol.iterator](): Generator<RawDocument> {
    for (let i = 0; i < this.length; i++) yield this.at(i);
  }

  /** The `identity` of an `_id`. */
  identityAt(index: number): string {
    const { memory } = this;
    const from = this.offsets[index]!;
    const length = idLengthAt(memory, from);
    if (length === undefined) return identity(idOf(this.at(index)));
    return `${memory[from + ID_TYPE_AT]} ${memory.toString('latin1', from + ID_AT, from + ID_AT + length)}`;
  }

  /** Whether one of these is one of others, byte for byte. */
  isSame(index: number, others: PackedDocuments, other: number): boolean {
    const [from, to] = [this.offsets[index]!, this.offsets[index + 1]!];
    return others.memory.compare(this.memory, from, to, others.offsets[other], others.offsets[other + 1]) === 0;
  }

  /** @returns itself where nothing is left out */
  filter(isKept: (index: number) => boolean): PackedDocuments {
    const kept: RawDocument[] = [];
    for (let i = 0; i < this.length; i++) if (isKept(i)) kept.push(this.at(i));
    return kept.length === this.length ? this : PackedDocuments.of(kept);
  }

  /** In the same memory. At least one document in each. */
  *pieces(maxBytes: number): Generator<PackedDocuments> {
    const { offsets } = this;
    for (let from = 0, to = 1; from < this.length; from = to++) {
      const begin = offsets[from]!;
      while (to < this.length && offsets[to + 1]! - begin <= maxBytes) to += 1;
      const its = offsets.slice(from, to + 1).map((offset) => offset - begin);
      yield new PackedDocuments(this.memory.subarray(begin, offsets[to]), its);
    }
  }

  /** Indexes of those that the server would put the present time into. */
  withZeroTimestamp(): number[] {
    const found: number[] = [];
    let i = 0;
    for (let at = 0; (at = this.memory.indexOf(NAME_END_AND_ZERO, at)) >= 0; at = this.offsets[i]!) {
      while (this.offsets[i + 1]! <= at) i += 1;
      if (hasZeroTimestamp(this.at(i))) found.push(i);
      i += 1;
    }
    return found;
  }
}

/** Of a document or a list, by which it begins. */
const LENGTH_BYTES = 4;
