import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { parse, stringify } from 'yaml';
import { DroverError } from '../domain/errors.js';
import { readIfPresent, readJson, writePrivateFile, writePrivateJson } from './private-file.js';
import type { ProcessIdentity } from './process-identity.js';

/** A node of a development cluster. */
export interface ClusterNode {
  readonly name: string;
  readonly region: string;
  /** What forecasts and plans take the node to be able to bear. */
  readonly capacity?: { readonly opsPerSecond: number; readonly storageGb: number };
}

/** What `state.json` in the folder of a cluster holds: what runs where, and no secrets. */
export interface ClusterState {
  readonly nodes: readonly ClusterNode[];
  /** By `catalog`, `temporal` or `nodes/<name>`, which is also the server's folder. */
  readonly servers: Readonly<Record<string, ProcessIdentity & { readonly port: number; readonly uiUrl?: string }>>;
  readonly workers: readonly (ProcessIdentity & { readonly log: string })[];
}

export type PlainObject = Readonly<Record<string, unknown>>;

export const CATALOG_VARIABLE = 'DROVER_CATALOG_URI';

const DEFAULT_CAPACITY = { opsPerSecond: 5000, storageGb: 200 };

/** The paths of a cluster's folder. */
export function clusterPaths(directory: string) {
  return {
    config: join(directory, 'drover.yaml'),
    env: join(directory, 'env'),
    state: join(directory, 'state.json'),
    lock: join(directory, 'lock'),
    catalog: join(directory, 'catalog'),
    temporal: join(directory, 'temporal'),
    nodes: join(directory, 'nodes'),
    node: (name: string) => join(directory, 'nodes', name),
    workerLog: (index: number) => join(directory, 'logs', index === 0 ? 'worker.log' : `worker-${index + 1}.log`),
  };
}

/** The environment variable that holds a node's URI: `us-1` becomes `DROVER_NODE_US_1`. */
export function nodeVariable(name: string): string {
  return `DROVER_NODE_${name.toUpperCase().replaceAll('-', '_')}`;
}

export async function readState(directory: string): Promise<ClusterState> {
  const state = await readJson<ClusterState>(clusterPaths(directory).state);
  return state ?? { nodes: [], servers: {}, workers: [] };
}

export async function writeState(directory: string, state: ClusterState): Promise<void> {
  await writePrivateJson(clusterPaths(directory).state, state);
}

/** Writes the secrets, readable by their owner alone, one KEY=VALUE a line. Returns whether anything changed. */
export async function writeEnvironment(directory: string, env: Readonly<Record<string, string>>): Promise<boolean> {
  const content = Object.entries(env).map(([key, value]) => `${key}=${value}\n`);
  return await writeIfChanged(clusterPaths(directory).env, content.join(''));
}

/**
 * Writes `drover.yaml`, which refers to the secrets by name. What a user added to it by hand stays, apart from nodes and
 * addresses; `configuration` goes over everything. Returns whether anything changed.
 *
 * @throws DroverError InvalidConfiguration when the file that is there is no YAML object
 */
export async function writeConfiguration(
  directory: string,
  nodes: readonly ClusterNode[],
  temporal: { readonly address: string; readonly namespace: string },
  configuration: PlainObject,
): Promise<boolean> {
  const path = clusterPaths(directory).config;
  const existing = parseObject(path, (await readIfPresent(path)) ?? '');
  const generated = {
    catalog: `\${${CATALOG_VARIABLE}}`,
    mode: existing.mode ?? 'recommend',
    temporal,
    nodes: nodes.map(({ name, region, capacity }) => ({
      name,
      region,
      uri: `\${${nodeVariable(name)}}`,
      capacity: capacity ?? DEFAULT_CAPACITY,
    })),
  };
  const wanted = merge(merge(existing, generated), configuration);
  if (isDeepStrictEqual(wanted, existing)) return false;
  const header = '# Written by `drover up`. Secrets are in the file env beside it.\n';
  return await writeIfChanged(path, header + stringify(wanted, { aliasDuplicateObjects: false }));
}

function parseObject(path: string, text: string): PlainObject {
  const value: unknown = parse(text) ?? {};
  if (!isPlainObject(value)) throw new DroverError('InvalidConfiguration', `${path} holds no object`);
  return value;
}

async function writeIfChanged(path: string, content: string): Promise<boolean> {
  if ((await readIfPresent(path)) === content) return false;
  await writePrivateFile(path, content);
  return true;
}

/** Objects are merged key by key; lists and values of `over` replace those of `base`. */
function merge(base: PlainObject, over: PlainObject): PlainObject {
  const result: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const below = result[key];
    result[key] = isPlainObject(below) && isPlainObject(value) ? merge(below, value) : value;
  }
  return result;
}

function isPlainObject(value: unknown): value is PlainObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
