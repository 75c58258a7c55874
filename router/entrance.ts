import type { MongoClient } from 'mongodb';
import type { NodePool } from '../store/node-pool.js';
import { clientClosed } from './client-closed.js';
import { Turnstile } from './turnstile.js';

/** Transactions that the router makes of single requests, deletes above all, are a crowd of their own. */
export type Crowd = 'requests' | 'transactions';

/** A request at its node. */
export interface Within {
  readonly client: MongoClient;
  /** To be called once, at the end. */
  readonly leave: () => void;
}

/**
 * A fence can't close while a transaction is open, and one that waits for a free connection between its statements, behind
 * a crowd of other requests, is open for long.
 */
const TRANSACTIONS = 16;

interface Turnstiles {
  readonly client: MongoClient;
  readonly requests: Turnstile;
  readonly transactions: Turnstile;
}

/**
 * Where writes wait for their turn at a node, rather than for a connection: here they cost less, and may still go where
 * their token is by then.
 */
export class Entrance {
  private readonly turnstiles = new Map<string, Turnstiles>();

  constructor(private readonly nodes: NodePool) {}

  /** Who waits is turned away, and who comes. */
  close(): void {
    for (const { requests, transactions } of this.turnstiles.values()) {
      requests.close(clientClosed());
      transactions.close(clientClosed());
    }
  }

  /** @throws DroverError `TimedOut` at the deadline (milliseconds of `performance.now()`) */
  async comeIn(node: string, deadline: number, crowd: Crowd = 'requests'): Promise<Within> {
    const { client, requests, transactions } = this.turnstiles.get(node) ?? (await this.open(node));
    if (crowd === 'requests') {
      if (!requests.tryEnter()) await requests.enter(deadline);
      return { client, leave: () => requests.leave() };
    }
    // In this order: who waits for the other transactions keeps nobody else out.
    await transactions.enter(deadline);
    try {
      await requests.enter(deadline);
    } catch (error) {
      transactions.leave();
      throw error;
    }
    const leave = () => {
      requests.leave();
      transactions.leave();
    };
    return { client, leave };
  }

  private async open(node: string): Promise<Turnstiles> {
    const client = await this.nodes.get(node);
    // Somebody else may have been faster.
    const known = this.turnstiles.get(node);
    if (known !== undefined) return known;
    const opened = {
      client,
      requests: new Turnstile(connectionsOf(client), `a free connection to node "${node}"`),
      transactions: new Turnstile(TRANSACTIONS, `other transactions at node "${node}"`),
    };
    this.turnstiles.set(node, opened);
    return opened;
  }
}

/** As many requests as the driver sends at once. Who limits the time that they wait for a connection has them wait there. */
function connectionsOf({ options: { maxPoolSize, waitQueueTimeoutMS } }: MongoClient): number {
  return maxPoolSize > 0 && waitQueueTimeoutMS === 0 ? maxPoolSize : Infinity;
}
