import { DroverError } from '../domain/errors.js';
import type { NodeName, Partition } from '../domain/partition.js';
import { collectionOn, expiringNode, isSharedOn, tokensOf } from '../domain/partition.js';
import type { Catalog } from '../store/catalog/catalog.js';
import type { KeptDefinitionDocument, MigrationDocument } from '../store/catalog/migrations.js';
import type { CollectionDefinition, PresentDefinition } from '../store/collection-definition.js';
import {
  byName,
  definitionFromBson,
  definitionToBson,
  differentIndexes,
  differentOptions,
  NEVER,
  readDefinition,
  withExpiry,
} from '../store/collection-definition.js';
import { applyChanges, changesBetween, described, unchangeable } from '../store/definition-changes.js';
import { expiries, setExpiry } from '../store/expiry.js';
import type { Dependencies } from './dependencies.js';
import type { MoveContext, PartitionContext } from './move-context.js';

/** What a move keeps of the collection, and which collections it knows at its nodes. */
interface KeptDefinition extends CollectionDefinition {
  readonly uuids: Readonly<Record<NodeName, string>>;
}

const keptFrom = ({ source, target, definition }: MigrationDocument): KeptDefinition | undefined =>
  definition && {
    ...definitionFromBson(definition),
    uuids: { [source]: definition.source, [target]: definition.target },
  };

async function keep(catalog: Catalog, { move }: MoveContext, kept: KeptDefinition): Promise<KeptDefinition> {
  const { migration, source, target } = move;
  const uuids = { source: kept.uuids[source]!, target: kept.uuids[target]! };
  const definition: KeptDefinitionDocument = { ...definitionToBson(kept), ...uuids };
  await catalog.migrations.update(migration, { $set: { definition } });
  return kept;
}

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
export const definitionToCopy = (context: MoveContext): Promise<PresentDefinition> =>
  present(context, context.move.source);

/** Notes what the copy was begun with. */
export async function keepDefinition(
  { catalog }: Dependencies,
  context: MoveContext,
  definition: PresentDefinition,
): Promise<void> {
  const { source, target } = context.move;
  const copy = await present(context, target);
  await keep(catalog, context, { ...definition, uuids: { [source]: definition.uuid, [target]: copy.uuid } });
}

/** @throws DroverError `SourceChanged` when one of the collections is gone */
export async function confirmCollections(dependencies: Dependencies, context: MoveContext): Promise<void> {
  const kept = await keptOf(dependencies, context);
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
  signal?: AbortSignal,
): Promise<boolean> {
  const { catalog, log } = dependencies;
  const { route } = context.partition;
  const { migration } = context.move;
  const [owner, other] = sides(context);
  const before = await keptOf(dependencies, context);
  // Of what was handed over wholly the old copy may be gone: nothing is copied to another one of its name.
  if (owner === context.move.target && !(await isThere(context, other, before))) return false;
  const [owned, copied] = await Promise.all([present(context, owner, before), present(context, other, before)]);

  const changes = changesBetween(before, owned);
  // Where applications are served from both sides, an index may be made on either of them first.
  const foreign = changesBetween(owned, copied).created.filter(({ name }) => !byName(before.indexes).has(name));
  const told = [
    ...described(changes).map((change) => `${change} on "${owner}"`),
    ...foreign.map(({ name }) => `the index ${name} was created on "${other}"`),
  ];
  if (told.length > 0) {
    const what = `${nameOf(context)} was changed while it moves: ${told.join(', ')}`;
    const stuck = unchangeable(changes);
    if (stuck.length > 0) throw new DroverError('SourceChanged', `${what}; a copy can't take ${stuck.join(', ')} over`);
    if (dependencies.migration.onDefinitionChange === 'stop') {
      throw new DroverError('SourceChanged', `${what}; policy.migration.onDefinitionChange says "stop"`);
    }
    if (foreign.length > 0 && route.target === null) {
      throw new DroverError('SourceChanged', `${what}; make it on "${owner}", and the copy gets it, too`);
    }
    log.info('a definition was changed while a partition moves: the other side gets it, too', { migration, what });
  }
  const kept = { ...before, options: owned.options, indexes: [...suspendedAs(owned, before), ...foreign] };
  const ownChanges = { options: [], created: foreign, dropped: [], changed: [] };
  await applyChanges(context.db(owner), collectionOn(context.partition, owner), ownChanges, kept.options, signal);
  const repairs = changesBetween(copied, kept);
  const foreignOptions = unchangeable(repairs);
  if (foreignOptions.length > 0) {
    throw new DroverError('SourceChanged', `${nameOf(context)} on "${other}" has another ${foreignOptions.join(', ')}`);
  }
  const taken = [...repairs.dropped, ...repairs.changed];
  if (isSharedOn(context.partition, other) && (repairs.options.length > 0 || taken.length > 0)) {
    throw new DroverError(
      'SourceChanged',
      `${nameOf(context)} and the collection that it shares on "${other}" have not the same options and indexes, and others are ` +
        'in that one: make them the same by hand',
    );
  }
  await applyChanges(context.db(other), collectionOn(context.partition, other), repairs, kept.options, signal);
  if (told.length > 0) await keep(catalog, context, kept);
  await letExpire(dependencies, context, expiringNode(context.partition));
  return told.length > 0;
}

/** The side whose definition counts, as it owns the partition or the rest of it, and the other one. */
function sides({ partition, move: { source, target } }: MoveContext): readonly [NodeName, NodeName] {
  const isWhollyAtTarget = partition.route.target !== null && partition.route.boundary === tokensOf(partition).high;
  return isWhollyAtTarget ? [target, source] : [source, target];
}

/** Of a suspended index what it is suspended from. */
const suspendedAs = ({ indexes }: CollectionDefinition, before: CollectionDefinition) =>
  indexes.map((index) => {
    const was = expiries(before).get(index.name);
    return expiries({ indexes: [index] }).get(index.name) === NEVER && was !== undefined
      ? withExpiry(index, was)
      : index;
  });

/** A move that was begun before definitions were kept begins with what is there. */
async function keptOf({ catalog }: Dependencies, context: MoveContext): Promise<KeptDefinition> {
  const { migration, source, target } = context.move;
  const record = await catalog.migrations.find(migration);
  const kept = record && keptFrom(record);
  if (kept !== undefined) return kept;
  const [owned, copied] = await Promise.all([present(context, source), present(context, target)]);
  return keep(catalog, context, { ...owned, uuids: { [source]: owned.uuid, [target]: copied.uuid } });
}

/**
 * Lets documents expire on one of the move's nodes only, or on none. What was suspended is in the migration's record, so that
 * it can be set again whoever ends the move.
 */
export async function letExpire({ catalog }: Dependencies, context: MoveContext, node: NodeName | null): Promise<void> {
  const record = await catalog.migrations.find(context.move.migration);
  const kept = record && keptFrom(record);
  if (kept === undefined) return;
  const [owner, other] = sides(context);
  const changed = await setExpiries(context, kept, (each) => each === node, [owner]);
  await setExpiries(context, kept, (each) => each === node, [other]);
  if (changed.size === 0) return;
  // Somebody has changed them since they were looked at: these are what they are suspended from.
  const indexes = kept.indexes.map((index) =>
    changed.has(index.name) ? withExpiry(index, changed.get(index.name)!) : index,
  );
  await keep(catalog, context, { ...kept, indexes });
}

/**
 * Sets right where documents of a partition expire: no longer where it is not owned as a whole, and again where it is and a
 * move that is over had suspended it.
 */
export async function restoreExpiry(
  { catalog }: Dependencies,
  context: PartitionContext,
  node: NodeName,
): Promise<void> {
  const { keyspace, name } = context.partition;
  const [record] = await catalog.migrations.list({ keyspace, partition: name }, 1);
  const kept = record && keptFrom(record);
  if (kept === undefined)
    throw new DroverError('Refused', `no migration has told of the expiry of ${keyspace}/${name}`);
  await setExpiries(context, kept, (each) => each === expiringNode(context.partition), [node]);
}

/** @returns values of suspended indexes that are not those that were kept */
async function setExpiries(
  context: PartitionContext,
  kept: KeptDefinition,
  expires: (node: NodeName) => boolean,
  nodes: readonly NodeName[],
): Promise<ReadonlyMap<string, number>> {
  const unexpected = new Map<string, number>();
  const wanted = expiries(kept);
  if (wanted.size === 0) return unexpected;
  // Documents of others are in a shared collection: these go on expiring.
  for (const node of nodes.filter((each) => !isSharedOn(context.partition, each))) {
    const collection = collectionOn(context.partition, node);
    const found = await readDefinition(context.db(node), collection);
    const uuid = kept.uuids[node];
    if (found === undefined || uuid === undefined || found.uuid !== uuid) continue;
    for (const [index, now] of expiries(found)) {
      const seconds = expires(node) ? wanted.get(index) : NEVER;
      if (seconds === undefined || seconds === now) continue;
      const old = await setExpiry(context.db(node), collection, uuid, index, seconds);
      if (seconds === NEVER && old !== undefined && old !== NEVER && old !== wanted.get(index))
        unexpected.set(index, old);
    }
  }
  return unexpected;
}

/**
 * @throws DroverError `Unavailable` when the collection that a partition is to be handed back to is not the one that it came
 * from: its documents are at the target only then
 */
export async function confirmWayBack({ catalog }: Dependencies, context: MoveContext): Promise<void> {
  const { source, target, migration } = context.move;
  const record = await catalog.migrations.find(migration);
  const kept = record && keptFrom(record);
  if (kept === undefined || isAtSource(context.partition)) return;
  if (await isThere(context, source, kept)) return;
  throw new DroverError(
    'Unavailable',
    `${nameOf(context)} on "${source}" was dropped or renamed, and "${target}" owns a part of it: nothing is handed back to a ` +
      `collection without its documents, and nothing removed; "${target}" has a copy of all of them`,
  );
}

const isAtSource = ({ route, handover, box: [{ low }] }: Partition): boolean =>
  route.boundary === low && handover?.state.kind === 'idle';
