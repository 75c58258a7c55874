import type { Document, UpdateFilter } from 'mongodb';
import { MongoInvalidArgumentError } from 'mongodb';
import type { Token } from '../domain/token.js';
import { keyValue, tokenOfKey } from '../store/key-token.js';

/** The partition key of a document to be stored. @throws MongoInvalidArgumentError when it is missing or an array */
export function keyOfDocument(document: Document, keyField: string): unknown {
  const value = keyValue(document, keyField);
  if (value === undefined || Array.isArray(value)) {
    throw new MongoInvalidArgumentError(
      `a document of this keyspace needs the partition key "${keyField}", one value and no array`,
    );
  }
  return value;
}

/**
 * A document stays under its key: an update that could change it is refused.
 *
 * @throws MongoInvalidArgumentError
 */
export function checkUpdateKeepsKey(update: UpdateFilter<Document> | Document[], keyField: string): void {
  const concernsKey = (path: string): boolean =>
    path === keyField || path === '*' || isWithin(path, keyField) || isWithin(keyField, path);
  const isChanged = Array.isArray(update)
    ? update.some((stage) => pathsOfStage(stage).some(concernsKey))
    : Object.entries(update).some(
        ([operator, changes]) =>
          pathsOf(changes).some(concernsKey) ||
          // It names its destination as a value.
          (operator === '$rename' &&
            Object.values((changes ?? {}) as Document).some((path) => concernsKey(String(path)))),
      );
  if (isChanged) {
    throw new MongoInvalidArgumentError(
      `the partition key "${keyField}" can't be changed by an update: delete the document and insert it under its new key`,
    );
  }
}

/** @throws MongoInvalidArgumentError when a replacement belongs under another key than the document that it replaces */
export function checkReplacementKeepsKey(
  replacement: Document,
  token: Token,
  keyField: string,
  operation: string,
): void {
  if (tokenOfKey(keyOfDocument(replacement, keyField)) !== token) {
    throw new MongoInvalidArgumentError(`${operation} can't change the partition key "${keyField}"`);
  }
}

const isWithin = (path: string, parent: string): boolean =>
  path.length > parent.length && path[parent.length] === '.' && path.startsWith(parent);

function pathsOf(changes: unknown): string[] {
  if (changes instanceof Map) return [...changes.keys()].map(String);
  return typeof changes === 'object' && changes !== null ? Object.keys(changes) : [];
}

function pathsOfStage(stage: Document): string[] {
  return Object.entries(stage).flatMap(([name, value]) => {
    if (name === '$set' || name === '$addFields') return pathsOf(value);
    if (name === '$unset') return Array.isArray(value) ? (value as string[]) : [String(value)];
    // $project, $replaceRoot, $replaceWith may drop or change anything.
    return ['*'];
  });
}
