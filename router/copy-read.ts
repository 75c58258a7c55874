import type { ClientSession, Collection } from 'mongodb';
import { MongoNetworkError, MongoServerSelectionError } from 'mongodb';
import type { KeyspaceHandle } from './keyspaces.js';
import type { Copy } from './nearest.js';
import { sessionAtCopy } from './nearest.js';
import { ownHandle } from './own-read-concern.js';
import type { PartitionRoute } from './route-table.js';
import type { DroverSession } from './session.js';

/** @returns undefined when the copy can't be read, or may have been removed meanwhile: the owner is to be asked */
export async function readCopy<T>(
  { database }: KeyspaceHandle,
  route: PartitionRoute,
  copy: Copy,
  request: (collection: Collection, session: ClientSession) => Promise<T>,
  ours: DroverSession | undefined,
): Promise<{ readonly result: T } | undefined> {
  const { node, client } = copy;
  const read = route.reads.begin(node);
  const { session, end } = sessionAtCopy(copy, [route], ours);
  try {
    const result = await request(ownHandle(client, route.collection(database, node, client)), session);
    if (!copy.isSure()) return undefined;
    ours?.readCopyOf(copy.owner);
    ours?.servedBy(route, node);
    return { result };
  } catch (error) {
    const isAway = error instanceof MongoNetworkError || error instanceof MongoServerSelectionError;
    if (!isAway) throw error;
    copy.forget();
    return undefined;
  } finally {
    end();
    route.reads.end(read);
  }
}
