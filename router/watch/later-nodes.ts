import type { MongoClient } from 'mongodb';
import { MongoServerError } from 'mongodb';
import type { NodeName } from '../../domain/partition.js';
import type { KeyspaceHandle } from '../keyspaces.js';
import type { Router } from '../router.js';
import type { NodeLog } from './node-log.js';
import type { NodePosition } from './position.js';
import type { Start } from './start.js';
import { positionOfLater } from './start.js';

export type OpenLog = (node: NodeName, client: MongoClient, position: NodePosition) => NodeLog;

/**
 * Nodes that come in while a change stream is read, or have since its token was made. While the lease holds every node that gets a part
 * of a partition has been named by a route here, also when it has lost that again; otherwise the catalog says where partitions were.
 */
export class LaterNodes {
  /** Nodes that are not known have had nothing until then. */
  since: Date;
  private readonly known: Set<NodeName>;
  private lookedAt: number;
  private lease: number | undefined;

  constructor(
    private readonly router: Router,
    private readonly keyspace: KeyspaceHandle,
    { clients, position, at, lease }: Start,
    private readonly openLog: OpenLog,
  ) {
    this.known = new Set(clients.keys());
    this.since = position.since;
    this.lookedAt = at;
    this.lease = lease;
  }

  /**
   * The logs of those that have come in since the last call; the server has accepted the request for each.
   *
   * @param unread one from which tokens have come, so that it has had a part
   * @throws MongoServerError `ChangeStreamHistoryLost` when one has gone again, with what may have been changed there
   * @throws DroverError `Unavailable` when one does not answer, `InvalidConfiguration` when no address of it is known
   */
  async next(unread?: NodeName): Promise<NodeLog[]> {
    const { scatter, keyspaces } = this.router;
    const { name } = this.keyspace;
    const [now, date, lease] = [performance.now(), new Date(), this.router.leaseNumber()];
    const named =
      lease === undefined || lease === this.lease
        ? scatter.nodesNamedSince(name, this.lookedAt)
        : [...scatter.nodesInUse(name), ...(await keyspaces.nodeHistory.movedSince(name, this.since))];
    if (unread !== undefined) named.push(unread);
    const later = new Set(named.filter((node) => !this.known.has(node)));
    const logs = later.size === 0 ? [] : await this.open(later);
    for (const node of later) this.known.add(node);
    this.lookedAt = now;
    if (lease !== undefined) {
      this.lease = lease;
      this.since = date;
    }
    return logs;
  }

  private async open(nodes: ReadonlySet<NodeName>): Promise<NodeLog[]> {
    const { scatter, keyspaces } = this.router;
    const addedAt = await keyspaces.nodeHistory.addedAt();
    for (const node of nodes) if (!addedAt.has(node)) throw gone(node, this.keyspace);
    const clients = await scatter.connected(nodes);
    const logs = [...clients].map(([node, client]) =>
      this.openLog(node, client, positionOfLater(this.since, addedAt.get(node)!)),
    );
    try {
      await Promise.all(logs.map((log) => log.open()));
      return logs;
    } catch (error) {
      await Promise.all(logs.map((log) => log.close()));
      throw error;
    }
  }
}

const gone = (node: NodeName, { name }: KeyspaceHandle) =>
  new MongoServerError({
    code: 286,
    codeName: 'ChangeStreamHistoryLost',
    message:
      `node "${node}" is not there any more, and has had a part of "${name}" since the position from which this ` +
      'change stream goes on: begin without a resume token',
  });
