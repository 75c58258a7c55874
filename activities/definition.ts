import { DroverError } from '../domain/errors.js';
import type { NodeName } from '../domain/partition.js';
import { collectionOn, expiringNodes, isSharedOn, tokensOf } from '../domain/partition.js';
import type { CollectionDefinition, PresentDefinition } from '../store/collection-definition.js';
import {
  byName,
  differentIndexes,
  differentOptions,
  expiries,
  isUnique,
  NEVER,
  readDefinition,
  withExpiry,
} from '../store/collection-definition.js';
import { inspect } from '../store/fenced-collection.js';
import { applyChanges, changesBetween, described, unchangeable } from '../store/definition-changes.js';
import { indexBuilds } from '../store/gates.js';
import { hasCode } from '../store/server-errors.js';
import type { Dependencies } from './dependencies.js';
import { letExpire, restoreExpiry } from './expiry.js';
import type { KeptDefinition } from './kept-definition.js';
import { keep, keptOf, lastKept } from './kept-definition.js';
import type { MoveContext, PartitionContext } from './move-context.js';

/** @throws DroverError `SourceChanged` when the collection is gone from a node, or another one has its name */
async function present(context: MoveContext, node: NodeName, kept?: KeptDefinition): Promise<PresentDefinition> {
  const found = await readDefinition(context.db(node), collectionOn(context.partition, node));
  if (found !== undefined && (kept === undefined || kept.uuids[node] === found.uuid)) return found;
  throw new DroverError('SourceChanged', `${nameOf(context)} on "${node}" was dropped or renamed while it moves`);
}

/** Whether the collection at a node is the one that the move knows. */
async function isThere(context: MoveContext, node: NodeName, kept: KeptDefinition): Promise<boolean> {
  const found = await readDefinition(context.db(node), collectionOn(context.partition, node));
  return found !== undefined && found.uuid === kept.uuids[node];
}

const nameOf = ({ keyspace, partition }: PartitionContext): string =>
  `${keyspace.database}.${collectionOn(partition, partition.route.source)}`;

/** What the source's collection is now: what the copy is to be. @throws DroverError `SourceChanged` when there is none */
export async function definitionToCopy(dependencies: Dependencies, context: MoveContext): Promise<PresentDefinition> {
  const { source } = context.move;
  const found = await present(context, source);
  const isSuspended = [...expiries(found).values()].includes(NEVER);
  // Left so by a message of an earlier migration: what it was suspended from is known to that one only.
  if (!isSuspended || (await lastKept(dependencies.catalog, context.partition, source)) === undefined) return found;
  await restoreExpiry(dependencies, context, source);
  return present(context, source);
}

/**
 * Notes what the copy was begun with.
 *
 * @param before what an earlier attempt had noted when this one began
 * @throws DroverError `Superseded`, `SourceChanged` when the copy is not the one any more that was made for it
 */
export async function keepDefinition(
  { catalog }: Dependencies,
  context: MoveContext,
  definition: PresentDefinition,
  before: KeptDefinition | undefined,
): Promise<void> {
  const { source, target } = context.move;
  const copy = await present(context, target);
  const there = await inspect(context.db(target), context.names.target);
  const isOwn = isSharedOn(context.partition, target) || (there.fenced && there.empty);
  if (there.uuid !== copy.uuid || !isOwn) {
    throw new DroverError('SourceChanged', `the copy ${nameOf(context)} on "${target}" was dropped while it was made`);
  }
  await keep(catalog, context, { ...definition, uuids: { [source]: definition.uuid, [target]: copy.uuid } }, before);
}

/** @throws DroverError `SourceChanged` when one of the collections is gone */
export async function confirmCollections(dependencies: Dependencies, context: MoveContext): Promise<void> {
  const kept = await keptOrPresent(dependencies, context);
  for (const node of [context.move.source, context.move.target]) await present(context, node, kept);
}

/** What is not the same on both sides, in sentences. */
export async function differentDefinitions(context: MoveContext): Promise<string[]> {
  const { source, target } = context.move;
  const [ours, theirs] = await Promise.all([present(context, source), present(context, target)]);
  const [options, indexes] = [differentOptions(ours.options, theirs.options), differentIndexes(ours, theirs)];
  return [
    ...(options.length > 0 ? [`these collection options are not the same: ${options.join(', ')}`] : []),
    ...(indexes.length > 0 ? [`these indexes are not the same: ${indexes.join(', ')}`] : []),
  ];
}

export interface FollowOptions {
  /** Nobody waits for indexes any more. */
  readonly signal?: AbortSignal;
  /** Before replication has caught up: documents of the copy may still have equal values. */
  readonly withoutUnique?: boolean;
  /** Changes are made whatever the policy says: there is no other way back. */
  readonly regardless?: boolean;
}

/**
 * Compares the definitions of both sides with what the move keeps. What was changed on the side that owns the partition is
 * made on the other one, or stops the move, as the policy says; what somebody has changed on the other one is set right.
 * Looked at where nobody waits: a change log says nothing of when an index is there.
 *
 * @returns whether anything had been changed
 * @throws DroverError `SourceChanged` when the move can't go on with it, or a collection is gone
 */
export async function followDefinition(
  dependencies: Dependencies,
  context: MoveContext,
  { signal, withoutUnique = false, regardless = false }: FollowOptions = {},
): Promise<boolean> {
  const { catalog, log } = dependencies;
  const { partition, move } = context;
  const { route } = partition;
  const [owner, other] = sides(context);
  const before = await keptOrPresent(dependencies, context);
  // Of what was handed over wholly the old copy may be gone: nothing is copied to another one of its name.
  if (owner === move.target && !(await isThere(context, other, before))) return false;
  const [owned, copied] = await Promise.all([built(context, owner, before), built(context, other, before)]);

  const changes = changesBetween(before, owned);
  // Where applications are served from both sides, an index may be made on either of them first.
  const foreign = changesBetween(owned, copied).created.filter(({ name }) => !byName(before.indexes).has(name));
  const told = [
    ...described(changes).map((change) => `${change} on "${owner}"`),
    ...foreign.map(({ name }) => `the index ${name} was created on "${other}"`),
  ];
  const kept = { ...before, options: owned.options, indexes: [...suspendedAs(owned, before), ...foreign] };
  if (told.length > 0) {
    const what = `${nameOf(context)} was changed while it moves: ${told.join(', ')}`;
    const stuck = unchangeable(changes);
    if (stuck.length > 0) throw new DroverError('SourceChanged', `${what}; a copy can't take ${stuck.join(', ')} over`);
    if (dependencies.migration.onDefinitionChange === 'stop' && !regardless) {
      throw new DroverError('SourceChanged', `${what}; policy.migration.onDefinitionChange says "stop"`);
    }
    if (foreign.length > 0 && route.target === null) {
      throw new DroverError('SourceChanged', `${what}; make it on "${owner}", and the copy gets it, too`);
    }
    log.info('a definition was changed while a partition moves: the other side gets it, too', {
      migration: move.migration,
      what,
    });
    // First: who comes after a crash finds on the copy what is known, and goes on with the rest.
    await keep(catalog, context, kept, before);
  }
  const repairs = changesBetween(copied, kept);
  const foreignOptions = unchangeable(repairs);
  if (foreignOptions.length > 0) {
    throw new DroverError('SourceChanged', `${nameOf(context)} on "${other}" has another ${foreignOptions.join(', ')}`);
  }
  const taken = [...repairs.created, ...repairs.dropped, ...repairs.changed];
  if (isSharedOn(partition, other) && (repairs.options.length > 0 || taken.length > 0)) {
    throw new DroverError(
      'SourceChanged',
      `${nameOf(context)} and the collection that it shares on "${other}" have not the same options and indexes, and others are ` +
        'in that one: make them the same by hand',
    );
  }
  const created = withoutUnique ? repairs.created.filter((index) => !isUnique(index)) : repairs.created;
  const ownChanges = { options: [], created: foreign, dropped: [], changed: [] };
  try {
    await applyChanges(context.db(owner), collectionOn(partition, owner), ownChanges, kept.options, signal);
    await applyChanges(
      context.db(other),
      collectionOn(partition, other),
      { ...repairs, created },
      kept.options,
      signal,
    );
  } catch (error) {
    // While the copy catches up that passes; once both sides are written to, it does not.
    if (!hasCode(error, 'duplicateKey') || route.target === null) throw error;
    throw new DroverError(
      'SourceChanged',
      `a unique index can't be made on both sides of ${nameOf(context)}: ${(error as Error).message}`,
    );
  }
  await letExpire(dependencies, context, expiringNodes(partition), signal);
  return told.length > 0;
}

/** Without indexes that are still being built: one that is to be there is waited for by building it. */
async function built(context: MoveContext, node: NodeName, kept: KeptDefinition): Promise<PresentDefinition> {
  const building = await indexBuilds(context.db(node), collectionOn(context.partition, node));
  const found = await present(context, node, kept);
  return { ...found, indexes: found.indexes.filter(({ name }) => !building.includes(name)) };
}

/** The side whose definition counts, as it owns the partition or the rest of it, and the other one. */
function sides({ partition, move: { source, target } }: MoveContext): readonly [NodeName, NodeName] {
  const isWhollyAtTarget = partition.route.target !== null && partition.route.boundary === tokensOf(partition).high;
  return isWhollyAtTarget ? [target, source] : [source, target];
}

/** Of a suspended index what it is suspended from. */
const suspendedAs = ({ indexes }: CollectionDefinition, before: KeptDefinition) =>
  indexes.map((index) => {
    const was = before.expiries.get(index.name);
    return expiries({ indexes: [index] }).get(index.name) === NEVER && was !== undefined
      ? withExpiry(index, was)
      : index;
  });

/** A move that was begun before definitions were kept begins with what is there. */
async function keptOrPresent({ catalog }: Dependencies, context: MoveContext): Promise<KeptDefinition> {
  const { migration, source, target } = context.move;
  const kept = await keptOf(catalog, migration);
  if (kept !== undefined) return kept;
  const [owned, copied] = await Promise.all([present(context, source), present(context, target)]);
  return keep(catalog, context, { ...owned, uuids: { [source]: owned.uuid, [target]: copied.uuid } }, undefined);
}
