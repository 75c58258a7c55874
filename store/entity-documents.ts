import type { Collection, Document } from 'mongodb';
import type { Token } from '../domain/token.js';
import { keyValue } from './key-token.js';
import type { CountLimits } from './part-count.js';
import { countIn } from './part-count.js';
import type { Part } from './part.js';
import { rangeOf } from './part.js';

/** Its documents: those of one token. */
const partOfEntity = (keyField: string, token: Token): Part => ({ keyField, tokens: { low: token, high: token + 1n } });

/**
 * The key of an entity that only the token is known of: it stands in any of its documents, which are found by the key's hashed index.
 *
 * @returns undefined where there is no document of it
 */
export async function keyOfToken(collection: Collection, keyField: string, token: Token): Promise<unknown> {
  const document = await collection
    .find<Document>({}, { projection: { _id: 0, [keyField]: 1 }, ...rangeOf(partOfEntity(keyField, token)) })
    .limit(1)
    .next();
  return document === null ? undefined : keyValue(document, keyField);
}

/** Documents of an entity that are measured. */
const MEASURED = 100;

export interface SizeOfToken {
  readonly documents: number;
  /** About: by the first hundred documents, which are mostly the same ones each time, so that it does not jump. */
  readonly bytes: number;
}

/** How large an entity is, by the hashed index on its key. */
export async function sizeOfToken(
  collection: Collection,
  { keyField, token }: { readonly keyField: string; readonly token: Token },
  limits: CountLimits,
): Promise<SizeOfToken> {
  const part = partOfEntity(keyField, token);
  const documents = await countIn(collection, part, limits);
  const measured = await collection
    .find<{ bytes: number }>(
      {},
      { ...rangeOf(part), ...limits, projection: { _id: 0, bytes: { $bsonSize: '$$ROOT' } }, limit: MEASURED },
    )
    .toArray();
  const bytes = measured.reduce((sum, each) => sum + each.bytes, 0);
  return { documents, bytes: Math.round((documents * bytes) / Math.max(1, measured.length)) };
}
