import pMap from 'p-map';
import { compareValues } from '../store/bson-order.js';
import type { RawValue } from '../store/raw-bson.js';
import { field, fields } from '../store/raw-bson.js';
import type { Batches } from './batches.js';

/** Field in which nodes send what they have sorted a document by. */
export const SORT_KEY = '__droverSortKey';

/** 1 ascending, -1 descending: one for each part of a sort. */
export type Directions = readonly (1 | -1)[];

/** A stream, and where it is. */
interface Head {
  readonly stream: Batches<Uint8Array>;
  /** Place among the streams: what is equal comes in this order. */
  readonly place: number;
  documents: readonly Uint8Array[];
  at: number;
  key: readonly RawValue[];
}

/** Several sorted streams as one. */
export class Merged implements Batches<Uint8Array> {
  /** In the order of their present documents. */
  private readonly heads: Head[] = [];
  private spent: Head[];

  /** @param streams of documents with a {@link SORT_KEY}, each of them in order */
  constructor(
    private readonly streams: readonly Batches<Uint8Array>[],
    private readonly directions: Directions,
    /** Streams that are asked at once. */
    private readonly concurrency: number,
    private readonly keyOf: (document: Uint8Array) => readonly RawValue[] = sortKeyOf,
  ) {
    this.spent = streams.map((stream, place) => ({ stream, place, documents: [], at: 0, key: [] }));
  }

  /** As many as can be told before one of the streams has to be asked again. */
  async next(): Promise<Uint8Array[] | null> {
    await pMap(this.spent.splice(0), (head) => this.refill(head), { concurrency: this.concurrency });
    const merged: Uint8Array[] = [];
    while (this.spent.length === 0 && this.heads.length > 0) {
      const head = this.heads.shift()!;
      merged.push(head.documents[head.at]!);
      head.at += 1;
      if (head.at < head.documents.length) this.insert(head);
      else this.spent.push(head);
    }
    return merged.length > 0 ? merged : null;
  }

  async close(): Promise<void> {
    await Promise.all(this.streams.map((stream) => stream.close()));
  }

  private async refill(head: Head): Promise<void> {
    const documents = await head.stream.next();
    if (documents === null) return;
    head.documents = documents;
    head.at = 0;
    this.insert(head);
  }

  private insert(head: Head): void {
    head.key = this.keyOf(head.documents[head.at]!);
    let low = 0;
    let high = this.heads.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.compare(this.heads[middle]!, head) < 0) low = middle + 1;
      else high = middle;
    }
    this.heads.splice(low, 0, head);
  }

  private compare(a: Head, b: Head): number {
    for (const [i, direction] of this.directions.entries()) {
      const difference = compareValues(a.key[i]!, b.key[i]!);
      if (difference !== 0) return difference * direction;
    }
    return a.place - b.place;
  }
}

/** The server sends an array, one element for each part of the sort; a distance is a number alone. */
function sortKeyOf(document: Uint8Array): readonly RawValue[] {
  const key = field(document, SORT_KEY)!;
  return key.type === ARRAY ? [...fields(key.bytes).values()] : [key];
}

const ARRAY = 0x04;
