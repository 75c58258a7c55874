import { DroverError } from '../domain/errors.js';
import type { NodeName } from '../domain/partition.js';
import { collectionOn, expiringNodes } from '../domain/partition.js';
import { expiries, NEVER, readDefinition } from '../store/collection-definition.js';
import { setExpiry } from '../store/expiry.js';
import type { Dependencies } from './dependencies.js';
import type { KeptDefinition } from './kept-definition.js';
import { keptOf, lastKept, noteExpiry } from './kept-definition.js';
import type { MoveContext, PartitionContext } from './move-context.js';

/**
 * Lets documents expire on some of the move's nodes only, or on none; in a collection that others are in theirs as well. What was
 * suspended is in the migration's record, so that it can be set again whoever ends the move.
 *
 * @param signal nobody waits for it any more: nothing is suspended then
 */
export async function letExpire(
  { catalog }: Dependencies,
  context: MoveContext,
  nodes: readonly NodeName[],
  signal?: AbortSignal,
): Promise<void> {
  const { migration, source, target } = context.move;
  const kept = await keptOf(catalog, migration);
  if (kept === undefined) return;
  const note = noting(catalog, migration, kept);
  const setAt = (each: NodeName) =>
    nodes.includes(each) ? resume(context, kept, each, signal) : suspend(context, kept, each, note, signal);
  // Suspended first: documents of the partition expire on one side at most.
  for (const each of [source, target].sort((a, b) => Number(nodes.includes(a)) - Number(nodes.includes(b))))
    await setAt(each);
}

/**
 * Sets right where documents of a partition expire: no longer where it is not owned as a whole, and again where it is and a
 * move that is over had suspended it.
 *
 * @throws DroverError `Refused` when no migration knows of it
 */
export async function restoreExpiry(
  { catalog }: Dependencies,
  context: PartitionContext,
  node: NodeName,
): Promise<void> {
  const { partition } = context;
  const last = await lastKept(catalog, partition, node);
  if (last === undefined) throw new DroverError('Refused', `no migration has told of the expiry of ${partition.id}`);
  const { migration, kept } = last;
  if (expiringNodes(partition).includes(node)) await resume(context, kept, node);
  else await suspend(context, kept, node, noting(catalog, migration, kept));
}

/** Notes one after the other, each as long as nobody else has noted anything since. */
function noting(catalog: Dependencies['catalog'], migration: string, kept: KeptDefinition) {
  let latest = kept;
  return async (index: string, seconds: number): Promise<void> => {
    latest = await noteExpiry(catalog, migration, latest, index, seconds);
  };
}

/** Of indexes that are suspended only: what somebody else has set is what is wanted now. */
async function resume(
  context: PartitionContext,
  kept: KeptDefinition,
  node: NodeName,
  signal?: AbortSignal,
): Promise<void> {
  if (kept.expiries.size === 0) return;
  for (const { index, now, set } of await expiringIndexes(context, kept, node)) {
    const seconds = kept.expiries.get(index);
    if (now === NEVER && seconds !== undefined && seconds !== NEVER) await set(seconds, signal);
  }
}

/** @param note told first what an index is suspended from, where that is not what is kept */
async function suspend(
  context: PartitionContext,
  kept: KeptDefinition,
  node: NodeName,
  note: (index: string, seconds: number) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  for (const { index, now, set } of await expiringIndexes(context, kept, node)) {
    if (now === NEVER) continue;
    if (now !== kept.expiries.get(index)) await note(index, now);
    const before = await set(NEVER, signal);
    if (before !== undefined && before !== now && before !== NEVER) await note(index, before);
  }
}

/** In the collection that the migration knows at the node. */
async function expiringIndexes(context: PartitionContext, kept: KeptDefinition, node: NodeName) {
  const { partition } = context;
  const [db, collection] = [context.db(node), collectionOn(partition, node)];
  const found = await readDefinition(db, collection);
  if (found === undefined || found.uuid !== kept.uuids[node]) return [];
  return [...expiries(found)].map(([index, now]) => ({
    index,
    now,
    set: (seconds: number, signal?: AbortSignal) => setExpiry(db, collection, found.uuid, index, seconds, signal),
  }));
}
