import { basename, dirname, join, relative, resolve } from 'node:path';
import { DroverError } from '../domain/errors.js';
import { Draft } from './draft.js';
import { environmentOf, NODE_PREFIX, readIfThere, withEnvironmentFile, type Environment } from './environment.js';
import { explain } from './explain.js';
import { applyNodeUris, applyOverrides } from './overrides.js';
import { invalidConfiguration, type Problem } from './problem.js';
import { configurationSchema, type Configuration } from './schema.js';
import { Secrets } from './secrets.js';
import { parseYamlFile, type YamlFile } from './yaml-file.js';

export interface LoadOptions {
  /** The file; else `DROVER_CONFIG`, `./drover.yaml`, `./.drover/drover.yaml`, else the environment alone. */
  readonly path?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Directory from which paths are taken; the working directory by default. */
  readonly cwd?: string;
}

/**
 * Reads the configuration: the file, with `${NAME}` substituted, then the overrides of the environment.
 *
 * A file in a directory `.drover` (written by `drover up`) has an environment file `env` beside it, which supplies the
 * variables that the environment lacks.
 *
 * @throws DroverError `InvalidConfiguration` with every problem and its place; it holds no secret
 * @example
 * const configuration = await loadConfiguration({ path: 'drover.yaml' });
 * configuration.policy.migration.soak; // 600000
 */
export async function loadConfiguration(options: LoadOptions = {}): Promise<Configuration> {
  const cwd = resolve(options.cwd ?? process.cwd());
  const processEnvironment = environmentOf(options.env ?? process.env);
  const found = await findFile(options.path, processEnvironment, cwd);
  if (found === undefined) {
    if (!processEnvironment.get('DROVER_CATALOG_URI')?.value) throw nothingFound(cwd);
    return check(undefined, processEnvironment, []);
  }
  const { environment, problems } = await environmentFor(found.path, processEnvironment, cwd);
  const file = parseYamlFile({
    text: found.text,
    source: shortPath(found.path, cwd),
    schema: configurationSchema,
    variable: (name) => environment.get(name)?.value,
  });
  return check(file, environment, [...problems, ...file.problems]);
}

function check(file: YamlFile | undefined, environment: Environment, before: readonly Problem[]): Configuration {
  const draft = new Draft(file?.value ?? {});
  const problems = [...before, ...applyOverrides(draft, configurationSchema, environment)];
  const nodeUris = applyNodeUris(draft, environment);
  problems.push(...nodeUris.problems);

  const result = configurationSchema.safeParse(draft.value);
  if (!result.success) {
    const context = { schema: configurationSchema, draft, file, secrets: secretsOfDraft(draft, environment) };
    problems.push(...result.error.issues.flatMap((issue) => explain(issue, context)));
  }
  if (problems.length > 0 || !result.success) throw invalidConfiguration(problems);
  const ofNodes = Object.fromEntries(result.data.nodes.map(({ name, uri }) => [name, uri]));
  return { ...result.data, nodeUris: { ...nodeUris.others, ...ofNodes } };
}

/** The secrets of a configuration that may be wrong anywhere. */
function secretsOfDraft(draft: Draft, environment: Environment): Secrets {
  const nodes = draft.get(['nodes']);
  const uris = [
    draft.get(['catalog']),
    ...(Array.isArray(nodes) ? nodes.map((_, i) => draft.get(['nodes', i, 'uri'])) : []),
    ...[...environment].filter(([name]) => name.startsWith(NODE_PREFIX)).map(([, { value }]) => value),
  ];
  const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';
  return new Secrets({ uris: uris.filter(isText), values: [draft.get(['temporal', 'apiKey'])].filter(isText) });
}

const CANDIDATES = ['drover.yaml', join('.drover', 'drover.yaml')] as const;

async function findFile(path: string | undefined, environment: Environment, cwd: string) {
  const named = path ?? (environment.get('DROVER_CONFIG')?.value || undefined);
  const candidates = named === undefined ? CANDIDATES : [named];
  for (const candidate of candidates) {
    const absolute = resolve(cwd, candidate);
    const text = await readIfThere(absolute, shortPath(absolute, cwd));
    if (text !== undefined) return { path: absolute, text };
  }
  if (named === undefined) return undefined;
  const origin = path === undefined ? ' (named by DROVER_CONFIG)' : '';
  throw new DroverError('InvalidConfiguration', `there is no file ${resolve(cwd, named)}${origin}`);
}

async function environmentFor(path: string, environment: Environment, cwd: string) {
  const directory = dirname(path);
  if (basename(directory) !== '.drover') return { environment, problems: [] };
  const beside = join(directory, 'env');
  return withEnvironmentFile(environment, beside, shortPath(beside, cwd));
}

function nothingFound(cwd: string): DroverError {
  return new DroverError(
    'InvalidConfiguration',
    `there is no configuration: looked for ${CANDIDATES.join(' and ')} in ${cwd}. ` +
      'Run `npx drover up` for servers to try things on; or write drover.yaml, or name a file with --config or ' +
      'DROVER_CONFIG; or set DROVER_CATALOG_URI to the MongoDB URI of the catalog.',
  );
}

/** Relative to the working directory when it lies in it. */
function shortPath(path: string, cwd: string): string {
  const short = relative(cwd, path);
  return short === '' || short.startsWith('..') ? path : short;
}
