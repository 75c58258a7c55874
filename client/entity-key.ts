import type { Document } from 'mongodb';
import { Long } from 'mongodb';
import type { Partition } from '../domain/partition.js';
import { collectionOn, readOwner } from '../domain/partition.js';
import { TOKEN_END } from '../domain/token.js';
import type { Token } from '../domain/token.js';
import { keyValue } from '../store/key-token.js';
import type { ControlContext } from './context.js';

/** Access records have tokens alone: the key stands in any document of the entity, which its owner finds by the key's hashed index. */
export async function keyOf({ catalog, nodes }: ControlContext, partition: Partition, token: Token): Promise<unknown> {
  if (token + 1n === TOKEN_END) return undefined;
  const { database, dimensions } = await catalog.keyspaces.get(partition.keyspace);
  const { field } = dimensions[0];
  const owner = readOwner(partition, token);
  const client = await nodes.get(owner).catch(() => undefined);
  // A node that is away must not keep the rest from being told.
  const document = await client
    ?.db(database)
    .collection(collectionOn(partition, owner))
    .find<Document>({}, { projection: { _id: 0, [field]: 1 } })
    .hint({ [field]: 'hashed' })
    .min({ [field]: Long.fromBigInt(token) })
    .max({ [field]: Long.fromBigInt(token + 1n) })
    .limit(1)
    .next()
    .catch(() => undefined);
  return document === undefined || document === null ? undefined : keyValue(document, field);
}
