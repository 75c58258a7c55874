import type { MongoClient } from 'mongodb';
import type { NodeName } from '../domain/partition.js';
import type { NodePool } from '../store/node-pool.js';
import { clientClosed } from './client-closed.js';
import { Turnstile } from './turnstile.js';

/** Transactions that the router makes of single requests, deletes above all, are a crowd of their own. */
export type Crowd = 'requests' | 'transactions';

/** A request at its node. */
export interface Within {
  readonly node: NodeName;
  readonly client: MongoClient;
  /** To be called once, at the end. */
  readonly leave: () => void;
}

/**
 * A fence can't close while a transaction is open, and one that waits for a free connection between its statements, behind
 * a crowd of other requests, is open for long.
 */
const TRANSACTIONS = 16;

/** The way to one node. */
class Way {
  private readonly requests: Turnstile;
  private readonly transactions: Turnstile;
  private readonly within: Readonly<Record<Crowd, Within>>;

  constructor(node: NodeName, client: MongoClient) {
    this.transactions = new Turnstile(TRANSACTIONS, `other transactions at node "${node}"`);
    this.requests = new Turnstile(connectionsOf(client), `a free connection to node "${node}"`);
    const { requests, transactions } = this;
    this.within = {
      requests: { node, client, leave: () => requests.leave() },
      transactions: {
        node,
        client,
        leave: () => {
          requests.leave();
          transactions.leave();
        },
      },
    };
  }

  tryEnter(crowd: Crowd): Within | undefined {
    if (crowd === 'requests') return this.requests.tryEnter() ? this.within.requests : undefined;
    if (!this.transactions.tryEnter()) return undefined;
    if (this.requests.tryEnter()) return this.within.transactions;
    this.transactions.leave();
    return undefined;
  }

  async enter(crowd: Crowd, deadline: number): Promise<Within> {
    // In this order: who waits for the other transactions keeps nobody else out.
    if (crowd === 'transactions') await this.transactions.enter(deadline);
    try {
      await this.requests.enter(deadline);
    } catch (error) {
      if (crowd === 'transactions') this.transactions.leave();
      throw error;
    }
    return this.within[crowd];
  }

  close(): void {
    this.requests.close(clientClosed());
    this.transactions.close(clientClosed());
  }
}

/**
 * Where writes wait for their turn at a node, rather than for a connection: here they cost less, and may still go where
 * their token is by then.
 */
export class Entrance {
  private readonly ways = new Map<NodeName, Way>();

  constructor(private readonly nodes: NodePool) {}

  /** Who waits is turned away, and who comes. */
  close(): void {
    for (const way of this.ways.values()) way.close();
  }

  /** @returns undefined where one has to wait */
  tryComeIn(node: NodeName, crowd: Crowd = 'requests'): Within | undefined {
    return this.ways.get(node)?.tryEnter(crowd);
  }

  /** @throws DroverError `TimedOut` at the deadline (milliseconds of `performance.now()`) */
  async comeIn(node: NodeName, deadline: number, crowd: Crowd = 'requests'): Promise<Within> {
    const way = this.ways.get(node) ?? (await this.open(node));
    return way.enter(crowd, deadline);
  }

  private async open(node: NodeName): Promise<Way> {
    const client = await this.nodes.get(node);
    // Somebody else may have been faster.
    let way = this.ways.get(node);
    if (way === undefined) this.ways.set(node, (way = new Way(node, client)));
    return way;
  }
}

/** As many requests as the driver sends at once. Who limits the time that they wait for a connection has them wait there. */
function connectionsOf({ options: { maxPoolSize, waitQueueTimeoutMS } }: MongoClient): number {
  return maxPoolSize > 0 && waitQueueTimeoutMS === 0 ? maxPoolSize : Infinity;
}
