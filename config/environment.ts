import { readFile } from 'node:fs/promises';
import { DroverError } from '../domain/errors.js';
import type { Problem } from './problem.js';

/** A variable, and how errors name it. */
export interface Variable {
  readonly value: string;
  readonly source: string;
}

/** Variables by name: those of the process, and those of an environment file that the process lacks. */
export type Environment = ReadonlyMap<string, Variable>;

/** Prefix of the variables that hold the URIs of nodes: `DROVER_NODE_EU_1` for the node `eu-1`. */
export const NODE_PREFIX = 'DROVER_NODE_';

/** Variables with names of their own that override a value, weakest first: a name made of the path beats them. */
export const WELL_KNOWN: readonly (readonly [name: string, path: readonly string[]])[] = [
  ['DROVER_CATALOG_URI', ['catalog']],
  ['TEMPORAL_ADDRESS', ['temporal', 'address']],
  ['TEMPORAL_NAMESPACE', ['temporal', 'namespace']],
  ['TEMPORAL_API_KEY', ['temporal', 'apiKey']],
];

/** Variables that begin with DROVER_ and are no configuration: where the file, the caches and the binaries are. */
const RESERVED: ReadonlySet<string> = new Set([
  'DROVER_CONFIG',
  'DROVER_CACHE',
  'DROVER_MONGOD',
  'DROVER_TEMPORAL',
  'DROVER_TEMPORAL_TEST_SERVER',
  'DROVER_TOXIPROXY',
]);

/** `DROVER_CLOCK_...`, but not the path `DROVER_CLOCK__...`. */
const RESERVED_CLOCK = /^DROVER_CLOCK_[^_]/;

/** Whether a variable is none of the reader's business, whatever it looks like. */
export function isReserved(name: string): boolean {
  return RESERVED.has(name) || RESERVED_CLOCK.test(name);
}

/** Kubernetes sets these in every pod for a service called, say, `drover-node-1`. */
export function isServiceLink(name: string): boolean {
  return /_(?:SERVICE_HOST|SERVICE_PORT(?:_.*)?|PORT(?:_\d+_(?:TCP|UDP)(?:_.*)?)?)$/.test(name);
}

/** A key as a segment of a variable's name: `maxNodeLoad` is `MAX_NODE_LOAD`, `eu-1` is `EU_1`. */
export function environmentName(key: string): string {
  return key
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replaceAll('-', '_')
    .toUpperCase();
}

/** The variables of the process; empty ones count as set. */
export function environmentOf(variables: Readonly<Record<string, string | undefined>>): Environment {
  const entries = Object.entries(variables).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, { value, source: name }] as const],
  );
  return new Map(entries);
}

/**
 * Adds the variables of a file of `KEY=VALUE` lines (with `#` lines as comments) to those that are set. Values are taken
 * as they are, without a pair of quotes around them. No file, no variables.
 *
 * @param source how errors name the file
 * @throws DroverError `InvalidConfiguration` when the file cannot be read
 */
export async function withEnvironmentFile(
  environment: Environment,
  path: string,
  source: string,
): Promise<{ readonly environment: Environment; readonly problems: readonly Problem[] }> {
  const text = await readIfThere(path, source);
  const merged = new Map<string, Variable>();
  const problems: Problem[] = [];
  for (const [i, line] of (text ?? '').split(/\r?\n/).entries()) {
    if (/^\s*(?:#|$)/.test(line)) continue;
    const [, name, value] = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*?)\s*$/.exec(line) ?? [];
    if (name === undefined || value === undefined) {
      problems.push({ place: { source, line: i + 1, column: 1 }, text: 'expected NAME=VALUE' });
    } else {
      merged.set(name, { value: value.replace(/^(["'])(.*)\1$/, '$2'), source: `${name} (${source}:${i + 1})` });
    }
  }
  for (const [name, variable] of environment) merged.set(name, variable);
  return { environment: merged, problems };
}

/**
 * Text of a file; undefined when there is none.
 *
 * @throws DroverError `InvalidConfiguration` when it is there and cannot be read
 */
export async function readIfThere(path: string, source: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw new DroverError('InvalidConfiguration', `${source} cannot be read (${code ?? 'unknown'})`, { cause: error });
  }
}
