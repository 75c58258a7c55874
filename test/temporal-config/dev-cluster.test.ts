import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MongoClient } from 'mongodb';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { parse } from 'yaml';
import {
  down,
  readClusterEnvironment,
  startCluster,
  startWorkerProcess,
  up,
  type ClusterOptions,
} from '../../temporal-config/dev-cluster.js';
import { startMongod, type MongodProcess } from '../../temporal-config/mongod.js';

// Stands in for a worker: notes what it was given and stays.
const FAKE_WORKER = `console.log(process.env.DROVER_CONFIG, process.env.DROVER_NODE_US_1); setInterval(() => {}, 1000)`;
const workerCommand = [process.execPath, '-e', FAKE_WORKER] as const satisfies [string, ...string[]];
const US = { name: 'us-1', region: 'us-east' };
const EU = { name: 'eu-1', region: 'eu-west' };

let root: string;
let directory: string;
let options: ClusterOptions;

beforeAll(async () => void (root = await mkdtemp(join(tmpdir(), 'drover-cluster-'))));
afterAll(async () => await rm(root, { recursive: true, force: true }));

beforeEach(async () => {
  directory = await mkdtemp(join(root, 'dev-'));
  options = { directory, nodes: [US], workerCommand, ui: false };
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await down({ directory });
});

async function withOrders<T>(uri: string, work: (orders: ReturnType<typeof ordersOf>) => Promise<T>): Promise<T> {
  const client = new MongoClient(uri);
  try {
    return await work(ordersOf(client));
  } finally {
    await client.close();
  }
}

const ordersOf = (client: MongoClient) => client.db('shop').collection('orders');

it('goes up, up again, down and up with its data', async () => {
  const first = await up({ ...options, configuration: { mode: 'automatic' } });
  expect([first.nodes[0]!.presence, first.catalog.presence, first.temporal.presence]).toEqual(Array(3).fill('started'));
  const env = await readClusterEnvironment(directory);
  await withOrders(env.DROVER_NODE_US_1!, (orders) => orders.insertOne({ customerId: 'c42' }));

  const second = await up(options);
  expect(second.nodes[0]).toEqual({ ...first.nodes[0]!, presence: 'running' });
  expect(second.workers).toEqual([{ ...first.workers[0]!, presence: 'running' }]);

  const { stopped } = await down({ directory });
  expect(stopped).toEqual(['worker', 'temporal', 'catalog', 'nodes/us-1']);
  expect((await down({ directory })).stopped).toEqual([]);

  // The environment of a shell that took over the file `env` names servers that are down now.
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
  const third = await up({ directory, workerCommand, ui: false });
  expect(third.nodes[0]!.presence).toBe('started');
  expect(await readClusterEnvironment(directory)).toEqual(env);
  expect(await withOrders(env.DROVER_NODE_US_1!, (orders) => orders.countDocuments())).toBe(1);
  expect(parse(await readFile(third.config, 'utf8'))).toMatchObject({ mode: 'automatic' });
});

it('keeps secrets in one file, out of the configuration and the process list', async () => {
  const { config, env: envFile, workers } = await up(options);
  const env = await readClusterEnvironment(directory);
  expect((await stat(envFile)).mode & 0o777).toBe(0o600);
  const processes = execFileSync('ps', ['-ww', '-A', '-o', 'args='], { encoding: 'utf8' });
  const visible = [await readFile(config, 'utf8'), await readFile(join(directory, 'state.json'), 'utf8'), processes];
  for (const uri of [env.DROVER_CATALOG_URI!, env.DROVER_NODE_US_1!]) {
    for (const text of visible) expect(text).not.toContain(new URL(uri).password);
  }
  expect(parse(visible[0]!)).toMatchObject({
    catalog: '${DROVER_CATALOG_URI}',
    mode: 'recommend',
    temporal: { address: env.TEMPORAL_ADDRESS, namespace: 'default' },
    nodes: [{ name: 'us-1', region: 'us-east', uri: '${DROVER_NODE_US_1}' }],
  });
  // The worker gets them by its environment.
  expect(await readFile(workers[0]!.log, 'utf8')).toBe(`${config} ${env.DROVER_NODE_US_1}\n`);
});

it('starts again what died, adds nodes, and gives workers the new configuration', async () => {
  const first = await up(options);
  process.kill(first.nodes[0]!.pid!, 'SIGKILL');
  const second = await up({ ...options, nodes: [EU] });
  expect(second.nodes.map(({ name, presence }) => [name, presence])).toEqual([
    ['us-1', 'started'],
    ['eu-1', 'started'],
  ]);
  expect(second.nodes[0]!.port).toBe(first.nodes[0]!.port);
  expect([second.catalog.presence, second.temporal.presence]).toEqual(['running', 'running']);
  expect(second.workers[0]!.presence).toBe('started');
});

it('uses a server that the environment names, and leaves it alone', async () => {
  let other: MongodProcess | undefined;
  try {
    other = await startMongod({ name: 'other', dir: join(root, 'other') });
    vi.stubEnv('DROVER_NODE_US_1', other.uri);
    const result = await up({ ...options, workers: 0 });
    expect(result.nodes).toEqual([{ ...US, presence: 'external' }]);
    expect((await readClusterEnvironment(directory)).DROVER_NODE_US_1).toBe(other.uri);
    expect((await down({ directory })).stopped).toEqual(['temporal', 'catalog']);
    expect(other.isRunning()).toBe(true);
  } finally {
    await other?.stop();
  }
});

it('removes a folder on purge only when it holds a cluster', async () => {
  await writeFile(join(directory, 'precious'), '');
  await expect(down({ directory, purge: true })).rejects.toThrow(/holds no cluster/);
  await up({ ...options, nodes: [], workers: 0 });
  expect((await down({ directory, purge: true })).purged).toBe(true);
  await expect(stat(directory)).rejects.toThrow(/ENOENT/);
});

it('gives tests handles to kill and restart workers, and stops everything at the end', async () => {
  const cluster = await startCluster({ ...options, workers: 2 });
  const [one, two] = cluster.workers;
  one!.kill('SIGKILL');
  await one!.stop();
  const three = await startWorkerProcess({ directory, command: workerCommand });
  await cluster.stop();
  await three.stop();
  const all = [one!, two!, three, cluster.catalog, cluster.temporal, ...Object.values(cluster.nodes)];
  expect(all.filter((each) => each.isRunning())).toEqual([]);
});

it('says what a worker said when it ends at once', async () => {
  const command = [process.execPath, '-e', 'console.error("no catalog"); process.exit(2)'] as const;
  const start = startWorkerProcess({ config: 'drover.yaml', log: join(directory, 'w.log'), command: [...command] });
  await expect(start).rejects.toThrow(/worker ended at once: no catalog/);
});
