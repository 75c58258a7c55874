import type { MongoClient } from 'mongodb';
import { MongoInvalidArgumentError } from 'mongodb';
import type { Origin } from '../domain/access.js';
import { userOf } from '../domain/entity-sessions.js';
import { DroverError } from '../domain/errors.js';
import type { NodeName } from '../domain/partition.js';
import type { NodePool } from '../store/node-pool.js';
import type { Keyspaces } from './keyspaces.js';
import type { OriginOptions } from './origin.js';
import { originOf } from './origin.js';
import type { RouteFeed } from './route-feed.js';
import type { PartitionRoute, RouteTable } from './route-table.js';
import type { SeenRoute } from './session-token.js';

const PAUSE_MS = 100;

/** What sessions need of their client. */
export class SessionCluster {
  constructor(
    private readonly keyspaces: Keyspaces,
    private readonly table: RouteTable,
    private readonly feed: RouteFeed,
    private readonly nodes: NodePool,
    private readonly ownRegion: string,
    /** Longest wait for a node's time, or for the catalog. */
    readonly timeoutMs: number,
  ) {}

  nameOf(client: MongoClient): NodeName {
    return this.nodes.nameOf(client);
  }

  /** Of a user of the application. */
  originOf(options: OriginOptions): Origin {
    const origin = originOf(options, this.ownRegion);
    const user = origin.network === undefined ? undefined : userOf(options.ip!);
    return user === undefined ? origin : { ...origin, user };
  }

  /**
   * Brings this router's routes up to what another one went by.
   *
   * @throws DroverError `Unavailable` when the catalog can't be reached, `InvalidRequest` when it has no such keyspace
   * @throws MongoInvalidArgumentError when the catalog has nothing as new as that
   */
  async catchUp(routes: ReadonlyMap<string, SeenRoute>): Promise<void> {
    const deadline = performance.now() + this.timeoutMs;
    await Promise.all([...routes].map(([id, { epoch }]) => this.catchUpOne(id, epoch, deadline)));
  }

  private async catchUpOne(id: string, epoch: number, deadline: number): Promise<void> {
    const route = this.table.route(id) ?? (await this.find(id));
    while (route.epoch < epoch) {
      if (await this.feed.confirm(route.partition)) {
        if (route.epoch >= epoch) return;
        throw notOfThis(`${id} had the epoch ${epoch} there, and has ${route.epoch} here`);
      }
      if (performance.now() > deadline) {
        throw new DroverError(
          'Unavailable',
          `the session that this one continues has gone by a newer route of ${id}, and the catalog does not answer: repeat the request`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }

  /** Which of these nodes are known neither here nor in the catalog; none while that does not answer. */
  async goneOf(nodes: readonly NodeName[]): Promise<NodeName[]> {
    const { names } = this.nodes;
    const unknown = nodes.filter((node) => !names.includes(node));
    if (unknown.length === 0) return [];
    const there = await this.keyspaces.nodeHistory.addedAt().catch(() => undefined);
    return there === undefined ? [] : unknown.filter((node) => !there.has(node));
  }

  /** A partition that was not there when the routes were read. */
  private async find(id: string): Promise<PartitionRoute> {
    const keyspace = id.slice(0, id.lastIndexOf('/'));
    await this.keyspaces.get(keyspace);
    await this.feed.reload(keyspace);
    const found = this.table.route(id);
    if (found === undefined) throw notOfThis(`there is no partition ${id} here`);
    return found;
  }
}

const notOfThis = (why: string) =>
  new MongoInvalidArgumentError(
    `"continueFrom" is of another catalog, or of a keyspace that has been released since: ${why}`,
  );
