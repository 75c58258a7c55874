import type { Collection, Document } from 'mongodb';
import { Long } from 'mongodb';
import type { Token } from '../domain/token.js';
import { TOKEN_END } from '../domain/token.js';
import { keyValue } from './key-token.js';

/**
 * The key of an entity that only the token is known of: it stands in any of its documents, which are found by the key's hashed index.
 *
 * @returns undefined where there is no document of it
 */
export async function keyOfToken(collection: Collection, keyField: string, token: Token): Promise<unknown> {
  if (token + 1n === TOKEN_END) return undefined;
  const document = await collection
    .find<Document>({}, { projection: { _id: 0, [keyField]: 1 } })
    .hint({ [keyField]: 'hashed' })
    .min({ [keyField]: Long.fromBigInt(token) })
    .max({ [keyField]: Long.fromBigInt(token + 1n) })
    .limit(1)
    .next();
  return document === null ? undefined : keyValue(document, keyField);
}

/**
 * How many documents an entity has, by an index on its key.
 *
 * @param maxTimeMS that the server may take: the hashed index alone does not say it, it looks at each document
 * @returns undefined where there is none
 */
export async function documentsOfToken(
  collection: Collection,
  { keyField, token }: { readonly keyField: string; readonly token: Token },
  maxTimeMS: number,
): Promise<number | undefined> {
  const key = await keyOfToken(collection, keyField, token);
  if (key === undefined) return undefined;
  return collection.countDocuments({ [keyField]: { $eq: key } }, { readConcern: { level: 'local' }, maxTimeMS });
}
