import { readdir } from 'node:fs/promises';
import { MongoClient } from 'mongodb';
import { DroverError } from '../domain/errors.js';
import type { BinaryName } from './binary-name.js';
import { CATALOG_VARIABLE, clusterPaths, nodeVariable, type ClusterNode, type ClusterState } from './cluster-files.js';
import { findMongod, mongodUri, startMongod, type MongodProcess } from './mongod.js';
import type { ServerProcess } from './server-process.js';
import { runTasks, valuesOrThrow, type Task } from './task-list.js';
import {
  findTemporal,
  prepareTemporal,
  startTemporal,
  temporalAddress,
  type TemporalProcess,
} from './temporal-server.js';

/** A MongoDB that somebody else runs, named by the environment. */
export interface ExternalMongo {
  readonly external: true;
  readonly uri: string;
}

/** A Temporal server that somebody else runs, named by the environment. */
export interface ExternalTemporal {
  readonly external: true;
  readonly address: string;
  readonly namespace: string;
}

export interface Servers {
  readonly catalog: MongodProcess | ExternalMongo;
  readonly nodes: ReadonlyMap<string, MongodProcess | ExternalMongo>;
  readonly temporal: TemporalProcess | ExternalTemporal;
}

export interface ServerOptions {
  readonly directory: string;
  /** Where running servers may be named. */
  readonly environment: NodeJS.ProcessEnv;
  readonly detached: boolean;
  readonly ui?: boolean;
  readonly cacheGb?: number;
  readonly oplogMb?: number;
  readonly mongodArgs?: readonly string[];
  readonly threeMembers?: readonly string[];
  readonly progress?: boolean;
}

type Mongo = MongodProcess | ExternalMongo;

/**
 * Starts all servers of a cluster at the same time, apart from those that the environment names and those that run.
 * When one fails, the others are stopped unless they are detached: nobody would have a handle on them.
 */
export async function startServers(nodes: readonly ClusterNode[], options: ServerOptions): Promise<Servers> {
  const paths = clusterPaths(options.directory);
  const results = await runTasks<Mongo | Servers['temporal']>(
    [
      { title: 'Temporal', run: () => temporalOf(options) },
      mongoTask('catalog', 'catalog', paths.catalog, CATALOG_VARIABLE, options),
      ...nodes.map(({ name }) => mongoTask(`node ${name}`, name, paths.node(name), nodeVariable(name), options)),
    ],
    options.progress ?? false,
  );
  if (!options.detached && results.some((result) => result.status === 'rejected')) {
    const begun = results.filter((result) => result.status === 'fulfilled').map((result) => result.value);
    await Promise.all(begun.filter(isOwn).map((server) => server.stop()));
  }
  const [temporal, catalog, ...rest] = valuesOrThrow(results) as [Servers['temporal'], Mongo, ...Mongo[]];
  return { temporal, catalog, nodes: new Map(nodes.map(({ name }, index) => [name, rest[index]!])) };
}

/** Whether it is a process of ours, rather than a server named by the environment. */
export function isOwn<T extends ServerProcess>(server: T | ExternalMongo | ExternalTemporal): server is T {
  return !('external' in server);
}

export function ownServers({ temporal, catalog, nodes }: Servers): ServerProcess[] {
  return [temporal, catalog, ...nodes.values()].filter((server) => isOwn<TemporalProcess | MongodProcess>(server));
}

/** What drover.yaml refers to, and what workers and commands need to find the servers. */
export function environmentOf({ catalog, nodes, temporal }: Servers): Record<string, string> {
  return {
    [CATALOG_VARIABLE]: catalog.uri,
    ...Object.fromEntries([...nodes].map(([name, node]) => [nodeVariable(name), node.uri])),
    // A worker or a `temporal` command must not follow another address that stands in the user's environment.
    TEMPORAL_ADDRESS: temporal.address,
    TEMPORAL_NAMESPACE: temporal.namespace,
  };
}

/** The servers as they stand in state.json. */
export function serverRecords({ catalog, nodes, temporal }: Servers): ClusterState['servers'] {
  const records: Record<string, ClusterState['servers'][string]> = {};
  for (const [name, mongo] of [
    ['catalog', catalog] as const,
    ...[...nodes].map(([n, m]) => [`nodes/${n}`, m] as const),
  ]) {
    if (isOwn(mongo)) records[name] = { pid: mongo.pid, startedAt: mongo.startedAt, port: mongo.port };
  }
  if (isOwn(temporal)) {
    const { pid, startedAt, port, uiUrl } = temporal;
    records.temporal = { pid, startedAt, port, ...(uiUrl === undefined ? {} : { uiUrl }) };
  }
  return records;
}

/** The programs without which the servers can't be started here. */
export function neededBinaries(nodes: readonly ClusterNode[], environment: NodeJS.ProcessEnv): BinaryName[] {
  const variables = [CATALOG_VARIABLE, ...nodes.map(({ name }) => nodeVariable(name))];
  return [
    ...(variables.some((variable) => environment[variable] === undefined) ? (['mongod'] as const) : []),
    ...(environment.TEMPORAL_ADDRESS === undefined ? (['temporal'] as const) : []),
  ];
}

/**
 * The environment without what it says of the folder's own servers: after `export $(cat .drover/env)` it names them, and
 * they may be down.
 */
export async function withoutOwnServers(directory: string, environment: NodeJS.ProcessEnv): Promise<NodeJS.ProcessEnv> {
  const paths = clusterPaths(directory);
  const own = new Set<string | undefined>([
    await mongodUri(paths.catalog),
    await temporalAddress(paths.temporal),
    ...(await Promise.all((await nodeFolders(directory)).map((name) => mongodUri(paths.node(name))))),
  ]);
  return Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== '' && !own.has(value)));
}

/**
 * The servers that run on this folder, by the name of their own folder in it. They are found by what each start noted
 * there, and not by state.json: an `up` that was cut off may not have come to write that.
 */
export async function runningServers(directory: string): Promise<Record<string, ServerProcess>> {
  const paths = clusterPaths(directory);
  const running: Record<string, ServerProcess | undefined> = {
    temporal: await findTemporal(paths.temporal),
    catalog: await findMongod('catalog', paths.catalog),
  };
  for (const name of await nodeFolders(directory)) running[`nodes/${name}`] = await findMongod(name, paths.node(name));
  return Object.fromEntries(
    Object.entries(running).filter((entry): entry is [string, ServerProcess] => entry[1] !== undefined),
  );
}

function mongoTask(title: string, name: string, dir: string, variable: string, options: ServerOptions): Task<Mongo> {
  const { environment, detached, cacheGb, oplogMb, mongodArgs = [], threeMembers = [] } = options;
  return {
    title,
    run: async () => {
      const uri = environment[variable];
      if (uri !== undefined) return await reachable(variable, uri);
      const sizes = { ...(cacheGb === undefined ? {} : { cacheGb }), ...(oplogMb === undefined ? {} : { oplogMb }) };
      const members = threeMembers.includes(name) ? 3 : 1;
      return await startMongod({ name, dir, detached, members, extraArgs: mongodArgs, ...sizes });
    },
  };
}

async function reachable(variable: string, uri: string): Promise<ExternalMongo> {
  const client = new MongoClient(uri, { serverSelectionTimeoutMS: 5_000 });
  try {
    await client.db('admin').command({ ping: 1 });
  } catch (cause) {
    throw new DroverError('Unavailable', `the MongoDB named by ${variable} does not answer`, { cause });
  } finally {
    await client.close();
  }
  return { external: true, uri };
}

async function temporalOf({ environment, directory, ui, detached }: ServerOptions): Promise<Servers['temporal']> {
  const address = environment.TEMPORAL_ADDRESS;
  if (address === undefined) {
    return await startTemporal({ dir: clusterPaths(directory).temporal, ui: ui ?? true, detached });
  }
  const namespace = environment.TEMPORAL_NAMESPACE ?? 'default';
  await prepareTemporal(address, namespace, environment.TEMPORAL_API_KEY);
  return { external: true, address, namespace };
}

async function nodeFolders(directory: string): Promise<string[]> {
  try {
    return await readdir(clusterPaths(directory).nodes);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
