import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { MongoClient } from 'mongodb';
import { ConnectionString } from 'mongodb-connection-string-url';
import type { ControlContext } from '../../client/context.js';
import { openControl } from '../../client/context.js';
import { createKeyspace } from '../../client/keyspaces.js';
import { registerNodes } from '../../client/nodes.js';
import { loadConfiguration } from '../../config/index.js';
import { DroverClient } from '../../router/index.js';
import { connect } from '../../store/connect.js';
import type { Cluster } from '../../temporal-config/dev-cluster.js';
import { nodeVariable, startCluster } from '../../temporal-config/dev-cluster.js';
import type { MongodProcess } from '../../temporal-config/mongod.js';
import type { NetworkLink, Toxiproxy } from '../../temporal-config/toxiproxy.js';
import { startToxiproxy } from '../../temporal-config/toxiproxy.js';
import { KEYSPACE, keyOf, MIXES } from './operations.js';
import { MongoVictim, RouterVictim, TemporalVictim, WorkerVictim } from './victims.js';

export const NODES = [
  { name: 'us-1', region: 'us-east' },
  { name: 'eu-1', region: 'eu-west' },
] as const;

export const PARTITIONS = ['p0', 'p1'] as const;
const WORKERS = 2;
const ROUTERS = 3;
const WRITERS_EACH = 6;
const THINK_MS = 25;
/** Documents that nobody changes: what backfill has to do. */
const STILL_DOCUMENTS = 1_200;
const PADDING = 'x'.repeat(2_000);

export interface TortureCluster {
  readonly directory: string;
  /** Past all proxies, as are `catalog` and what `control` holds. */
  readonly control: ControlContext;
  readonly catalog: MongoClient;
  readonly workers: readonly WorkerVictim[];
  readonly routers: readonly RouterVictim[];
  readonly mongos: { readonly catalog: MongoVictim } & Readonly<Record<string, MongoVictim>>;
  readonly temporal: TemporalVictim;
  /** One way for each party and server. */
  readonly links: readonly NetworkLink[];
  /** Documents that were stored before anything began, and their content. */
  readonly stillDocuments: number;
  stop(): Promise<void>;
}

export interface TortureClusterOptions {
  readonly directory: string;
  readonly seed: number;
  /** Names of nodes, or `catalog`: replica sets of three members. Network faults don't hit these. */
  readonly threeMembers: readonly string[];
}

/** Two nodes, a catalog, Temporal, workers and applications; every party reaches every server by a way of its own. */
export async function startTortureCluster(options: TortureClusterOptions): Promise<TortureCluster> {
  const { directory, threeMembers } = options;
  const cluster = await startCluster({
    directory,
    nodes: NODES,
    workers: 0,
    ui: false,
    threeMembers,
    configuration: { mode: 'observe', policy: { migration: { dwell: '200ms', soak: '300ms' } } },
  });
  const stops: (() => Promise<unknown>)[] = [() => cluster.stop()];
  const stop = async () => {
    for (const each of stops.splice(0).reverse()) await each().catch((error: unknown) => console.error(String(error)));
  };
  try {
    const toxiproxy = await startToxiproxy(directory);
    stops.push(() => toxiproxy.stop());
    const configuration = await loadConfiguration({ path: cluster.config, env: { ...process.env, ...cluster.env } });
    const control = await openControl({ configuration });
    stops.push(() => control.close());
    // Connected while Temporal is up: later it may be away at any time.
    await control.temporal();
    await registerNodes(control.catalog, configuration);
    await createKeyspace(control, { name: KEYSPACE, key: 'customerId', partitions: PARTITIONS.length });
    await storeStillDocuments(control);

    for (const folder of ['histories', 'logs']) await mkdir(join(directory, folder), { recursive: true });
    const ways = new Ways(cluster, toxiproxy);
    const workers: WorkerVictim[] = [];
    for (let i = 0; i < WORKERS; i++) {
      const env = await ways.environment(`worker-${i}`);
      workers.push(new WorkerVictim(`worker-${i}`, directory, env));
    }
    const routers: RouterVictim[] = [];
    for (let i = 0; i < ROUTERS; i++) {
      const input = {
        ...(await ways.uris(`router-${i}`)),
        seed: options.seed * 100_000 + i * 100,
        thinkMs: THINK_MS,
        mix: MIXES[i % 2]!,
      };
      routers.push(new RouterVictim(`router-${i}`, directory, { ...input, writers: documentsOf(i) }));
    }
    stops.push(() => Promise.all([...workers, ...routers].map((victim) => victim.stop())));
    await Promise.all([...workers, ...routers].map((victim) => victim.restart()));
    await Promise.all(routers.map((router) => router.untilConnected()));

    const catalog = await connect(cluster.catalog.uri, 'catalog');
    stops.push(() => catalog.close());
    const victimOf = async (name: string, server: MongodProcess) =>
      new MongoVictim(name, server, name === 'catalog' ? catalog : await control.nodes.get(name));
    const nodes = await Promise.all(Object.entries(cluster.nodes).map(([name, node]) => victimOf(name, node)));
    const mongos = {
      catalog: await victimOf('catalog', cluster.catalog),
      ...Object.fromEntries(nodes.map((node) => [node.name, node])),
    };
    const temporal = new TemporalVictim(cluster.temporal);
    // What was started again the cluster knows nothing of. It ends right before the cluster, after all who use it.
    stops.splice(1, 0, () => Promise.all([temporal, ...Object.values(mongos)].map((victim) => victim.stop())));
    return {
      directory,
      control,
      catalog,
      workers,
      routers,
      mongos,
      temporal,
      links: ways.links,
      stillDocuments: STILL_DOCUMENTS,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The ways of parties to servers: through a proxy each, but directly to replica sets of three members. */
class Ways {
  readonly links: NetworkLink[] = [];

  constructor(
    private readonly cluster: Cluster,
    private readonly toxiproxy: Toxiproxy,
  ) {}

  async uris(party: string): Promise<{ catalog: string; nodes: Record<string, string> }> {
    const nodes: Record<string, string> = {};
    for (const [name, node] of Object.entries(this.cluster.nodes)) nodes[name] = await this.uri(party, name, node);
    return { catalog: await this.uri(party, 'catalog', this.cluster.catalog), nodes };
  }

  /** What a worker is told by its environment. */
  async environment(party: string): Promise<Record<string, string>> {
    const { catalog, nodes } = await this.uris(party);
    const { port } = await this.link(party, 'temporal', this.cluster.temporal.port);
    return {
      DROVER_CATALOG_URI: catalog,
      ...Object.fromEntries(Object.entries(nodes).map(([name, uri]) => [nodeVariable(name), uri])),
      TEMPORAL_ADDRESS: `127.0.0.1:${port}`,
    };
  }

  private async uri(party: string, name: string, server: MongodProcess): Promise<string> {
    if (server.members.length > 1) return server.uri;
    const uri = new ConnectionString(server.uri);
    uri.hosts = [`127.0.0.1:${(await this.link(party, name, server.port)).port}`];
    // The set would name its member by the address past the proxy.
    uri.searchParams.delete('replicaSet');
    uri.searchParams.set('directConnection', 'true');
    return uri.toString();
  }

  private async link(party: string, server: string, port: number): Promise<NetworkLink> {
    const link = await this.toxiproxy.open(`${party}-${server}`, port);
    this.links.push(link);
    return link;
  }
}

/**
 * Each writer has two documents of its own, where every answer is foreseen, and two that a writer of each other process
 * writes as well, where the order has to be found.
 */
function documentsOf(router: number): string[][] {
  return Array.from({ length: WRITERS_EACH }, (_, writer) => [
    `own-${router}-${writer}-a`,
    `own-${router}-${writer}-b`,
    `shared-${writer}`,
    `shared-${WRITERS_EACH + ((writer + router) % WRITERS_EACH)}`,
  ]);
}

async function storeStillDocuments({ configuration }: ControlContext): Promise<void> {
  const client = await DroverClient.connect(configuration.catalog, {
    region: 'us-east',
    nodes: configuration.nodeUris,
    recordAccess: false,
  });
  try {
    const [database, collection] = KEYSPACE.split('.') as [string, string];
    const documents = Array.from({ length: STILL_DOCUMENTS }, (_, i) => {
      const _id = stillDocument(i);
      return { _id: _id as never, customerId: keyOf(_id), value: 'still', count: i, padding: PADDING };
    });
    await client.db(database).collection(collection).insertMany(documents);
  } finally {
    await client.close();
  }
}

export const stillDocument = (i: number): string => `still-${i}`;
