import type { Collection, Document } from 'mongodb';
import type { TokenLoad } from '../domain/weights.js';
import { tokenFromBson } from './codec.js';

/** Tokens of a random sample of documents, each with a load of one. */
export async function sampleTokens(collection: Collection, keyField: string, size = 1_000): Promise<TokenLoad[]> {
  const sampled = await collection
    .aggregate<Document>([
      { $sample: { size } },
      { $project: { _id: 0, token: { $toHashedIndexKey: `$${keyField}` } } },
    ])
    .toArray();
  return sampled.map(({ token }) => ({ token: tokenFromBson(token), load: 1 }));
}
