import { DroverError } from '../domain/errors.js';
import type { Partition, SharedCollection } from '../domain/partition.js';
import type { KeyspaceDocument } from '../store/catalog/keyspaces.js';
import { fenceOf } from '../store/catalog/keyspaces.js';
import { inspect, removeFence } from '../store/fenced-collection.js';
import { dropAllGates, enter, through } from './adoption.js';
import type { ControlContext } from './context.js';

export interface ReleasePlan {
  readonly name: string;
  /** Where it is a plain collection afterwards. */
  readonly node: string;
  readonly collection: string;
  /** Closed empty collections that stay: they may be dropped when no process uses the router for this keyspace any more. */
  readonly left: readonly { readonly node: string; readonly collections: readonly string[] }[];
}

/**
 * Says whether a keyspace can be made a plain collection; changes nothing.
 *
 * @throws DroverError `InvalidRequest` when there is none of that name, `Refused` with what has to be done first
 */
export async function planRelease(context: ControlContext, name: string): Promise<ReleasePlan> {
  const { catalog } = context;
  const keyspace = await catalog.keyspaces.get(name);
  const partitions = await catalog.partitions.list(name);
  return { name, ...placeOf(keyspace, partitions), left: await closedCollections(context, keyspace) };
}

/**
 * Makes a plain collection of a keyspace whose partitions are all in one. Applications go on meanwhile: routers that are
 * connected go on with the routes that they know, which stay right, and plain drivers may write as well.
 *
 * Every step may be repeated: a release that broke off goes on when it is asked for again.
 *
 * @throws DroverError `InvalidRequest` when there is none of that name, `Refused` with what has to be done first
 */
export async function releaseKeyspace(context: ControlContext, name: string): Promise<ReleasePlan> {
  const { catalog, nodes } = context;
  const plan = await planRelease(context, name);
  const keyspace = await catalog.keyspaces.get(name);
  // From here on nothing can begin to move.
  if (keyspace.releasing === undefined) await catalog.beginRelease(name, plan);
  const db = (await nodes.get(plan.node)).db(keyspace.database);
  const gate = await enter(db, plan.collection, async () => {
    if ((await catalog.keyspaces.find(name))?.releasing !== undefined) return;
    throw new DroverError('Superseded', `somebody else has released ${name} meanwhile`);
  });
  // A release that was repeated finds what its user has set since.
  if ((await inspect(db, plan.collection)).fenced) {
    await through(() => removeFence(db, plan.collection, fenceOf(keyspace).validator, gate), name);
  }
  await dropAllGates(db, plan.collection);
  await catalog.keyspaces.removeReleased(keyspace);
  return plan;
}

/** @throws DroverError `Refused` when the partitions are not in one collection, or move */
function placeOf(keyspace: KeyspaceDocument, partitions: readonly Partition[]): SharedCollection {
  if (keyspace.releasing !== undefined) return keyspace.releasing;
  const name = keyspace._id;
  const shared = partitions.find((partition) => partition.shared !== undefined)?.shared;
  if (shared === undefined) {
    throw refused(
      `the partitions of ${name} have a collection each, and putting these together is not supported yet: only keyspaces that ` +
        'were adopted can be released. Copy it with mongodump and mongorestore while nothing writes',
    );
  }
  const moving = partitions.filter(({ handover }) => handover !== null).map((partition) => partition.name);
  if (moving.length > 0) throw refused(`${list(moving)} of ${name} are moving: wait for that, or roll it back`);
  const away = partitions.filter(({ route }) => route.source !== shared.node).map((partition) => partition.name);
  if (away.length > 0) {
    throw refused(
      `${list(away)} of ${name} are on other nodes than "${shared.node}": move them there first, such as ` +
        `"drover migrate ${name} ${away[0]!} --to ${shared.node}"`,
    );
  }
  return shared;
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

const MOST_TOLD = 20;

const list = (names: readonly string[]): string =>
  `${names.slice(0, MOST_TOLD).join(', ')}${names.length > MOST_TOLD ? ` and ${names.length - MOST_TOLD} more` : ''}`;

const refused = (message: string) => new DroverError('Refused', message);
