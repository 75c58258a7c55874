import type { AggregateOptions, Collection, Document } from 'mongodb';

/** What the storage engine says of a collection, which costs the same whatever its size; after a crash it may be off. */
export async function storageStats(collection: Collection, options?: AggregateOptions): Promise<Document> {
  const [stats] = await collection.aggregate([{ $collStats: { storageStats: {} } }], options).toArray();
  return stats!['storageStats'] as Document;
}
