import type { Db, Document, MongoClient } from 'mongodb';
import { MongoServerError, Timestamp } from 'mongodb';
import { operationTime } from '../../store/change-log.js';
import { MARKERS } from '../../store/checkpoint.js';
import { timeToBson } from '../../store/codec.js';
import { hasCode } from '../../store/server-errors.js';
import type { KeyspaceHandle } from '../keyspaces.js';
import type { Router } from '../router.js';
import type { NodePosition, Position } from './position.js';

type Clients = ReadonlyMap<string, MongoClient>;

/** Clocks that differ by more are not good for a node either. */
const CLOCKS_DIFFER_MS = 60_000;
/** Those of the moves that are under way. */
const MOST_MARKERS = 100_000;

/**
 * Where a change stream begins that is not resumed: now, at all nodes at moments between which nothing has changed hands, so
 * that of a document either all changes are before it or the later ones are behind it.
 *
 * @throws DroverError `Unavailable` when a node does not answer, or it can't be told whether something has changed hands
 */
export async function startNow(router: Router, keyspace: KeyspaceHandle, clients: Clients): Promise<Position> {
  const deadline = router.deadline();
  for (;;) {
    const known = router.routesOf(keyspace, 'all');
    // Tokens that are fenced already may change hands without another word to this router.
    const fenced = known.find(({ route }) => route.partition.route.fence !== null);
    if (fenced === undefined) {
      const start = await momentsOf(keyspace, clients);
      if (await router.areConfirmed(known, deadline)) return start;
    } else await router.held.nextChange(fenced.route, deadline);
    if (performance.now() > deadline) throw router.timedOut((fenced ?? known[0]!).route);
  }
}

async function momentsOf({ database }: KeyspaceHandle, clients: Clients): Promise<Position> {
  const sent = new Set<string>();
  const begin = async ([node, client]: readonly [string, MongoClient]): Promise<[string, NodePosition]> => {
    const moment = await momentOf(client.db(database));
    for (const marker of moment.sent) sent.add(marker);
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
 * Where a change stream goes on: at each node where its token says. Nodes that the token does not know were added after it was
 * made, and have had nothing before that.
 *
 * @throws MongoServerError `ChangeStreamHistoryLost` when a node of the token is not there any more, and may have had changes
 */
export async function goOn(
  router: Router,
  keyspace: KeyspaceHandle,
  clients: Clients,
  { nodes, sent }: Position,
): Promise<Position> {
  const { nodeHistory } = router.keyspaces;
  for (const [node, { behind }] of nodes) {
    if (clients.has(node)) continue;
    const since = secondsOf(behind) * 1_000 - CLOCKS_DIFFER_MS;
    if (!(await nodeHistory.hadPart(keyspace.name, node, new Date(since)))) continue;
    throw new MongoServerError({
      code: 286,
      codeName: 'ChangeStreamHistoryLost',
      message: `node "${node}" is not there any more, and had a part of "${keyspace.name}" when the resume token was made`,
    });
  }
  const places = [...clients.keys()].map(async (node): Promise<[string, NodePosition]> => {
    const known = nodes.get(node);
    if (known !== undefined) return [node, known];
    const addedAt = (await nodeHistory.addedAt(node)).getTime() - CLOCKS_DIFFER_MS;
    return [node, { behind: new Timestamp({ t: Math.floor(addedAt / 1_000), i: 1 }), shown: 0 }];
  });
  return { nodes: new Map(await Promise.all(places)), sent };
}

const secondsOf = (behind: string | Timestamp): number =>
  typeof behind === 'string' ? Number.parseInt(behind.slice(2, 10), 16) : behind.getHighBitsUnsigned();
