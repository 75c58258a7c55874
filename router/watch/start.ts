import type { Db, Document, MongoClient } from 'mongodb';
import { Timestamp } from 'mongodb';
import type { NodeName } from '../../domain/partition.js';
import { operationTime } from '../../store/change-log.js';
import { MARKERS } from '../../store/checkpoint.js';
import { timeToBson } from '../../store/codec.js';
import { hasCode } from '../../store/server-errors.js';
import type { KeyspaceHandle } from '../keyspaces.js';
import { surelyBefore } from '../node-history.js';
import type { Router } from '../router.js';
import type { NodePosition, Position } from './position.js';
import { isMarkerOf } from './sent-markers.js';

/** Where a change stream begins. */
export interface Start {
  readonly clients: Clients;
  readonly position: Position;
  /** By `performance.now()`: routes that were read since then may name other nodes. */
  readonly at: number;
  /** Of the routes by which all nodes are known that have had a part since the position; undefined where these don't tell. */
  readonly lease: number | undefined;
}

type Clients = ReadonlyMap<NodeName, MongoClient>;

/** Those of the moves that are under way. */
const MOST_MARKERS = 100_000;

/**
 * Where a change stream begins that is not resumed: now, at all nodes at moments between which nothing has changed hands, so
 * that of a document either all changes are before it or the later ones are behind it.
 *
 * @throws DroverError `Unavailable` when a node does not answer, or it can't be told whether something has changed hands
 */
export async function startNow(router: Router, keyspace: KeyspaceHandle): Promise<Start> {
  const deadline = router.deadline();
  for (;;) {
    const [at, since, lease] = [performance.now(), new Date(), router.leaseNumber()];
    const known = router.routesOf(keyspace, 'all');
    // Tokens that are fenced already may change hands without another word to this router.
    const fenced = known.find(({ route }) => route.partition.route.fence !== null);
    if (fenced === undefined) {
      // All that there are: whichever has nothing yet may be given a part.
      const { scatter } = router;
      const clients = await present(router, [...scatter.connectedNodes, ...scatter.nodesInUse(keyspace.name)]);
      const position = { ...(await momentsOf(keyspace, clients)), since };
      if (await router.areConfirmed(known, deadline)) return { clients, position, at, lease };
    } else await router.held.nextChange(fenced.route, deadline);
    if (performance.now() > deadline) throw router.timedOut((fenced ?? known[0]!).route);
  }
}

/** Without those that have gone. */
async function present({ scatter, keyspaces }: Router, nodes: readonly NodeName[]): Promise<Clients> {
  if (nodes.every((node) => scatter.connectedNodes.includes(node))) return scatter.connected(nodes);
  const addedAt = await keyspaces.nodeHistory.addedAt();
  return scatter.connected(nodes.filter((node) => addedAt.has(node)));
}

async function momentsOf({ name, database }: KeyspaceHandle, clients: Clients): Promise<Omit<Position, 'since'>> {
  const sent = new Set<string>();
  const begin = async ([node, client]: readonly [string, MongoClient]): Promise<[string, NodePosition]> => {
    const moment = await momentOf(client.db(database));
    for (const marker of moment.sent) if (isMarkerOf(name, marker)) sent.add(marker);
    return [node, { behind: moment.next, shown: 0 }];
  };
  return { nodes: new Map(await Promise.all([...clients].map(begin))), sent };
}

/** A moment of a node: the markers that it had sent by then, which may be under way, and from when on its changes are later. */
async function momentOf(db: Db): Promise<{ readonly sent: readonly string[]; readonly next: Timestamp }> {
  for (;;) {
    const time = await operationTime(db);
    try {
      const { cursor } = (await db.command({
        find: MARKERS,
        filter: { boundary: { $exists: true } },
        projection: { _id: 1 },
        batchSize: MOST_MARKERS,
        singleBatch: true,
        readConcern: { level: 'snapshot', atClusterTime: timeToBson(time) },
      })) as { cursor: { firstBatch: Document[] } };
      return { sent: cursor.firstBatch.map(({ _id }) => String(_id)), next: timeToBson(time + 1n) };
    } catch (error) {
      // The collection was made in this very moment.
      if (!hasCode(error, 'snapshotUnavailable')) throw error;
    }
  }
}

/**
 * Where a change stream goes on: at each node where its token says. Which nodes may have had changes that the token does not know
 * is looked up later: see {@link LaterNodes}.
 */
export async function goOn(router: Router, { nodes, ...others }: Position): Promise<Start> {
  const at = performance.now();
  const clients = await present(router, [...nodes.keys()]);
  const there = new Map([...nodes].filter(([node]) => clients.has(node)));
  return { clients, position: { nodes: there, ...others }, at, lease: undefined };
}

/** Of a node that has come in: from then on, if it was there by then. */
export function positionOfLater(since: Date, addedAt: Date): NodePosition {
  const from = surelyBefore(addedAt > since ? addedAt : since);
  return { behind: new Timestamp({ t: Math.floor(from.getTime() / 1_000), i: 1 }), shown: 0 };
}
