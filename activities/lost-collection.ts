import { restoreLostFences } from '../domain/boundary-step.js';
import { DroverError } from '../domain/errors.js';
import type { NodeName, Partition } from '../domain/partition.js';
import { collectionOn, isSharedOn, tokensOf } from '../domain/partition.js';
import type { World } from '../domain/step.js';
import { run } from '../domain/step.js';
import { operationTime } from '../store/change-log.js';
import { scopeFromBson } from '../store/codec.js';
import { readDefinition } from '../store/collection-definition.js';
import type { CollectionState } from '../store/fenced-collection.js';
import { createFenced } from '../store/fenced-collection.js';
import type { LeftOut } from '../store/copy-conflict.js';
import type { Dependencies, Move } from './dependencies.js';
import { keptFrom } from './kept-definition.js';
import type { MoveContext } from './move-context.js';

/** What becomes of a move when somebody drops or renames one of its collections. */

/**
 * Under the name of a copy there is another collection than the one that the move knows. Whoever made it may need what is in it: it
 * stays, behind the fence that it was given; what an attempt before this one has put there itself is closed and empty.
 */
export async function leaveAlone(
  { catalog, log }: Dependencies,
  { keyspace, partition, move: { migration } }: MoveContext,
  node: NodeName,
  collection: string,
  { uuid, fenced, empty }: CollectionState,
): Promise<void> {
  if ((fenced && empty) || uuid === undefined) return;
  const name = `${keyspace.database}.${collection}`;
  const what =
    `${name} on "${node}" is not a collection of the move: somebody has made it under that name. ` +
    (isSharedOn(partition, node)
      ? `Documents of ${partition.id} that are in it are not deleted: look at what it holds`
      : 'Its documents are left as they are, and no partition has them: rename it, or drop it');
  log.error(what, { migration, node, collection: name });
  const before = (await catalog.migrations.find(migration))?.error;
  const error = before === undefined || before.includes(what) ? (before ?? what) : `${before}; ${what}`;
  await catalog.migrations.update(migration, { $set: { error }, $addToSet: { leftAlone: { node, uuid } } });
}

/** The record names so many. */
const MOST_LEFT_OUT = 100;

/** Notes a document that is not in the copy because of another one: in the log, and in the record, with what to do about it. */
export async function noteLeftOut({ catalog, log }: Dependencies, { migration }: Move, what: LeftOut): Promise<void> {
  log.error(LEFT_OUT[what.what], { migration, ...what });
  const record = await catalog.migrations.find(migration);
  const error = [record?.error, SOME_LEFT_OUT].filter((each) => each !== undefined).join('; ');
  const isFull = (record?.leftOut?.length ?? 0) >= MOST_LEFT_OUT;
  await catalog.migrations.update(migration, {
    ...(record?.error?.includes(SOME_LEFT_OUT) === true ? {} : { $set: { error } }),
    ...(isFull ? {} : { $addToSet: { leftOut: what } }),
  });
}

const LEFT_OUT: Readonly<Record<LeftOut['what'], string>> = {
  leftOut: 'a document was left out of the copy, as another one there has an equal value under a unique index',
  removed: 'a document that there was only a copy of was removed, as a newer one has its value under a unique index',
};

const SOME_LEFT_OUT =
  'documents had equal values under unique indexes, and not all of them could be taken over: "drover doctor" names them';

/**
 * Whether the source's collection is another one now, or none, or was so for a while, and the partition can't simply go back to it: what
 * the target owns is there alone, or was when a step back was completed by another attempt.
 *
 * @returns why nothing can be handed back, in a sentence; undefined where it can
 */
export async function noWayBack(dependencies: Dependencies, context: MoveContext): Promise<string | undefined> {
  const { catalog, log } = dependencies;
  const { partition, keyspace, move } = context;
  const { source, target, migration } = move;
  const record = await catalog.migrations.find(migration);
  if (record?.sourceLost === true) return record.error ?? `nothing can be handed back to "${source}"`;
  const known = record && keptFrom(record)?.uuids[source];
  if (known === undefined || (isAtSource(partition) && !(await wasHandedOver(context)))) return undefined;
  const collection = collectionOn(partition, source);
  const back = await context.checkpoint('back').find();
  const isThere = (await readDefinition(context.db(source), collection))?.uuid === known;
  // Under its own UUID it may be there again: what was left out meanwhile is not in it.
  if (isThere && back?.sourceGone !== true) return undefined;
  const isWhollyAtTarget = partition.route.boundary === tokensOf(partition).high;
  const reason =
    `${keyspace.database}.${collection} on "${source}" was dropped or renamed while "${target}" owned ` +
    (isWhollyAtTarget
      ? `all of ${partition.id}: nothing can be handed back`
      : `a part of ${partition.id}: nothing can be handed back, and "${target}" takes over what it has a copy of. What "${source}" ` +
        'accepted in the last moments before, and was not copied yet, is lost');
  await catalog.migrations.update(migration, { $set: { sourceLost: true, error: reason } });
  log.error(reason, { migration });
  return reason;
}

const isAtSource = ({ route, handover, box: [{ low }] }: Partition): boolean =>
  route.boundary === low && handover?.state.kind === 'idle';

/** Also of a step that was undone. */
async function wasHandedOver(context: MoveContext): Promise<boolean> {
  const forward = await context.checkpoint('forward').find();
  return forward !== undefined && scopeFromBson(forward.scope).handedOver > 0;
}

/**
 * Whether the target's collection is another one now, or none, while the target owns a part, or a step is under way: the source takes that
 * back by the copy that it has.
 */
export async function isTargetLost(dependencies: Dependencies, context: MoveContext): Promise<boolean> {
  const { partition, names, move, db } = context;
  const record = await dependencies.catalog.migrations.find(move.migration);
  if (record?.targetLost === true) return true;
  const known = record && keptFrom(record)?.uuids[move.target];
  if (known === undefined || isAtSource(partition)) return false;
  if ((await readDefinition(db(move.target), names.target))?.uuid === known) return false;
  await noteLostTarget(dependencies, context);
  return true;
}

/** Notes it, also of a collection that is there again: what became of its documents meanwhile is not in the change log. */
export async function noteLostTarget({ catalog, log }: Dependencies, context: MoveContext): Promise<void> {
  const { partition, keyspace, names, move } = context;
  const { migration, source, target } = move;
  const record = await catalog.migrations.find(migration);
  if (record === undefined || record.targetLost === true || record.sourceLost === true) return;
  const reason =
    `${keyspace.database}.${names.target} on "${target}" was dropped or renamed while "${target}" owned a part of ${partition.id}: ` +
    `"${source}" takes that back by its copy. What "${target}" accepted in the last moments before, and was not copied back yet, is lost`;
  const error = record.error === undefined ? reason : `${record.error}; ${reason}`;
  await catalog.migrations.update(migration, { $set: { targetLost: true, error } });
  log.error(reason, { migration });
}

/**
 * Makes what the catalog says hold again at a node whose collection is gone: with a collection of its name, or the one that somebody
 * has made of it since, behind a fence and with gates. A step that was under way comes to one of its two ends.
 */
export async function fenceAnew(context: MoveContext, world: World, node: NodeName): Promise<Partition> {
  const { partition, fence, move, db } = context;
  const collection = collectionOn(partition, node);
  try {
    await createFenced(db(node), collection, { ...fence, accepted: [] });
  } catch (error) {
    // It is there: routers with writes for it, or somebody else, have made it.
    if (!(error instanceof DroverError) || error.code !== 'Refused') throw error;
  }
  if (isSharedOn(partition, node)) {
    await db(node)
      .collection(collection)
      .createIndex({ [fence.keyField]: 'hashed' });
  }
  // It was in the database: nothing is written there any more, but steps ask for it.
  const [direction, origin] =
    node === move.source ? (['back', move.target] as const) : (['forward', move.source] as const);
  await context.checkpoint(direction).create(tokensOf(partition), await operationTime(db(origin)));
  return run(restoreLostFences(partition), world);
}
