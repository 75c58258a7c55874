import type { Document } from 'mongodb';
import type { ControlContext } from '../client/context.js';
import { collectionOn } from '../domain/partition.js';

/**
 * Every document of a keyspace on every node, whether that node owns it or not: a document that is stored on two nodes
 * comes twice. Partitions must not be moving.
 */
export async function storedDocuments<T extends Document>(
  { catalog, nodes }: ControlContext,
  keyspace: string,
): Promise<T[]> {
  const { database } = await catalog.keyspaces.get(keyspace);
  const partitions = await catalog.partitions.list(keyspace);
  const found: T[] = [];
  for (const node of await catalog.nodes.list()) {
    const db = (await nodes.get(node._id)).db(database);
    for (const name of new Set(partitions.map((partition) => collectionOn(partition, node._id)))) {
      found.push(...((await db.collection(name).find({}).toArray()) as unknown as T[]));
    }
  }
  return found;
}
