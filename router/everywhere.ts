import type { Collection } from 'mongodb';
import pMap from 'p-map';
import type { NodeName, Partition } from '../domain/partition.js';
import { tokensOf } from '../domain/partition.js';
import type { NodePool } from '../store/node-pool.js';
import type { KeyspaceHandle } from './keyspaces.js';
import type { KnownRoute, PartitionRoute } from './route-table.js';
import type { Wanted } from './wanted.js';

/** A collection at a node that applications are served from, or are about to be. */
export interface Served {
  readonly node: NodeName;
  readonly collection: Collection;
  /** Whether a partition's definition is what it has here: on the other side a move makes it the same. */
  readonly isOwner: boolean;
}

/** What the router tells of routes. */
interface Routes {
  deadline(): number;
  routesOf(keyspace: KeyspaceHandle, wanted: Wanted): readonly KnownRoute[];
  areConfirmed(known: readonly KnownRoute[], deadline: number): Promise<boolean>;
}

/** Changes of definition that one node makes at a time: it builds three indexes at once, and moves need a place for theirs. */
const AT_ONCE_AT_A_NODE = 2;

/** What is done to every collection of a keyspace, also to those that come in while it is done. */
export class Everywhere {
  constructor(
    private readonly router: Routes,
    private readonly nodes: NodePool,
  ) {}

  /**
   * Where a partition may be handed over, both sides are reached, owners first: what is changed at an owner alone a move brings to the
   * other side, but not at once, and what is changed on the other side alone it may set back. A copy that is only being made
   * gets what its source has. When all is done the routes are looked at again, until there is nothing new in them.
   *
   * @throws the first error; what had been begun has ended by then
   */
  async change<T>(keyspace: KeyspaceHandle, change: (place: Served) => Promise<T>): Promise<T[]> {
    const results = new Map<string, T>();
    for (;;) {
      const known = this.router.routesOf(keyspace, 'all');
      const places = await this.places(
        keyspace,
        known.map(({ route }) => route),
      );
      const left = places.filter((place) => !results.has(nameOf(place)));
      for (const isOwner of [true, false]) {
        const turn = left.filter((place) => place.isOwner === isOwner);
        await inParallel(turn, async (place) => void results.set(nameOf(place), await change(place)));
      }
      if (await this.router.areConfirmed(known, this.router.deadline())) return [...results.values()];
    }
  }

  /** A place whose definition is to be told: one that nobody moves, where there is one, as moves suspend some indexes. */
  async one(keyspace: KeyspaceHandle): Promise<Collection> {
    const routes = this.router.routesOf(keyspace, 'all').map(({ route }) => route);
    const route = routes.find(({ partition }) => partition.handover === null) ?? routes[0]!;
    const node = owningSide(route.partition);
    return route.collection(keyspace.database, node, await this.nodes.get(node));
  }

  private async places(keyspace: KeyspaceHandle, routes: readonly PartitionRoute[]): Promise<Served[]> {
    const places = new Map<string, Served>();
    for (const route of routes) {
      const { source, target } = route.partition.route;
      for (const node of target === null ? [source] : [source, target]) {
        const collection = route.collection(keyspace.database, node, await this.nodes.get(node));
        const place = { node, collection, isOwner: node === owningSide(route.partition) };
        const known = places.get(nameOf(place));
        if (known?.isOwner !== true) places.set(nameOf(place), place);
      }
    }
    return [...places.values()];
  }
}

const nameOf = ({ node, collection }: Served): string => `${node} ${collection.namespace}`;

/** The side whose definition a move takes for the partition's: the source, until all of it is at the target. */
function owningSide(partition: Partition): NodeName {
  const { source, target, boundary } = partition.route;
  return target !== null && boundary === tokensOf(partition).high ? target : source;
}

async function inParallel(places: readonly Served[], change: (place: Served) => Promise<void>): Promise<void> {
  const failures: unknown[] = [];
  const tried = (place: Served) => change(place).catch((error: unknown) => void failures.push(error));
  const nodes = [...new Set(places.map(({ node }) => node))];
  const atNode = (node: NodeName) =>
    pMap(
      places.filter((place) => place.node === node),
      tried,
      { concurrency: AT_ONCE_AT_A_NODE },
    );
  await Promise.all(nodes.map(atNode));
  if (failures.length > 0) throw failures[0];
}
