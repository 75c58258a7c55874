import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { MongoClient } from 'mongodb';
import type { ControlContext } from '../client/context.js';
import { openControl } from '../client/context.js';
import { registerNodes } from '../client/nodes.js';
import type { Configuration } from '../config/index.js';
import { loadConfiguration } from '../config/index.js';
import { connect } from '../store/connect.js';
import { startCluster } from '../temporal-config/dev-cluster.js';

/** Two nodes, a catalog, Temporal and a worker, each a process of its own, as in production. */
export interface BenchCluster {
  readonly configuration: Configuration;
  readonly control: ControlContext;
  readonly catalog: MongoClient;
  readonly nodes: Readonly<Record<string, MongoClient>>;
  stop(): Promise<void>;
}

/** Change logs have to reach back over a whole round. */
const OPLOG_MB = 4_096;
const CACHE_GB = 1;

export async function benchCluster(migration: Readonly<Record<string, string>>): Promise<BenchCluster> {
  const directory = await mkdtemp(join(tmpdir(), 'drover-bench-'));
  const cluster = await startCluster({
    directory,
    nodes: [
      { name: 'us-1', region: 'us-east' },
      { name: 'eu-1', region: 'eu-west' },
    ],
    workers: 1,
    ui: false,
    cacheGb: CACHE_GB,
    oplogMb: OPLOG_MB,
    configuration: { mode: 'observe', policy: { migration } },
  });
  const opened: MongoClient[] = [];
  const open = async (uri: string, what: string): Promise<MongoClient> => {
    const client = await connect(uri, what);
    opened.push(client);
    return client;
  };
  let control: ControlContext | undefined;
  const stop = async (): Promise<void> => {
    await Promise.all(opened.map((client) => client.close()));
    await control?.close();
    await cluster.stop();
    await rm(directory, { recursive: true, force: true });
  };
  try {
    const configuration = await loadConfiguration({ path: cluster.config, env: { ...process.env, ...cluster.env } });
    control = await openControl({ configuration });
    await registerNodes(control.catalog, configuration);
    const nodes: Record<string, MongoClient> = {};
    for (const [name, { uri }] of Object.entries(cluster.nodes)) nodes[name] = await open(uri, `node "${name}"`);
    return { configuration, control, catalog: await open(cluster.catalog.uri, 'catalog'), nodes, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
