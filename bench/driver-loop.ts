import type { Db, Document } from 'mongodb';
import { decoded, readDefinition } from '../store/collection-definition.js';
import { indexesToCopy } from '../store/shadow-indexes.js';

const BATCH = 1_000;

/** Copies a collection as one does with the driver: in batches of 1,000, then the indexes. */
export async function copyByLoop(from: Db, to: Db, collection: string): Promise<void> {
  let batch: Document[] = [];
  for await (const document of from.collection(collection).find({}, { batchSize: BATCH })) {
    batch.push(document);
    if (batch.length < BATCH) continue;
    await to.collection(collection).insertMany(batch);
    batch = [];
  }
  if (batch.length > 0) await to.collection(collection).insertMany(batch);
  const { unique, others } = indexesToCopy((await readDefinition(from, collection))!);
  await to.command({
    createIndexes: collection,
    indexes: [...unique, ...others].map(({ options }) => decoded(options)),
  });
}
