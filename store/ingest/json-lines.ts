import { ACCESS_LOG_FIELDS, BadLine } from '../../domain/access-log.js';
import type { FieldMapping, LineReader } from './log-lines.js';
import { countLine, eachLine, upToLastNewline } from './log-lines.js';

/** One JSON object a line. Fields are found by their property's name, or by a dotted path. */
export function jsonLines(mapping: FieldMapping, defaults: FieldMapping): LineReader {
  const paths = ACCESS_LOG_FIELDS.map((field) => {
    const path = mapping[field] ?? defaults[field];
    return path === undefined ? undefined : { path, parts: path.split('.') };
  });
  const valuesOf = (line: string): unknown[] => {
    const object = parsed(line);
    return paths.map((place) => (place === undefined ? undefined : valueAt(object, place.path, place.parts)));
  };
  return {
    wholeRecords: upToLastNewline,
    read: (text, firstLine, sink) =>
      eachLine(text, firstLine, (line, number) => countLine(sink, number, () => valuesOf(line))),
  };
}

function parsed(line: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    // The parser's message quotes the line.
    throw new BadLine('it is not JSON');
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new BadLine('it is not a JSON object');
}

function valueAt(object: Record<string, unknown>, path: string, parts: readonly string[]): unknown {
  const direct = object[path];
  if (direct !== undefined || parts.length === 1) return direct;
  let value: unknown = object;
  for (const part of parts) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<string, unknown>)[part];
  }
  return value;
}
