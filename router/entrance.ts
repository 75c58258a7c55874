import type { MongoClient } from 'mongodb';
import type { NodePool } from '../store/node-pool.js';
import { Turnstile } from './turnstile.js';

/** A request at its node. */
export interface Within {
  readonly node: string;
  readonly client: MongoClient;
  /** To be left at the end. */
  readonly turnstile: Turnstile;
}

/**
 * Where requests wait for their turn at a node, rather than for a connection: here they cost less, and may still go where
 * their token is by then.
 */
export class Entrance {
  private readonly turnstiles = new Map<string, Turnstile>();

  constructor(private readonly nodes: NodePool) {}

  /** @throws DroverError `TimedOut` at the deadline (milliseconds of `performance.now()`) */
  async comeIn(node: string, deadline: number): Promise<Within> {
    const client = this.nodes.peek(node) ?? (await this.nodes.get(node));
    let turnstile = this.turnstiles.get(node);
    if (turnstile === undefined) {
      turnstile = new Turnstile(connectionsOf(client), `a free connection to node "${node}"`);
      this.turnstiles.set(node, turnstile);
    }
    if (!turnstile.tryEnter()) await turnstile.enter(deadline);
    return { node, client, turnstile };
  }
}

/** As many requests as the driver sends at once. Who limits the time that they wait for a connection has them wait there. */
function connectionsOf({ options: { maxPoolSize, waitQueueTimeoutMS } }: MongoClient): number {
  return maxPoolSize > 0 && waitQueueTimeoutMS === 0 ? maxPoolSize : Infinity;
}
