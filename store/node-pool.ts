import type { MongoClient, MongoClientOptions } from 'mongodb';
import { DroverError } from '../domain/errors.js';
import { connect } from './connect.js';

/** One client per node, opened when first asked for; addresses with credentials are known by the node's name alone. */
export class NodePool {
  private readonly clients = new Map<string, Promise<MongoClient>>();
  private readonly connected = new Map<string, MongoClient>();

  constructor(
    private readonly uris: ReadonlyMap<string, string>,
    private readonly options: MongoClientOptions = {},
  ) {}

  get names(): string[] {
    return [...this.uris.keys()];
  }

  /** @throws DroverError `InvalidConfiguration` when no address is known, `Unavailable` when it does not answer */
  async get(node: string): Promise<MongoClient> {
    const known = this.clients.get(node);
    if (known !== undefined) return known;
    const uri = this.uris.get(node);
    if (uri === undefined) {
      throw new DroverError(
        'InvalidConfiguration',
        `no address is known for node "${node}": set DROVER_NODE_${node.toUpperCase().replaceAll('-', '_')} or name it in drover.yaml`,
      );
    }
    const client = connect(uri, `node "${node}"`, this.options);
    this.clients.set(node, client);
    try {
      this.connected.set(node, await client);
    } catch (error) {
      // Not remembered: the next call tries again.
      this.clients.delete(node);
      throw error;
    }
    return client;
  }

  /** The client when it is already connected: for paths that can't wait. */
  peek(node: string): MongoClient | undefined {
    return this.connected.get(node);
  }

  /** One that is connected. @throws DroverError `Unavailable` when none is */
  any(): MongoClient {
    for (const client of this.connected.values()) return client;
    throw new DroverError('Unavailable', 'no node is connected');
  }

  async close(): Promise<void> {
    const clients = await Promise.allSettled(this.clients.values());
    await Promise.all(clients.flatMap((client) => (client.status === 'fulfilled' ? [client.value.close()] : [])));
  }
}
