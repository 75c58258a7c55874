import type { Partition } from '../domain/partition.js';
import { collectionOn, readOwner } from '../domain/partition.js';
import type { Token } from '../domain/token.js';
import { keyOfToken } from '../store/entity-documents.js';
import type { ControlContext } from './context.js';

/** Access records have tokens alone: the owner finds the key. */
export async function keyOf({ catalog, nodes }: ControlContext, partition: Partition, token: Token): Promise<unknown> {
  const { database, dimensions } = await catalog.keyspaces.get(partition.keyspace);
  const owner = readOwner(partition, token);
  try {
    const collection = (await nodes.get(owner)).db(database).collection(collectionOn(partition, owner));
    return await keyOfToken(collection, dimensions[0].field, token);
  } catch {
    // A node that is away must not keep the rest from being told.
    return undefined;
  }
}
