import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { MongoClient } from 'mongodb';
import { connect } from '../store/connect.js';
import { startMongod } from '../temporal-config/mongod.js';

export interface Node {
  readonly uri: string;
  readonly client: MongoClient;
}

/** Two nodes alone, for what needs neither a catalog nor Temporal. */
export interface TwoNodes {
  readonly source: Node;
  readonly target: Node;
  stop(): Promise<void>;
}

const CACHE_GB = 2;
const OPLOG_MB = 4_096;

export async function twoNodes(): Promise<TwoNodes> {
  const directory = await mkdtemp(join(tmpdir(), 'drover-bench-'));
  const start = (name: string) =>
    startMongod({ name, dir: join(directory, name), cacheGb: CACHE_GB, oplogMb: OPLOG_MB });
  const servers = await Promise.all([start('source'), start('target')]);
  const clients = await Promise.all(servers.map(({ name, uri }) => connect(uri, name)));
  const node = (i: 0 | 1): Node => ({ uri: servers[i].uri, client: clients[i]! });
  return {
    source: node(0),
    target: node(1),
    stop: async () => {
      await Promise.all(clients.map((client) => client.close()));
      await Promise.all(servers.map((server) => server.stop()));
      await rm(directory, { recursive: true, force: true });
    },
  };
}
