import type { Collection, FindCursor } from 'mongodb';
import { BSON } from 'mongodb';
import { compareValues } from './bson-order.js';
import type { RawDocument, RawValue } from './raw-bson.js';
import { decode, decodeDocument, idOf } from './raw-bson.js';

/** The next document of a collection that is read in the order of `_id`. */
interface Head {
  readonly cursor: FindCursor;
  readonly document: RawDocument;
  readonly id: RawValue;
}

/**
 * Values of `_id` that more than one of the collections has, with the partition keys of their documents: as sentences, at most so many.
 * Reads all of them once, side by side in the order of `_id`; what is written meanwhile may be missed.
 */
export async function equalIds(
  collections: readonly Collection[],
  keyField: string,
  most: number,
): Promise<readonly string[]> {
  const cursors = collections.map((collection) =>
    collection.find({}, { projection: { _id: 1, [keyField]: 1 }, sort: { _id: 1 }, hint: { _id: 1 }, raw: true }),
  );
  try {
    return await inOrder(cursors, most);
  } finally {
    await Promise.all(cursors.map((cursor) => cursor.close()));
  }
}

async function inOrder(cursors: readonly FindCursor[], most: number): Promise<string[]> {
  const heads: Head[] = [];
  for (const cursor of cursors) await readOn(cursor, heads);
  const found: string[] = [];
  let same: Head[] = [];
  while (heads.length > 0 && found.length < most) {
    const head = heads.shift()!;
    if (same.length > 0 && compareValues(same[0]!.id, head.id) !== 0) {
      if (same.length > 1) found.push(describe(same));
      same = [];
    }
    same.push(head);
    await readOn(head.cursor, heads);
  }
  if (same.length > 1 && found.length < most) found.push(describe(same));
  return found;
}

/** Puts the cursor's next document where it belongs among those of the others. */
async function readOn(cursor: FindCursor, heads: Head[]): Promise<void> {
  const document = (await cursor.next()) as RawDocument | null;
  if (document === null) return;
  const id = idOf(document);
  let [low, high] = [0, heads.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareValues(heads[middle]!.id, id) <= 0) low = middle + 1;
    else high = middle;
  }
  heads.splice(low, 0, { cursor, document, id });
}

const describe = (same: readonly Head[]): string => {
  const documents = same.map(({ document }) => BSON.EJSON.stringify(decodeDocument(document), { relaxed: true }));
  return `${BSON.EJSON.stringify({ _id: decode(same[0]!.id) }, { relaxed: true })}: ${documents.join(' and ')}`;
};
