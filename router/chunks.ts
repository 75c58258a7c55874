import { compareValues } from '../store/bson-order.js';
import type { Batches } from './batches.js';
import type { RawValue } from '../store/raw-bson.js';

/** Documents a chunk at a time, of about so many bytes. */
export class Chunks implements Batches<Uint8Array> {
  private rest: Uint8Array[] = [];
  private hasEnded = false;

  /** @param keyOf documents come in the order of it: those that are equal are in one chunk */
  constructor(
    private readonly batches: Batches<Uint8Array>,
    private readonly bytes: number,
    private readonly keyOf?: (document: Uint8Array) => readonly RawValue[],
  ) {}

  async next(): Promise<Uint8Array[] | null> {
    const chunk: Uint8Array[] = [];
    let size = 0;
    for (;;) {
      for (const [i, document] of this.rest.entries()) {
        const isOver = chunk.length > 0 && size + document.length > this.bytes;
        if (isOver && !this.belongTogether(chunk.at(-1)!, document)) {
          this.rest = this.rest.slice(i);
          return chunk;
        }
        chunk.push(document);
        size += document.length;
      }
      const batch = this.hasEnded ? null : await this.batches.next();
      this.rest = batch ?? [];
      if (batch !== null) continue;
      this.hasEnded = true;
      return chunk.length > 0 ? chunk : null;
    }
  }

  close(): Promise<void> {
    return this.batches.close();
  }

  private belongTogether(a: Uint8Array, b: Uint8Array): boolean {
    if (this.keyOf === undefined) return false;
    const [ours, theirs] = [this.keyOf(a), this.keyOf(b)];
    return ours.every((value, i) => compareValues(value, theirs[i]!) === 0);
  }
}

/** Documents that are here already, and those after them. */
export class Preceded<T> implements Batches<T> {
  constructor(
    private documents: T[],
    private readonly others?: Batches<T>,
  ) {}

  async next(): Promise<T[] | null> {
    if (this.documents.length === 0) return (await this.others?.next()) ?? null;
    const { documents } = this;
    this.documents = [];
    return documents;
  }

  async close(): Promise<void> {
    await this.others?.close();
  }
}

/** All there are. */
export async function collected<T>(batches: Batches<T>): Promise<T[]> {
  const all: T[] = [];
  try {
    for (let batch = await batches.next(); batch !== null; batch = await batches.next()) {
      for (const each of batch) all.push(each);
    }
  } finally {
    await batches.close();
  }
  return all;
}
