import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { equalIntervals } from '../domain/hash-ring.js';
import type { Partition } from '../domain/partition.js';
import { acceptedTokens, partitionId } from '../domain/partition.js';
import { DroverClient } from '../router/index.js';
import { Catalog } from '../store/catalog/catalog.js';
import { connect } from '../store/connect.js';
import { createFenced } from '../store/fenced-collection.js';
import { startMongod } from '../temporal-config/mongod.js';
import type { Order } from './orders.js';
import { initialOrders, KEY } from './orders.js';
import type { RequestSettings } from './request-messages.js';

/** A catalog and one node, on which a keyspace and a plain collection have the same documents. */
export interface RequestCluster {
  settings(through: RequestSettings['through']): RequestSettings;
  stop(): Promise<void>;
}

const NODE = 'us-1';
const DATABASE = 'bench';
const COLLECTION = 'orders';
const PLAIN = 'plain-orders';
const KEYSPACE = `${DATABASE}.${COLLECTION}`;
const CACHE_GB = 2;

export async function requestCluster(documents: number, partitions: number): Promise<RequestCluster> {
  const directory = await mkdtemp(join(tmpdir(), 'drover-bench-'));
  const start = (name: string) => startMongod({ name, dir: join(directory, name), cacheGb: CACHE_GB });
  const servers = await Promise.all([start('catalog'), start(NODE)]);
  const stop = async (): Promise<void> => {
    await Promise.all(servers.map((server) => server.stop()));
    await rm(directory, { recursive: true, force: true });
  };
  try {
    const [catalog, node] = servers.map(({ uri }) => uri) as [string, string];
    const nodes = { [NODE]: node };
    await makeKeyspace(catalog, node, partitions);
    await fill(catalog, nodes, documents);
    const settings = (through: RequestSettings['through']): RequestSettings => ({
      through,
      uri: through === 'driver' ? node : catalog,
      nodes,
      database: DATABASE,
      collection: through === 'driver' ? PLAIN : COLLECTION,
      documents,
    });
    return { settings, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function makeKeyspace(catalogUri: string, nodeUri: string, count: number): Promise<void> {
  const partitions = equalIntervals(count).map((box, i): Partition => {
    const name = `p${i}`;
    return {
      id: partitionId(KEYSPACE, name),
      keyspace: KEYSPACE,
      name,
      box: [box],
      collection: `${COLLECTION}.${name}`,
      epoch: 1,
      route: { source: NODE, target: null, boundary: box.low, fence: null },
      attempt: 0,
      gates: [],
      handover: null,
      lastMovedAt: null,
    };
  });
  const [catalog, node] = await Promise.all([Catalog.open(catalogUri), connect(nodeUri, NODE)]);
  try {
    await catalog.nodes.put({ _id: NODE, region: 'us-east', address: 'bench' }, new Date());
    for (const partition of partitions) {
      const fence = { keyField: KEY, accepted: acceptedTokens(partition, NODE) };
      await createFenced(node.db(DATABASE), partition.collection, fence);
    }
    const keyspace = { _id: KEYSPACE, database: DATABASE, collection: COLLECTION, createdAt: new Date() };
    await catalog.addKeyspace({ ...keyspace, dimensions: [{ kind: 'hashed', field: KEY }] }, partitions);
  } finally {
    await Promise.all([catalog.close(), node.close()]);
  }
}

async function fill(catalog: string, nodes: Readonly<Record<string, string>>, documents: number): Promise<void> {
  const client = await DroverClient.connect(catalog, { region: 'us-east', nodes, recordAccess: false });
  const plain = await connect(nodes[NODE]!, NODE);
  try {
    const both = [
      client.db(DATABASE).collection<Order>(COLLECTION),
      plain.db(DATABASE).collection<Order>(PLAIN),
    ] as const;
    for (const batch of initialOrders(documents)) {
      for (const orders of both) await orders.insertMany(structuredClone(batch), { ordered: false });
    }
  } finally {
    await Promise.all([client.close(), plain.close()]);
  }
}
