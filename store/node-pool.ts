import type { MongoClient, MongoClientOptions } from 'mongodb';
import { DroverError } from '../domain/errors.js';
import { connect } from './connect.js';

/** Servers that take writes. */
const PRIMARIES: ReadonlySet<string> = new Set(['RSPrimary', 'Standalone', 'Mongos', 'LoadBalancer']);

/** What the driver's client has, and does not declare. */
interface WithTopology {
  readonly topology?: {
    readonly description: {
      readonly servers: ReadonlyMap<string, { readonly type: string; readonly roundTripTime: number }>;
    };
  };
}

/** One client per node, opened when first asked for; addresses with credentials are known by the node's name alone. */
export class NodePool {
  private readonly clients = new Map<string, Promise<MongoClient>>();
  private readonly connected = new Map<string, MongoClient>();
  private readonly withPrimary = new Map<string, boolean>();
  private closed = false;
  private readonly nodeOf = new WeakMap<MongoClient, string>();

  /** @param lookUp finds the address of a node that has come in since the others were known */
  constructor(
    private readonly uris: ReadonlyMap<string, string>,
    private readonly options: MongoClientOptions = {},
    private readonly lookUp: (node: string) => Promise<string | undefined> = () => Promise.resolve(undefined),
  ) {}

  /** Those that an address was given of, and those that have been found. */
  get names(): string[] {
    return [...new Set([...this.uris.keys(), ...this.connected.keys()])];
  }

  /** Whether the primary of each node is known at this moment, by the node's name. */
  get reachable(): Record<string, boolean> {
    const names = new Set([...this.names, ...this.clients.keys()]);
    return Object.fromEntries([...names].map((node) => [node, this.withPrimary.get(node) ?? false]));
  }

  /**
   * Time to the primary of each node and back, as the driver measures it with its heartbeats (every ten seconds, whole milliseconds,
   * smoothed), by the node's name; without those that it is not known of.
   */
  get roundTripMs(): ReadonlyMap<string, number> {
    const found = new Map<string, number>();
    for (const [node, client] of this.connected) {
      const servers = (client as unknown as WithTopology).topology?.description.servers.values() ?? [];
      const primary = [...servers].find(({ type }) => PRIMARIES.has(type));
      if (primary !== undefined && primary.roundTripTime >= 0) found.set(node, primary.roundTripTime);
    }
    return found;
  }

  /**
   * @throws DroverError `InvalidConfiguration` when no address is known, `Unavailable` when it does not answer or the pool is
   * closed
   */
  async get(node: string): Promise<MongoClient> {
    if (this.closed) throw new DroverError('Unavailable', `the connections to the nodes are closed, also to "${node}"`);
    const known = this.clients.get(node);
    if (known !== undefined) return known;
    const client = this.connect(node);
    this.clients.set(node, client);
    try {
      const connected = await client;
      this.connected.set(node, connected);
      this.nodeOf.set(connected, node);
      this.watch(node, connected);
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

  /** The node of a client of this pool. */
  nameOf(client: MongoClient): string {
    return this.nodeOf.get(client)!;
  }

  /** One that is connected, with a primary if any has one. @throws DroverError `Unavailable` when none is */
  any(): MongoClient {
    for (const [node, client] of this.connected) if (this.withPrimary.get(node) === true) return client;
    for (const client of this.connected.values()) return client;
    throw new DroverError('Unavailable', 'no node is connected');
  }

  async close(): Promise<void> {
    this.closed = true;
    this.withPrimary.clear();
    const clients = await Promise.allSettled(this.clients.values());
    await Promise.all(clients.flatMap((client) => (client.status === 'fulfilled' ? [client.value.close()] : [])));
  }

  private watch(node: string, client: MongoClient): void {
    this.withPrimary.set(node, true);
    client.on('topologyDescriptionChanged', ({ newDescription: { servers } }) => {
      const primary = [...servers.values()].some(({ type }) => PRIMARIES.has(type));
      if (!this.closed) this.withPrimary.set(node, primary);
    });
  }

  private async connect(node: string): Promise<MongoClient> {
    const uri = this.uris.get(node) ?? (await this.lookUp(node));
    if (uri !== undefined) return connect(uri, `node "${node}"`, this.options);
    throw new DroverError(
      'InvalidConfiguration',
      `no address is known for node "${node}": set DROVER_NODE_${node.toUpperCase().replaceAll('-', '_')} or name it in drover.yaml`,
    );
  }
}
