import type { z } from 'zod';
import type { Draft } from './draft.js';
import { suggestion, type Place, type Problem } from './problem.js';
import { childOf, descriptionOf, isSecret, keysOf, kindOf, schemaAt, type Path, type Schema } from './schema-walk.js';
import type { Secrets } from './secrets.js';
import { pathKey, type YamlFile } from './yaml-file.js';

/** Everything that explaining a refused value needs. */
export interface Context {
  readonly schema: Schema;
  readonly draft: Draft;
  readonly file: YamlFile | undefined;
  /** Known secrets, for values that stand where no secret belongs. */
  readonly secrets: Secrets;
}

/** What is wrong, where, and what is allowed. */
export function explain(issue: z.core.$ZodIssue, context: Context): readonly Problem[] {
  const path = issue.path as Path;
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => explainKey(path, key, context));
  }
  if (context.file?.unresolved.has(pathKey(path)) && context.draft.sourceOf(path) === undefined) return [];
  return [{ place: placeOf(path, context), text: `${pathText(path, context)}${reason(issue, path, context)}` }];
}

function reason(issue: z.core.$ZodIssue, path: Path, context: Context): string {
  const schema = schemaAt(context.schema, path) ?? context.schema;
  const value = context.draft.get(path);
  if (value === undefined && issue.code === 'invalid_type') {
    const description = descriptionOf(schema);
    return ` is missing${description === undefined ? '' : `: ${description}`}`;
  }
  const found = `: found ${foundText(value, path, context)}`;
  switch (issue.code) {
    case 'invalid_type':
      return `${found}; expected ${EXPECTED[issue.expected] ?? issue.expected}`;
    case 'invalid_value': {
      const allowed = issue.values.map(String);
      const near = typeof value === 'string' && !isSecret(schema) ? suggestion(value, allowed) : '';
      return `${found}; allowed are ${allowed.join(', ')}${near}`;
    }
    case 'too_small':
    case 'too_big':
      return `${found}; ${limit(issue)}`;
    case 'custom':
      return issue.params?.['expected'] === true ? `${found}; expected ${issue.message}` : `: ${issue.message}`;
    case 'invalid_format':
    case 'invalid_union':
    case 'invalid_key':
    case 'invalid_element':
    case 'not_multiple_of':
    case 'unrecognized_keys':
      return `${found}; expected ${issue.message}`;
  }
}

const EXPECTED: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
};

function limit(issue: z.core.$ZodIssueTooSmall | z.core.$ZodIssueTooBig): string {
  const small = issue.code === 'too_small';
  const bound = String(small ? issue.minimum : issue.maximum);
  if (issue.origin === 'string') return `expected ${small ? 'at least' : 'at most'} ${bound} characters`;
  if (issue.origin === 'array') return `expected ${small ? 'at least' : 'at most'} ${bound} entries`;
  if (issue.inclusive === true) return `expected ${bound} or ${small ? 'more' : 'less'}`;
  return `expected ${small ? 'more' : 'less'} than ${bound}`;
}

function explainKey(path: Path, key: string, context: Context): Problem {
  const schema = schemaAt(context.schema, path);
  const allowed = schema === undefined ? [] : keysOf(schema);
  const source = context.draft.sourceOf([...path, key]);
  const place = source === undefined && context.file ? context.file.placeOfKey(path, key) : placeOf(path, context);
  const where = path.length === 0 ? '' : ` in ${pathText(path, context)}`;
  const text = `unknown key ${shown(key, context)}${where}${suggestion(key, allowed)}; allowed are ${allowed.join(', ')}`;
  return { place, text };
}

/** The variable that set the value, its place in the file, or the nearest that is known of either. */
function placeOf(path: Path, { draft, file }: Context): Place {
  const source = draft.sourceOf(path);
  if (source !== undefined) return { source };
  if (file?.has(path)) return file.place(path);
  const within = path.length === 0 ? undefined : draft.sourceWithin(path.slice(0, -1));
  if (within !== undefined && path.length > 1) return { source: within };
  return file?.place(path) ?? { source: 'environment' };
}

/** What was found, in words that show no secret: of variables the name, of secrets nothing. */
function foundText(value: unknown, path: Path, context: Context): string {
  if (value === null || value === undefined || value === '') return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'an object';
  const schema = schemaAt(context.schema, path);
  if (schema === undefined || isSecret(schema)) return 'a value that is not shown';
  const written = context.file?.substituted.get(pathKey(path));
  if (written !== undefined && context.draft.sourceOf(path) === undefined)
    return `the value of ${shown(written, context)}`;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (typeof value !== 'string') return 'a value that is not shown';
  const kind = kindOf(schema);
  return kind === 'object' || kind === 'record' || kind === 'array' ? 'text' : shown(value, context);
}

const MOST_SHOWN = 40;

/** Text that stands where no secret belongs; one may have got there all the same. */
function shown(text: string, { secrets }: Context): string {
  const redacted = secrets.redact(text);
  if (redacted !== text || /:\/\/|@/.test(text)) return 'a value that is not shown';
  return JSON.stringify(text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)}...` : text);
}

/** `nodes[0].uri` */
function pathText(path: Path, context: Context): string {
  let schema: Schema | undefined = context.schema;
  if (path.length === 0) return 'the configuration';
  let text = '';
  for (const key of path) {
    const own = schema !== undefined && keysOf(schema).includes(String(key));
    if (typeof key === 'number') text += `[${key}]`;
    else text += `${text === '' ? '' : '.'}${own ? key : shown(key, context)}`;
    schema = schema && childOf(schema, key);
  }
  return text;
}
