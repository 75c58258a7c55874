import type { CollectionInfo, Document } from 'mongodb';
import type { Partition } from '../domain/partition.js';
import { acceptedBy, collectionOn, isSharedOn, nodesOf } from '../domain/partition.js';
import { grouped } from '../domain/grouped.js';
import type { Catalog } from './catalog/catalog.js';
import { fenceOf } from './catalog/keyspaces.js';
import { CHECKPOINTS, MARKERS } from './checkpoint.js';
import { closedName, inspect, isFencedBy } from './fenced-collection.js';
import { gatesOf, indexBuilds } from './gates.js';
import type { Leftover, Place } from './leftover.js';
import { isSettled } from './leftover.js';
import { isChangingHands, lackingExpiry, unwantedExpiry } from './misset-expiry.js';
import type { NodePool } from './node-pool.js';

/** A step under way changes within this time; one that does not has nobody who goes on with it. */
const STANDS_STILL_MS = 2_500;

/** Partitions with a step that nobody goes on with, as seen by looking twice. */
export async function findStandstills({ partitions }: Catalog): Promise<Partition[]> {
  const before = new Set((await partitions.unsettled()).map(versionOf));
  if (before.size === 0) return [];
  await new Promise((resolve) => setTimeout(resolve, STANDS_STILL_MS));
  return (await partitions.unsettled()).filter((each) => before.has(versionOf(each)));
}

/**
 * What a worker sets right by itself, partitions in the middle of a step left out:
 *  - collections whose fence is not as the catalog has it: somebody else's `collMod` erases it, and with it what keeps a
 *    router with an old route from writing there;
 *  - collections by whose indexes documents would expire while their partition changes hands, and those by whose they do not
 *    although a migration that had suspended them has just ended. Only a message of an attempt that is over, or somebody else,
 *    can have set these.
 *
 * @param ended see {@link endedLately}
 */
export async function findMisset(
  catalog: Catalog,
  nodes: NodePool,
  node: string,
  ended: ReadonlySet<string>,
): Promise<Leftover[]> {
  const places = await placesOf(catalog, nodes, node);
  const handedOver = places.filter(({ partitions }) => partitions.some(isChangingHands));
  const over = places.filter(({ partitions }) => partitions.some(({ id }) => ended.has(id)));
  return [
    ...(await confirmed(catalog, (all) => brokenFences(catalog, all), places.filter(isMember))),
    ...(await confirmed(catalog, unwantedExpiry, handedOver)),
    ...(await confirmed(catalog, (all) => lackingExpiry(catalog, all), over)),
  ];
}

/** Whether any of the partitions has to do with the node. Elsewhere a collection of the same name may be anybody's. */
const isMember = ({ node, partitions }: Place): boolean => partitions.some((each) => nodesOf(each).includes(node));

/**
 * The partition in whose name a collection is put right: one that is moving keeps the others from it, one that has nothing to do
 * with the node can't.
 */
const spokesman = ({ node, partitions }: Place): Partition => {
  const members = partitions.filter((each) => nodesOf(each).includes(node));
  return members.find(({ handover }) => handover !== null) ?? members[0] ?? partitions[0]!;
};

/** What replication of migrations that hold nothing any more has left on a node. */
export async function findStrayReplication(catalog: Catalog, nodes: NodePool, node: string): Promise<Leftover[]> {
  return strayReplication(await placesOf(catalog, nodes, node));
}

/** Everything on a node that is not as the catalog has it. Reads the indexes of every collection: for a person, not for a loop. */
export async function findLeftovers(catalog: Catalog, nodes: NodePool, node: string): Promise<Leftover[]> {
  const places = await placesOf(catalog, nodes, node);
  return confirmed(
    catalog,
    async () => [
      ...(await brokenFences(catalog, places)),
      ...(await strayGates(places)),
      ...(await strayReplication(places)),
      ...(await unwantedExpiry(places)),
      ...(await lackingExpiry(catalog, places)),
    ],
    places,
  );
}

/** What was found while its partition changed may be no more than a step under way. */
async function confirmed(
  catalog: Catalog,
  find: (places: readonly Place[]) => Promise<Leftover[]>,
  places: readonly Place[],
): Promise<Leftover[]> {
  const before = new Map(places.flatMap(({ partitions }) => partitions.map((each) => [each.id, versionOf(each)])));
  const found = await find(places);
  if (found.length === 0) return found;
  const after = new Map((await catalog.partitions.list()).map((each) => [each.id, versionOf(each)]));
  return found.filter(({ keyspace, partition }) => {
    const id = `${keyspace}/${partition ?? ''}`;
    return before.get(id) === after.get(id);
  });
}

const versionOf = ({ id, epoch, attempt, handover }: Partition): string =>
  `${id}/${epoch}/${attempt}/${handover?.migration ?? ''}`;

/** Whether the fence stays as it is: not only where nothing moves, but also while the old copy is being removed. */
const isFenceKept = (partition: Partition): boolean =>
  isSettled(partition) || partition.handover?.state.kind === 'retiring';

async function placesOf(catalog: Catalog, nodes: NodePool, node: string): Promise<Place[]> {
  const [keyspaces, partitions] = await Promise.all([catalog.keyspaces.list(), catalog.partitions.list()]);
  const client = await nodes.get(node);
  return keyspaces.flatMap((keyspace) => {
    const own = partitions.filter((partition) => partition.keyspace === keyspace._id);
    const db = client.db(keyspace.database);
    return [...grouped(own, (each) => collectionOn(each, node))].map(([collection, sharing]) => ({
      node,
      db,
      keyspace,
      collection,
      partitions: sharing,
    }));
  });
}

/** One look per node and database, whatever the number of its collections. */
async function optionsOf(places: readonly Place[]): Promise<Map<Place, Document>> {
  const options = new Map<Place, Document>();
  for (const [, group] of byDatabase(places)) {
    const found = await group[0]!.db.listCollections<CollectionInfo>().toArray();
    const byName = new Map(found.map((each) => [each.name, each]));
    for (const place of group) {
      const info = byName.get(place.collection);
      if (info !== undefined) options.set(place, info.options ?? {});
    }
  }
  return options;
}

async function brokenFences(catalog: Catalog, places: readonly Place[]): Promise<Leftover[]> {
  const options = await optionsOf(places);
  const found: Leftover[] = [];
  for (const place of places) {
    const { node, keyspace, collection, partitions } = place;
    if (!partitions.every(isFenceKept)) continue;
    const accepted = acceptedBy(partitions, node);
    const present = options.get(place);
    const where = { node, keyspace: keyspace._id, partition: spokesman(place).name, collection };
    if (present === undefined) {
      if (accepted.length > 0) found.push({ ...where, kind: 'missing', what: 'the collection is gone' });
      continue;
    }
    if (isFencedBy(present, { ...fenceOf(keyspace), accepted })) {
      // Whoever moves a partition out of a collection that others are in takes it out to the end.
      if (isMember(place) || isSharedOn(partitions[0]!, node)) continue;
      if ((await place.db.collection(collection).findOne({}, { projection: { _id: 1 } })) === null) continue;
      found.push({ ...where, ...(await copyOrForeign(catalog, place)) });
      continue;
    }
    const what = isMember(place)
      ? 'its validator is not the fence that the catalog asks for'
      : 'a collection under the name of a partition that is not on this node, without its fence';
    found.push({ ...where, kind: 'fence', what });
  }
  return found;
}

/** A copy that nobody needs goes; what a migration has left alone, as it was somebody else's, does not. */
async function copyOrForeign(
  { migrations }: Catalog,
  { db, node, keyspace, collection, partitions }: Place,
): Promise<Pick<Leftover, 'kind' | 'what' | 'uuid'>> {
  const { uuid } = await inspect(db, collection);
  if (uuid !== undefined && (await migrations.hasLeftAlone(keyspace._id, partitions[0]!.name, node, uuid))) {
    const what = 'a collection that somebody has made under the name of a copy, closed: rename it, or drop it';
    return { kind: 'foreign', what };
  }
  const what = 'a copy that belongs to no migration, closed but not empty';
  return { kind: 'copy', ...(uuid === undefined ? {} : { uuid }), what };
}

async function strayGates(places: readonly Place[]): Promise<Leftover[]> {
  const found: Leftover[] = [];
  for (const place of places) {
    const { node, db, keyspace, collection, partitions } = place;
    const known = partitions.flatMap(({ gates }) => gates);
    const stray = (await gatesOf(db, collection)).filter(({ name }) => !known.includes(name));
    if (stray.length === 0 || (await indexBuilds(db, collection)).length > 0) continue;
    const partition = spokesman(place).name;
    const what = `${stray.length} gates of attempts that are over`;
    found.push({ kind: 'gates', node, keyspace: keyspace._id, partition, collection, what });
  }
  return found;
}

/** Checkpoints and markers of migrations that hold nothing any more, and collections that were to replace a copy. */
async function strayReplication(places: readonly Place[]): Promise<Leftover[]> {
  const held = new Set(places.flatMap(({ partitions }) => partitions.map(({ handover }) => handover?.migration)));
  const found: Leftover[] = [];
  for (const [, group] of byDatabase(places)) {
    const { node, db, keyspace } = group[0]!;
    const where = { node, keyspace: keyspace._id };
    const checkpoints = await db
      .collection<{ _id: string }>(CHECKPOINTS)
      .find({}, { projection: { _id: 1 } })
      .toArray();
    const markers = await db.collection(MARKERS).distinct('migration');
    const migrations = [...checkpoints.map(({ _id }) => _id.split('/')[0]!), ...(markers as string[])];
    for (const migration of new Set(migrations.filter((each) => !held.has(each)))) {
      const what = `checkpoints or markers of migration ${migration}, which is over`;
      found.push({ ...where, kind: 'replication', migration, collection: CHECKPOINTS, what });
    }
    for (const { name } of await db.listCollections({}, { nameOnly: true }).toArray()) {
      const closed = closedName(name);
      if (closed === undefined || !group.some(({ collection }) => collection === closed.collection)) continue;
      const migration = closed.attempt.slice(0, closed.attempt.lastIndexOf('-'));
      if (held.has(migration)) continue;
      const what = 'a collection that was to replace a copy';
      found.push({ ...where, kind: 'temporary', migration, collection: name, what });
    }
  }
  return found;
}

const byDatabase = (places: readonly Place[]) => grouped(places, ({ db }) => db.databaseName);
