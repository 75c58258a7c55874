import { mkdir, rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import { DroverError } from '../domain/errors.js';
import { ensureBinaries } from './binaries.js';
import {
  clusterPaths,
  readState,
  writeConfiguration,
  writeEnvironment,
  writeState,
  type ClusterNode,
  type ClusterState,
  type PlainObject,
} from './cluster-files.js';
import {
  environmentOf,
  isOwn,
  neededBinaries,
  ownServers,
  runningServers,
  serverRecords,
  startServers,
  withoutOwnServers,
  type Servers,
} from './cluster-servers.js';
import { withFileLock } from './file-lock.js';
import type { MongodProcess } from './mongod.js';
import { readIfPresent } from './private-file.js';
import { attach } from './server-process.js';
import { valuesOrThrow } from './task-list.js';
import type { TemporalProcess } from './temporal-server.js';
import { startWorkerProcess, type WorkerProcess } from './worker-process.js';

export const DEFAULT_DIRECTORY = '.drover';

export const DEFAULT_NODES: readonly ClusterNode[] = [
  { name: 'us-1', region: 'us-east' },
  { name: 'eu-1', region: 'eu-west' },
  { name: 'ap-1', region: 'ap-south' },
];

export interface ClusterOptions {
  /** Holds everything: data, logs, configuration, secrets. By default `.drover`. */
  readonly directory?: string;
  /** Added to those that the folder has already. By default three in three regions, or those of the folder. */
  readonly nodes?: readonly ClusterNode[];
  /** Number of worker processes, 1 by default. */
  readonly workers?: number;
  /** Program and arguments instead of Drover's own worker. */
  readonly workerCommand?: readonly [string, ...string[]];
  /** Goes over what is written into drover.yaml: objects key by key, lists as a whole. */
  readonly configuration?: PlainObject;
  /** Whether Temporal serves its web UI, by default yes. */
  readonly ui?: boolean;
  /** Memory for each MongoDB's cache in GiB, 0.25 by default. */
  readonly cacheGb?: number;
  /** Size of each MongoDB's oplog in MB. */
  readonly oplogMb?: number;
  /** For each MongoDB, such as `--setParameter` and its value. */
  readonly mongodArgs?: readonly string[];
  /** Names of nodes, or `catalog`, that are made as replica sets of three members instead of one. */
  readonly threeMembers?: readonly string[];
  /** Shows what is being installed and started. */
  readonly progress?: boolean;
}

/** `started` now, `running` already, or `external`: named by the environment and none of our business. */
export type Presence = 'started' | 'running' | 'external';

/** What `up` found or started. Without secrets; these are in the file `env`. */
export interface UpResult {
  readonly directory: string;
  readonly config: string;
  readonly env: string;
  readonly catalog: MongoPresence;
  readonly nodes: readonly ({ readonly name: string; readonly region: string } & MongoPresence)[];
  readonly temporal: {
    readonly presence: Presence;
    readonly address: string;
    readonly uiUrl?: string;
    readonly pid?: number;
  };
  readonly workers: readonly { readonly presence: Presence; readonly pid: number; readonly log: string }[];
  readonly seconds: number;
}

export interface MongoPresence {
  readonly presence: Presence;
  readonly port?: number;
  readonly pid?: number;
}

export interface DownResult {
  readonly directory: string;
  /** What was stopped, in order: `worker`, `temporal`, `catalog`, `nodes/<name>`. */
  readonly stopped: readonly string[];
  readonly purged: boolean;
}

/** A cluster whose processes end with this one. */
export interface Cluster {
  readonly directory: string;
  /** Path of drover.yaml. */
  readonly config: string;
  /** The variables that drover.yaml refers to: secrets. */
  readonly env: Readonly<Record<string, string>>;
  readonly nodes: Readonly<Record<string, MongodProcess>>;
  readonly catalog: MongodProcess;
  readonly temporal: TemporalProcess;
  readonly workers: readonly WorkerProcess[];
  /** Stops workers, then servers, whatever has become of each. */
  stop(): Promise<void>;
}

/**
 * Starts a development cluster that goes on when this process ends: nodes, catalog, Temporal and workers. What runs
 * already is left running, what is dead is started again with its old data. Servers named by `DROVER_CATALOG_URI`,
 * `DROVER_NODE_<NAME>` and `TEMPORAL_ADDRESS` are used instead of own ones.
 *
 * @throws DroverError Unavailable when a program is missing or a server does not start; what did start stays for `down`
 */
export async function up(options: ClusterOptions = {}): Promise<UpResult> {
  const begun = performance.now();
  const directory = resolve(options.directory ?? DEFAULT_DIRECTORY);
  const paths = clusterPaths(directory);
  const environment = await withoutOwnServers(directory, process.env);
  const { servers, nodes, workers } = await assemble({ ...options, directory, detached: true, environment });
  return {
    directory,
    config: paths.config,
    env: paths.env,
    catalog: presenceOf(servers.catalog),
    nodes: nodes.map(({ name, region }) => ({ name, region, ...presenceOf(servers.nodes.get(name)!) })),
    temporal: temporalPresence(servers.temporal),
    workers: workers.map(({ worker, presence }) => ({ presence, pid: worker.pid, log: worker.log })),
    seconds: (performance.now() - begun) / 1000,
  };
}

/**
 * Stops what `up` started, workers first; nothing else, as every process is known by number and start time. With
 * `purge` the folder goes, too, with all data.
 *
 * @throws DroverError Refused when `purge` is asked for a folder that holds no cluster
 */
export async function down({
  directory: folder = DEFAULT_DIRECTORY,
  purge = false,
}: { readonly directory?: string; readonly purge?: boolean } = {}): Promise<DownResult> {
  const directory = resolve(folder);
  const paths = clusterPaths(directory);
  const isCluster = (await readIfPresent(paths.state)) !== undefined;
  if (!isCluster && purge) throw new DroverError('Refused', `${directory} holds no cluster that could be removed`);
  if (!isCluster) return { directory, stopped: [], purged: false };

  const stopped = await withFileLock(paths.lock, async () => {
    const state = await readState(directory);
    const workers = livingWorkers(state);
    await Promise.all(workers.map((worker) => worker.stop()));
    const servers = await runningServers(directory);
    await Promise.all(Object.values(servers).map((server) => server.stop()));
    await writeState(directory, { nodes: state.nodes, servers: {}, workers: [] });
    return [...workers.map(() => 'worker'), ...Object.keys(servers)];
  });
  if (purge) await rm(directory, { recursive: true, force: true });
  return { directory, stopped, purged: purge };
}

/**
 * Starts a cluster for a test or a demonstration: the same as `up`, but its processes end with this one, however it
 * ends, and the environment is not asked for running servers.
 *
 * @example
 * const cluster = await startCluster({ directory: await mkdtemp('/tmp/drover-'), workers: 2 });
 * cluster.workers[0].kill('SIGKILL');
 * await cluster.stop();
 */
export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const directory = resolve(options.directory ?? DEFAULT_DIRECTORY);
  const { servers, env, workers } = await assemble({ ...options, directory, detached: false, environment: {} });
  return {
    directory,
    config: clusterPaths(directory).config,
    env,
    // An empty environment names no external servers: all are own ones.
    nodes: Object.fromEntries(servers.nodes as ReadonlyMap<string, MongodProcess>),
    catalog: servers.catalog as MongodProcess,
    temporal: servers.temporal as TemporalProcess,
    workers: workers.map(({ worker }) => worker),
    stop: () => stopAll(servers, workers),
  };
}

interface AssembleOptions extends ClusterOptions {
  readonly directory: string;
  readonly detached: boolean;
  /** Where running servers may be named. */
  readonly environment: NodeJS.ProcessEnv;
}

interface PresentWorker {
  readonly worker: WorkerProcess;
  readonly presence: Presence;
}

interface Assembled {
  readonly servers: Servers;
  readonly nodes: readonly ClusterNode[];
  readonly env: Readonly<Record<string, string>>;
  readonly workers: readonly PresentWorker[];
}

async function assemble(options: AssembleOptions): Promise<Assembled> {
  const { directory, environment, detached, progress = false } = options;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  return await withFileLock(clusterPaths(directory).lock, async () => {
    const before = await readState(directory);
    const nodes = nodesToRun(before.nodes, options.nodes);
    // Written early as well: should this be cut off, `down` knows the folder by it.
    await writeState(directory, { ...before, nodes });
    await ensureBinaries(neededBinaries(nodes, environment), { progress });
    const servers = await startServers(nodes, options);

    const env = environmentOf(servers);
    const { address, namespace } = servers.temporal;
    const changed = [
      await writeEnvironment(directory, env),
      await writeConfiguration(directory, nodes, { address, namespace }, options.configuration ?? {}),
    ];
    let workers = livingWorkers(before).map((worker): PresentWorker => ({ worker, presence: 'running' }));
    // A worker reads its configuration once.
    if (changed.includes(true)) await Promise.all(workers.map(({ worker }) => worker.stop()));
    workers = workers.filter(({ worker }) => worker.isRunning());
    const begun = await startMissingWorkers(workers, options);
    workers.push(...begun.filter((result) => result.status === 'fulfilled').map((result) => result.value));
    await writeState(directory, {
      nodes,
      servers: serverRecords(servers),
      workers: workers.map(({ worker: { pid, startedAt, log } }) => ({ pid, startedAt, log })),
    });
    // Nobody gets a handle on what started when something else did not.
    if (!detached && begun.some((result) => result.status === 'rejected')) await stopAll(servers, workers);
    valuesOrThrow(begun);
    return { servers, nodes, env, workers };
  });
}

function nodesToRun(known: readonly ClusterNode[], asked: readonly ClusterNode[] | undefined): readonly ClusterNode[] {
  const added = asked ?? (known.length > 0 ? [] : DEFAULT_NODES);
  // A node that was left out this time still holds its data, and the catalog's routes may lead to it.
  const nodes = [...new Map([...known, ...added].map((node) => [node.name, node])).values()];
  for (const { name } of nodes) {
    if (!/^[a-z0-9]+(-[a-z0-9]+)*$/.test(name)) {
      throw new DroverError('InvalidRequest', `"${name}" can't name a node: small letters, digits and hyphens can`);
    }
  }
  return nodes;
}

function livingWorkers(state: ClusterState): WorkerProcess[] {
  return state.workers.map((record) => ({ ...attach(record), log: record.log })).filter((w) => w.isRunning());
}

async function startMissingWorkers(
  present: readonly PresentWorker[],
  { directory, detached, workers = 1, workerCommand }: AssembleOptions,
): Promise<PromiseSettledResult<PresentWorker>[]> {
  const missing = Array.from({ length: Math.max(0, workers - present.length) }, async (_, index) => {
    const worker = await startWorkerProcess({
      directory,
      log: clusterPaths(directory).workerLog(present.length + index),
      detached,
      ...(workerCommand === undefined ? {} : { command: workerCommand }),
    });
    return { worker, presence: 'started' } as const;
  });
  return await Promise.allSettled(missing);
}

async function stopAll(servers: Servers, workers: readonly PresentWorker[]): Promise<void> {
  await Promise.all(workers.map(({ worker }) => worker.stop()));
  await Promise.all(ownServers(servers).map((server) => server.stop()));
}

function presenceOf(server: Servers['catalog']): MongoPresence {
  if (!isOwn(server)) return { presence: 'external' };
  return { presence: server.started ? 'started' : 'running', port: server.port, pid: server.pid };
}

function temporalPresence(temporal: Servers['temporal']): UpResult['temporal'] {
  const { address } = temporal;
  if (!isOwn(temporal)) return { presence: 'external', address };
  const { uiUrl, pid, started } = temporal;
  return { presence: started ? 'started' : 'running', address, pid, ...(uiUrl === undefined ? {} : { uiUrl }) };
}

export { nodeVariable, type ClusterNode } from './cluster-files.js';
export { readClusterEnvironment, startWorkerProcess, type WorkerProcess } from './worker-process.js';
