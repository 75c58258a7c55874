import { parse, YAMLError } from 'yaml';
import type { Draft } from './draft.js';
import {
  environmentName,
  isReserved,
  isServiceLink,
  NODE_PREFIX,
  WELL_KNOWN,
  type Environment,
  type Variable,
} from './environment.js';
import { suggestion, type Problem } from './problem.js';
import { isMongoUri } from './schema.js';
import { childOf, keysOf, kindOf, scalarFromText, schemaAt, type Path, type Schema } from './schema-walk.js';

const PREFIX = 'DROVER_';
const SEPARATOR = '__';

/** Puts every override of the environment into the draft. Empty variables override nothing. */
export function applyOverrides(draft: Draft, schema: Schema, environment: Environment): readonly Problem[] {
  const problems: Problem[] = [];
  const apply = (path: Path, variable: Variable) => {
    const at = schemaAt(schema, path);
    const kind = at === undefined ? 'text' : kindOf(at);
    if (kind === 'object' || kind === 'record' || kind === 'array') {
      const parsed = parseText(variable.value);
      if (parsed === undefined) {
        const expected = kind === 'array' ? 'a list' : 'an object';
        problems.push({ place: { source: variable.source }, text: `not valid YAML or JSON; expected ${expected}` });
      } else draft.set(path, parsed, variable.source);
    } else draft.set(path, scalarFromText(at, variable.value), variable.source);
  };

  for (const [name, path] of WELL_KNOWN) {
    const variable = environment.get(name);
    if (variable !== undefined && variable.value !== '') apply(path, variable);
  }
  for (const [name, variable] of pathVariables(environment)) {
    const resolved = resolve(draft, schema, name);
    if (Array.isArray(resolved)) apply(resolved as Path, variable);
    else if (typeof resolved === 'string') problems.push({ place: { source: variable.source }, text: resolved });
  }
  return problems;
}

/**
 * Puts the URIs of the nodes (`DROVER_NODE_<NAME>`) into the draft; returns those of nodes that the draft doesn't know,
 * whose address the catalog holds.
 */
export function applyNodeUris(
  draft: Draft,
  environment: Environment,
): { readonly others: Readonly<Record<string, string>>; readonly problems: readonly Problem[] } {
  const names = nodeNames(draft);
  const others: Record<string, string> = {};
  const problems: Problem[] = [];
  for (const [name, { value, source }] of environment) {
    if (!name.startsWith(NODE_PREFIX) || value === '') continue;
    const suffix = name.slice(NODE_PREFIX.length);
    const index = names.findIndex((node) => node !== undefined && environmentName(node) === suffix);
    const problem = (text: string) => problems.push({ place: { source }, text });
    if (index >= 0) draft.set(['nodes', index, 'uri'], value, source);
    else if (isServiceLink(name) && !isMongoUri(value)) continue;
    else if (!/^[A-Z0-9][A-Z0-9_]*$/.test(suffix)) {
      problem(`not the name of a node: expected ${NODE_PREFIX} and its name in capitals, with _ for -, such as EU_1`);
    } else if (!isMongoUri(value)) problem('expected a MongoDB URI such as mongodb://host:27017/?replicaSet=rs0');
    else others[suffix.toLowerCase().replaceAll('_', '-')] = value;
  }
  return { others, problems };
}

function nodeNames(draft: Draft): readonly (string | undefined)[] {
  const nodes = draft.get(['nodes']);
  if (!Array.isArray(nodes)) return [];
  return nodes.map((_, i) => {
    const name = draft.get(['nodes', i, 'name']);
    return typeof name === 'string' ? name : undefined;
  });
}

/** Variables whose name is a path, those of larger parts first, so that the others change what these set. */
function pathVariables(environment: Environment): readonly (readonly [string, Variable])[] {
  const wellKnown = new Set(WELL_KNOWN.map(([name]) => name));
  return [...environment]
    .filter(([name, { value }]) => name.startsWith(PREFIX) && value !== '' && !wellKnown.has(name))
    .filter(([name]) => !name.startsWith(NODE_PREFIX) && !isReserved(name))
    .sort(([a], [b]) => a.split(SEPARATOR).length - b.split(SEPARATOR).length || (a < b ? -1 : 1));
}

/**
 * The path that a variable's name means; else what is wrong with it. Undefined when it has nothing to do with the
 * configuration: a name without `__` that is no key may belong to anything that runs beside Drover.
 */
function resolve(draft: Draft, schema: Schema, name: string): Path | string | undefined {
  const segments = name.slice(PREFIX.length).split(SEPARATOR);
  const path: (string | number)[] = [];
  let at: Schema = schema;
  for (const [i, segment] of segments.entries()) {
    const choices = choicesAt(draft, at, path);
    const key = choices.get(segment) ?? (kindOf(at) === 'record' ? newKey(segment) : undefined);
    const child = key === undefined ? undefined : childOf(at, key);
    if (key === undefined || child === undefined) {
      if (segments.length === 1) return undefined;
      const before =
        PREFIX +
        segments
          .slice(0, i)
          .map((known) => known + SEPARATOR)
          .join('');
      const near = suggestion(segment, [...choices.keys()]).replace(/did you mean (.*)\?/, `did you mean ${before}$1?`);
      const allowed =
        choices.size === 0 ? `${before.slice(0, -SEPARATOR.length)} has no parts` : listed(before, choices);
      return `there is no such value${near}; ${allowed}`;
    }
    path.push(key);
    at = child;
  }
  return path;
}

/** Segments that may follow, with the keys they mean: keys of an object, positions in a list, and names of nodes. */
function choicesAt(draft: Draft, schema: Schema, path: Path): ReadonlyMap<string, string | number> {
  const kind = kindOf(schema);
  if (kind === 'object') return new Map(keysOf(schema).map((key) => [environmentName(key), key]));
  const value = draft.get(path);
  if (kind === 'array' && Array.isArray(value)) {
    const choices = new Map<string, string | number>(value.map((_, i) => [String(i), i]));
    if (path.length === 1 && path[0] === 'nodes') {
      nodeNames(draft).forEach((name, i) => name !== undefined && choices.set(environmentName(name), i));
    }
    return choices;
  }
  if (kind === 'record' && typeof value === 'object' && value !== null) {
    return new Map(Object.keys(value).map((key) => [environmentName(key), key]));
  }
  return new Map();
}

const newKey = (segment: string): string | undefined =>
  segment === '' ? undefined : segment.toLowerCase().replaceAll('_', '-');

const listed = (before: string, choices: ReadonlyMap<string, unknown>): string =>
  `after ${before} may come ${[...choices.keys()].join(', ')}`;

/** A list or an object written as YAML or JSON; undefined when it is neither. */
function parseText(text: string): unknown {
  try {
    return parse(text, { prettyErrors: false, logLevel: 'error' }) as unknown;
  } catch (error) {
    // The parser's message may quote the text, which may hold secrets.
    if (error instanceof YAMLError || error instanceof ReferenceError) return undefined;
    throw error;
  }
}
