import { DroverError } from '../domain/errors.js';
import { compareNames, someNames } from '../domain/names.js';
import type { Partition, SharedCollection } from '../domain/partition.js';
import { collectionOn } from '../domain/partition.js';
import { examineDefinition } from '../store/adoptable.js';
import type { KeyspaceDocument } from '../store/catalog/keyspaces.js';
import { fenceOf } from '../store/catalog/keyspaces.js';
import type { CollectionDefinition } from '../store/collection-definition.js';
import { differentIndexes, differentOptions, readDefinition } from '../store/collection-definition.js';
import { equalIds } from '../store/equal-ids.js';
import { createFenced, inspect, isFencedBy } from '../store/fenced-collection.js';
import { buildIndexes } from '../store/shadow-indexes.js';
import { MAX_SHARING } from './adoption.js';
import type { ControlContext } from './context.js';
import { migrate, waitForMigration } from './migrations.js';

/** Where the partitions of a keyspace that was made by `keyspace create` are to be put together, and as what. */
export interface Gathering {
  readonly place: SharedCollection;
  readonly definition: CollectionDefinition;
}

const MOST_TOLD = 20;

/**
 * Says where the partitions of a keyspace, which have a collection each, can be put into one: on a node that has none of them. Reads all
 * documents once; changes nothing.
 *
 * @throws DroverError `Refused` with what has to be done first
 */
export async function planGathering(
  context: ControlContext,
  keyspace: KeyspaceDocument,
  partitions: readonly Partition[],
  named: string | undefined,
): Promise<Gathering> {
  const { catalog, nodes } = context;
  const { _id: name, database, collection } = keyspace;
  if (partitions.length > MAX_SHARING) {
    throw refused(`${name} has ${partitions.length} partitions: at most ${MAX_SHARING} can share a collection`);
  }
  const node = named === undefined ? await freeNode(context, name, partitions) : (await catalog.nodes.get(named))._id;
  const there = partitions.filter(({ route }) => route.source === node);
  if (there.length > 0) {
    throw refused(
      `${someNames(there.map((each) => each.name))} of ${name} are on "${node}" in collections of their own, and can't be put into one where ` +
        `they are: name another node with --node, or move them away first, such as "drover migrate ${name} ${there[0]!.name} --to ` +
        `${nodes.names.find((each) => each !== node) ?? 'another-node'}"`,
    );
  }
  const state = await inspect((await nodes.get(node)).db(database), collection);
  if (state.exists && !(state.fenced && state.empty)) {
    throw taken(keyspace, { node, collection });
  }
  const own = await Promise.all(
    partitions.map(async (partition) => {
      const db = (await nodes.get(partition.route.source)).db(database);
      return { partition, db, documents: db.collection(collectionOn(partition, partition.route.source)) };
    }),
  );
  const { keyField } = fenceOf(keyspace);
  const [first, ...others] = own;
  const { obstacles } = await examineDefinition(first!.db, first!.documents.collectionName, keyField);
  if (obstacles.length > 0) throw refused(`${name} can't be one collection: ${obstacles.join('; ')}`);
  const definitionOf = async ({ db, documents }: (typeof own)[number]) =>
    (await readDefinition(db, documents.collectionName)) ?? missing(documents.namespace);
  const definition = await definitionOf(first!);
  for (const other of others) {
    const theirs = await definitionOf(other);
    const different = [
      ...differentIndexes(definition, theirs),
      ...differentOptions(definition.options, theirs.options),
    ];
    if (different.length === 0) continue;
    throw refused(
      `${first!.partition.name} and ${other.partition.name} of ${name} have not the same ${different.join(', ')}: make them the same first`,
    );
  }
  const equal = await equalIds(own.map(({ documents }) => documents), keyField, MOST_TOLD); // prettier-ignore
  if (equal.length > 0) {
    throw refused(
      `documents of different partitions of ${name} have the same _id, which one collection can't hold: ${equal.join('; ')}` +
        `${equal.length === MOST_TOLD ? '; and perhaps more' : ''}. Give all but one of each another _id, or remove them`,
    );
  }
  return { place: { node, collection }, definition };
}

/**
 * Makes the collection, closed and empty, and has the catalog send every partition that comes to its node there. Repeatable, and as long as
 * no partition is there, with another place, too.
 *
 * @throws DroverError `Refused` when a partition has begun to move or is in the place named before, or when the collection is somebody's
 */
export async function gather(
  { catalog, nodes }: ControlContext,
  keyspace: KeyspaceDocument,
  { place, definition }: Gathering,
): Promise<void> {
  const db = (await nodes.get(place.node)).db(keyspace.database);
  const closed = { ...fenceOf(keyspace), accepted: [] };
  try {
    await createFenced(db, place.collection, closed, definition.options);
  } catch (error) {
    if (!(error instanceof DroverError) || error.code !== 'Refused') throw error;
    // By a call before this one, which broke off; or by somebody since it was looked at.
    const [state, found] = [await inspect(db, place.collection), await readDefinition(db, place.collection)];
    const isSame = found !== undefined && differentOptions(found.options, definition.options).length === 0;
    if (!(state.empty && isFencedBy(state.options, closed) && isSame)) throw taken(keyspace, place);
  }
  await buildIndexes(db, place.collection, definition.indexes);
  await catalog.shareCollection(keyspace._id, place);
}

/**
 * Moves what is elsewhere to the node where it shares a collection, one partition after the other: only one at a time can come into it.
 * What a broken-off call has moved stays there.
 *
 * @throws DroverError what a move was refused or rolled back for
 */
export async function moveTogether(
  context: ControlContext,
  keyspace: string,
  {
    requestedBy,
    onMove,
  }: { readonly requestedBy?: string; readonly onMove?: (partition: string, node: string) => void },
): Promise<void> {
  for (const { name: partition, route, shared } of await context.catalog.partitions.list(keyspace)) {
    if (shared === undefined || route.source === shared.node) continue;
    onMove?.(partition, shared.node);
    const by = requestedBy === undefined ? {} : { requestedBy };
    await migrate(context, { keyspace, partition, target: shared.node, ...by });
    const { outcome, reason = '' } = await waitForMigration(context, keyspace, partition);
    if (outcome === 'completed') continue;
    throw refused(`${partition} of ${keyspace} did not come to "${shared.node}": ${reason}; run this again to go on`);
  }
}

async function freeNode({ catalog }: ControlContext, name: string, partitions: readonly Partition[]): Promise<string> {
  const taken = new Set(partitions.map(({ route }) => route.source));
  const nodes = (await catalog.nodes.list()).filter(({ draining }) => !draining).map(({ _id }) => _id);
  const [free] = nodes.filter((node) => !taken.has(node)).sort(compareNames);
  if (free !== undefined) return free;
  throw refused(
    `the partitions of ${name} have a collection each, which are put into one on a node that has none of them, and each of ` +
      `${nodes.join(', ')} has: move all of them away from one, such as "drover migrate ${name} ${partitions[0]!.name} --to ` +
      `${nodes.find((node) => node !== partitions[0]!.route.source) ?? 'another-node'}", or add a node`,
  );
}

const taken = ({ database }: KeyspaceDocument, { node, collection }: SharedCollection): DroverError =>
  refused(
    `${database}.${collection} already exists on "${node}": rename or drop it there first, or name another node with --node`,
  );

function missing(namespace: string): never {
  throw refused(`${namespace} is gone: restore it from a backup`);
}

const refused = (message: string) => new DroverError('Refused', message);
