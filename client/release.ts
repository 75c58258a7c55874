import { DroverError } from '../domain/errors.js';
import { someNames } from '../domain/names.js';
import type { Partition, SharedCollection } from '../domain/partition.js';
import type { KeyspaceDocument } from '../store/catalog/keyspaces.js';
import { fenceOf } from '../store/catalog/keyspaces.js';
import { inspect, removeFence } from '../store/fenced-collection.js';
import { dropAllGates, dropGate, enter, through } from './adoption.js';
import type { ControlContext } from './context.js';
import { gather, moveTogether, planGathering } from './gathering.js';

export interface ReleasePlan {
  readonly name: string;
  /** Where it is a plain collection afterwards. */
  readonly node: string;
  readonly collection: string;
  /** Closed empty collections that stay: they may be dropped when no process uses the router for this keyspace any more. */
  readonly left: readonly { readonly node: string; readonly collections: readonly string[] }[];
}

export interface ReleaseOptions {
  /** Where collections become one that are not yet. */
  readonly node?: string;
  /** Moves partitions there that are elsewhere. */
  readonly move?: boolean;
  readonly requestedBy?: string;
  /** Told before each move. */
  readonly onMove?: (partition: string, node: string) => void;
}

/**
 * Says whether a keyspace can be made a plain collection; changes nothing.
 *
 * @throws DroverError `InvalidRequest` when there is none of that name, `Refused` with what has to be done first
 */
export async function planRelease(
  context: ControlContext,
  name: string,
  { node }: ReleaseOptions = {},
): Promise<ReleasePlan> {
  const { catalog } = context;
  const keyspace = await catalog.keyspaces.get(name);
  const partitions = await catalog.partitions.list(name);
  if (haveOwnCollections(keyspace, partitions) || arePreparedElsewhere(keyspace, partitions, node)) {
    const { place } = await planGathering(context, keyspace, partitions, node);
    throw refused(
      `the partitions of ${name} have a collection each. "drover keyspace release ${name} --node ${place.node}" prepares one for ` +
        `all of them on "${place.node}", and says how to move them there`,
    );
  }
  return { name, ...placeOf(keyspace, partitions, node), left: await closedCollections(context, keyspace) };
}

const haveOwnCollections = ({ releasing }: KeyspaceDocument, partitions: readonly Partition[]): boolean =>
  releasing === undefined && partitions.every(({ shared }) => shared === undefined);

/** A collection for all of them is named, and none of them is in it yet: it may be made again, or another one. */
const areOnlyPrepared = ({ releasing }: KeyspaceDocument, partitions: readonly Partition[]): boolean =>
  releasing === undefined &&
  partitions.every(({ shared, route }) => shared !== undefined && shared.node !== route.source);

const arePreparedElsewhere = (keyspace: KeyspaceDocument, partitions: readonly Partition[], node?: string): boolean =>
  node !== undefined &&
  areOnlyPrepared(keyspace, partitions) &&
  partitions.every(({ shared }) => shared!.node !== node);

/**
 * Makes a plain collection of a keyspace whose partitions are all in one. Applications go on meanwhile: routers that are
 * connected go on with the routes that they know, which stay right, and plain drivers may write as well.
 *
 * Of a keyspace whose partitions have a collection each, it makes one on another node at first, which they share as soon as they have
 * been moved there; as long as none has, it may be asked for again, also with another node. With `move` it moves them, without it that is refused then, with what is to be moved.
 *
 * Every step may be repeated: a release that broke off goes on when it is asked for again.
 *
 * @throws DroverError `InvalidRequest` when there is none of that name, `Refused` with what has to be done first
 */
export async function releaseKeyspace(
  context: ControlContext,
  name: string,
  options: ReleaseOptions = {},
): Promise<ReleasePlan> {
  const { catalog, nodes } = context;
  const keyspace = await catalog.keyspaces.get(name);
  const partitions = await catalog.partitions.list(name);
  if (haveOwnCollections(keyspace, partitions) || areOnlyPrepared(keyspace, partitions)) {
    refuseMoving(name, partitions);
    const node = options.node ?? partitions[0]?.shared?.node;
    await gather(context, keyspace, await planGathering(context, keyspace, partitions, node));
  }
  if (options.move === true) await moveTogether(context, name, options);
  const plan = await planRelease(context, name, options);
  // From here on nothing can begin to move.
  if (keyspace.releasing === undefined) await catalog.beginRelease(name, plan);
  const db = (await nodes.get(plan.node)).db(keyspace.database);
  const confirm = async () => {
    if ((await catalog.keyspaces.find(name))?.releasing !== undefined) return;
    throw new DroverError('Superseded', `somebody else has released ${name} meanwhile`);
  };
  const gate = await enter(db, plan.collection, confirm);
  // A release that was repeated finds what its user has set since.
  if ((await inspect(db, plan.collection)).fenced) {
    await through(() => removeFence(db, plan.collection, fenceOf(keyspace).validator, gate), name);
  }
  await dropGate(db, plan.collection, gate);
  await dropAllGates(db, plan.collection, confirm);
  await catalog.partitionSizes.remove(name);
  await catalog.keyspaces.removeReleased(keyspace);
  return plan;
}

/** @throws DroverError `Refused` when the partitions are not in one collection, or move */
function placeOf(
  keyspace: KeyspaceDocument,
  partitions: readonly Partition[],
  node: string | undefined,
): SharedCollection {
  if (keyspace.releasing !== undefined) return keyspace.releasing;
  const name = keyspace._id;
  const shared = partitions.find((partition) => partition.shared !== undefined)!.shared!;
  if (node !== undefined && node !== shared.node) {
    throw refused(
      `${name} becomes one collection on "${shared.node}", which it has been prepared for: leave --node out`,
    );
  }
  refuseMoving(name, partitions);
  const away = partitions.filter(({ route }) => route.source !== shared.node).map((partition) => partition.name);
  if (away.length > 0) {
    throw refused(
      `${someNames(away)} of ${name} are on other nodes than "${shared.node}": move them there first, such as ` +
        `"drover migrate ${name} ${away[0]!} --to ${shared.node}", one after the other, and run this again; --move does that`,
    );
  }
  return shared;
}

function refuseMoving(name: string, partitions: readonly Partition[]): void {
  const moving = partitions.filter(({ handover }) => handover !== null).map((partition) => partition.name);
  if (moving.length > 0) throw refused(`${someNames(moving)} of ${name} are moving: wait for that, or roll it back`);
}

/** By their form: when a release goes on, the partitions' names are not known any more. */
async function closedCollections({ nodes }: ControlContext, { database, collection }: KeyspaceDocument) {
  const left: { node: string; collections: string[] }[] = [];
  for (const node of nodes.names) {
    const db = (await nodes.get(node)).db(database);
    const names = (await db.listCollections({}, { nameOnly: true }).toArray()).map(({ name }) => name);
    const own: string[] = [];
    for (const name of names) {
      if (!name.startsWith(`${collection}.p`) || !/^\d+$/.test(name.slice(collection.length + 2))) continue;
      const { fenced, empty } = await inspect(db, name);
      if (fenced && empty) own.push(name);
    }
    if (own.length > 0) left.push({ node, collections: own.sort() });
  }
  return left;
}

const refused = (message: string) => new DroverError('Refused', message);
