import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  type Document,
  type Node,
  type Scalar,
} from 'yaml';
import { invalidConfiguration, type Place, type Problem } from './problem.js';
import { scalarFromText, schemaAt, type Path, type Schema } from './schema-walk.js';

/*
 * Variables are substituted in parsed scalars and not in the text, so that what a variable holds can never become YAML
 * syntax. But `{ uri: ${URI} }` is no valid YAML, as a plain scalar ends at a brace there. Therefore the braces
 * are exchanged for characters of Unicode's private use before parsing, one for one: lines and columns stay.
 */
const OPEN = '\ue000\ue001';
const CLOSE = '\ue002';
const ESCAPED_OPEN = '\ue003\ue004\ue005';
const ESCAPED_CLOSE = '\ue006';
const RESERVED = /[\ue000-\ue006]/;

const NAME = '[A-Za-z_][A-Za-z0-9_]*';
const IN_TEXT = new RegExp(`\\$\\$\\{(?:(${NAME})\\})?|\\$\\{(${NAME})\\}`, 'g');
const IN_SCALAR = new RegExp(`${OPEN}(${NAME})${CLOSE}`, 'g');

/** The errors of the parser, in words that quote nothing of the file: it may hold secrets. */
const SYNTAX: Readonly<Record<string, string>> = {
  BAD_ALIAS: 'an alias (*name) is not valid here; quote a value that begins with *',
  BAD_DQ_ESCAPE: 'an escape in double quotes is not valid; single quotes take a backslash as it is',
  BAD_INDENT: 'the indentation is wrong',
  BLOCK_AS_IMPLICIT_KEY: 'a nested mapping is not valid on this line; is the indentation right?',
  DUPLICATE_KEY: 'this key stands here twice',
  MISSING_CHAR: 'something is missing here, such as a closing quote or bracket, a comma, a colon or a space',
  MULTIPLE_DOCS: 'one file holds one document',
  TAB_AS_INDENT: 'a tab is not valid as indentation',
  TAG_RESOLVE_FAILED: 'a tag (!name) is not known; quote a value that begins with !',
};

/** drover.yaml: its value after substitution, and where each part of it stands. */
export interface YamlFile {
  readonly value: unknown;
  readonly problems: readonly Problem[];
  /** Values that came from variables, by {@link pathKey}: the text as it stands in the file. */
  readonly substituted: ReadonlyMap<string, string>;
  /** Values with a variable that is not set, by {@link pathKey}: a problem is reported already. */
  readonly unresolved: ReadonlySet<string>;
  /** Place of the value; of the nearest part around it when there is none. */
  place(path: Path): Place;
  has(path: Path): boolean;
  /** Place of a key in the mapping at `path`. */
  placeOfKey(path: Path, key: string): Place;
}

export const pathKey = (path: Path): string => JSON.stringify(path);

/**
 * Parses a file and substitutes `${NAME}` (`$${` stands for `${`) in its values.
 *
 * @param schema tells where a variable's text has to become a number or a boolean
 * @throws DroverError `InvalidConfiguration` when the text is not YAML
 */
export function parseYamlFile(options: {
  readonly text: string;
  readonly source: string;
  readonly schema: Schema;
  readonly variable: (name: string) => string | undefined;
}): YamlFile {
  const { source, schema, variable } = options;
  const text = options.text.replace(/^\ufeff/, '');
  const lines = new LineCounter();
  const placeAt = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { source, line, column: col };
  };

  if (RESERVED.test(text)) {
    const place = { source, line: text.slice(0, text.search(RESERVED)).split('\n').length, column: 1 };
    throw invalidConfiguration([{ place, text: 'the characters U+E000 to U+E006 are not allowed' }]);
  }
  const document = parseDocument(encode(text), { lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  const faults = [...document.errors, ...document.warnings];
  if (faults.length > 0) {
    throw invalidConfiguration(
      faults.map(({ code, pos }) => ({ place: placeAt(pos[0]), text: `not valid YAML: ${SYNTAX[code] ?? code}` })),
    );
  }

  const problems: Problem[] = [];
  const substituted = new Map<string, string>();
  const unresolved = new Set<string>();

  const substitute = (scalar: Scalar, path: Path): void => {
    if (typeof scalar.value !== 'string') return;
    const written = scalar.value;
    const start = scalar.range?.[0] ?? 0;
    const original = text.slice(start, scalar.range?.[1]);
    if (written.includes('${')) {
      const place = placeAt(start + Math.max(0, original.search(/(?<!\$)\$\{/)));
      problems.push({ place, text: 'not a variable: write ${NAME}, or $${ for the characters themselves' });
    }
    let from = 0;
    const value = written.replace(IN_SCALAR, (_, name: string) => {
      const at = original.indexOf(`\${${name}}`, from);
      if (at >= 0) from = at + 1;
      const found = variable(name);
      if (found === undefined) {
        problems.push({ place: placeAt(start + Math.max(0, at)), text: `the variable ${name} is not set` });
        unresolved.add(pathKey(path));
        return '';
      }
      return found;
    });
    if (value !== written) substituted.set(pathKey(path), decodeKey(written));
    scalar.value = value === written ? unescape(written) : scalarFromText(schemaAt(schema, path), unescape(value));
  };

  const walk = (node: unknown, path: Path): void => {
    if (isAlias(node) && node.resolve(document) === undefined) {
      throw invalidConfiguration([
        { place: placeAt(offsetOf(node) ?? 0), text: `not valid YAML: ${SYNTAX['BAD_ALIAS']}` },
      ]);
    }
    if (isScalar(node)) substitute(node, path);
    else if (isSeq(node)) node.items.forEach((item, i) => walk(item, [...path, i]));
    else if (isMap(node)) {
      for (const { key, value } of node.items) {
        if (isScalar(key) && typeof key.value === 'string') key.value = decodeKey(key.value);
        walk(value, [...path, keyText(key)]);
      }
    }
  };
  walk(document.contents, []);

  const find = (path: Path): { readonly offset: number; readonly exact: boolean; readonly node: unknown } => {
    let node: unknown = document.contents;
    let offset = offsetOf(node) ?? 0;
    for (const key of path) {
      const next = step(document, node, key);
      if (next === undefined) return { offset, exact: false, node };
      node = next.node;
      offset = next.offset ?? offset;
    }
    return { offset, exact: true, node };
  };

  return {
    value: toValue(document, placeAt(0)),
    problems,
    substituted,
    unresolved,
    place: (path) => placeAt(find(path).offset),
    has: (path) => find(path).exact,
    placeOfKey: (path, key) => {
      const { node, offset } = find(path);
      const pair = isMap(node) ? node.items.find((item) => keyText(item.key) === key) : undefined;
      return placeAt(offsetOf(pair?.key) ?? offset);
    },
  };
}

function toValue(document: Document, place: Place): unknown {
  if (document.contents === null || (isScalar(document.contents) && document.contents.value === null)) return {};
  try {
    return document.toJS();
  } catch (error) {
    if (!(error instanceof ReferenceError)) throw error;
    throw invalidConfiguration([{ place, text: 'not valid YAML: too many aliases' }]);
  }
}

function step(document: Document, node: unknown, key: string | number) {
  const parent = isAlias(node) ? node.resolve(document) : node;
  if (isSeq(parent) && typeof key === 'number' && key < parent.items.length) {
    const item = parent.items[key];
    return { node: item, offset: offsetOf(item) };
  }
  const pair = isMap(parent) ? parent.items.find((item) => keyText(item.key) === String(key)) : undefined;
  return pair && { node: pair.value, offset: offsetOf(pair.value) ?? offsetOf(pair.key) };
}

const offsetOf = (node: unknown): number | undefined => (node as Node | null | undefined)?.range?.[0];

const keyText = (key: unknown): string => String(isScalar(key) ? key.value : key);

function encode(text: string): string {
  return text.replace(IN_TEXT, (_, escaped: string | undefined, name: string | undefined) => {
    if (name !== undefined) return `${OPEN}${name}${CLOSE}`;
    return escaped === undefined ? ESCAPED_OPEN : `${ESCAPED_OPEN}${escaped}${ESCAPED_CLOSE}`;
  });
}

const unescape = (text: string): string => text.replaceAll(ESCAPED_OPEN, '${').replaceAll(ESCAPED_CLOSE, '}');

/** A key as it stands in the file: keys are not substituted. */
const decodeKey = (text: string): string =>
  text.replaceAll(OPEN, '${').replaceAll(CLOSE, '}').replaceAll(ESCAPED_OPEN, '$${').replaceAll(ESCAPED_CLOSE, '}');
