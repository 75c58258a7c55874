import type { ShapedRequest } from '../domain/query-shape.js';

/** Names a request's shape as it was written, quickly: requests with one key have one shape. Longer ones are not remembered. */
export const LONGEST_KEY = 1_000;

/** Deeper filters are told apart by what is above. */
const DEEPEST = 6;

export function shapeKey({ operation, filter, sort, projection, update, pipeline }: ShapedRequest): string {
  let key: string = operation;
  if (filter !== undefined) key += `?${namesIn(filter, DEEPEST)}`;
  if (sort !== undefined) key += `^${valuesToo(sort)}`;
  if (projection !== undefined) key += `#${valuesToo(projection)}`;
  if (update !== undefined) key += `=${namesIn(update, 2)}`;
  if (pipeline !== undefined) key += `|${namesIn(pipeline, DEEPEST)}`;
  return key;
}

/** Names of fields and operators, and where which kind of value stands; not what the values are. */
function namesIn(value: unknown, depth: number): string {
  if (Array.isArray(value)) {
    let names = '[';
    for (const each of value as unknown[]) {
      // Lists of values, however long, have no names.
      if (typeof each !== 'object' || each === null || names.length > LONGEST_KEY) break;
      names += `${namesIn(each, depth - 1)};`;
    }
    return names;
  }
  if (depth === 0) return '';
  let names = '';
  for (const name in value as object) {
    const of = (value as Readonly<Record<string, unknown>>)[name];
    names += name;
    if (typeof of === 'object' && of !== null) names += kindOf(of, name, depth);
    names += ',';
    if (names.length > LONGEST_KEY) break;
  }
  return names;
}

function kindOf(value: object, name: string, depth: number): string {
  if (Array.isArray(value)) return isOfFilters(name) ? namesIn(value, depth - 1) : '';
  if (value instanceof RegExp || (value as { _bsontype?: unknown })._bsontype === 'BSONRegExp') return '/';
  if ('_bsontype' in value || value instanceof Date) return '';
  // Operators on the field; a document that it is compared with has names, too, but they are values.
  for (const first in value)
    return first.startsWith('$') || name.startsWith('$') ? `{${namesIn(value, depth - 1)}}` : '';
  return '';
}

const isOfFilters = (name: string): boolean => name === '$and' || name === '$or' || name === '$nor';

/** Directions are part of the shape. Other values, such as a `$slice`, only make it a shape that is looked at again. */
function valuesToo(value: unknown): string {
  if (value instanceof Map) return valuesToo([...(value as Map<unknown, unknown>)]);
  if (Array.isArray(value)) return (value as unknown[]).map(valuesToo).join(',');
  if (typeof value !== 'object' || value === null) return String(value);
  let names = '';
  for (const name in value) {
    const of = (value as Readonly<Record<string, unknown>>)[name];
    names +=
      typeof of === 'number' || typeof of === 'boolean' || typeof of === 'string' ? `${name}:${of},` : `${name}{}`;
  }
  return names;
}
