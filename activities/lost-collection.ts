import type { NodeName } from '../domain/partition.js';
import type { CollectionState } from '../store/fenced-collection.js';
import type { Dependencies } from './dependencies.js';
import type { MoveContext } from './move-context.js';

/** What becomes of a move when somebody drops or renames one of its collections. */

/**
 * Under the name of a copy there is another collection than the one that the move knows. Whoever made it may need what is in it: it
 * stays, behind the fence that it was given; what an attempt before this one has put there itself is closed and empty.
 */
export async function leaveAlone(
  { catalog, log }: Dependencies,
  { keyspace, move: { migration } }: MoveContext,
  node: NodeName,
  collection: string,
  { uuid, fenced, empty }: CollectionState,
): Promise<void> {
  if ((fenced && empty) || uuid === undefined) return;
  const name = `${keyspace.database}.${collection}`;
  const error =
    `${name} on "${node}" is not the collection that was moved: somebody has dropped that one and made another of its name. Its ` +
    'documents are left as they are, and no partition has them: rename it, or drop it';
  log.error(error, { migration, node, collection: name });
  await catalog.migrations.update(migration, { $set: { error }, $addToSet: { leftAlone: { node, uuid } } });
}
