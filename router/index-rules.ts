import type { Document, IndexDescription, IndexDirection, IndexSpecification } from 'mongodb';
import { MongoServerError } from 'mongodb';
import { TOUCH_FIELD } from '../store/fenced-collection.js';
import { parseGate } from '../store/gates.js';
import { isTokenIndex, isWhole } from '../store/part.js';
import { ServerError } from '../store/server-errors.js';
import type { KeyspaceHandle } from './keyspaces.js';

/** As the driver reads what `createIndex` is given. */
export function keyOfIndex(specification: IndexSpecification): Map<string, IndexDirection> {
  const isPair = (each: unknown): each is [string, IndexDirection] =>
    Array.isArray(each) && each.length === 2 && typeof each[0] === 'string' && isDirection(each[1]);
  const parts = Array.isArray(specification) && !isPair(specification) ? specification : [specification];
  return new Map(
    (parts as unknown[]).flatMap((part): [string, IndexDirection][] => {
      if (typeof part === 'string') return [[part, 1]];
      if (Array.isArray(part)) return [[part[0] as string, (part[1] ?? 1) as IndexDirection]];
      return part instanceof Map ? [...(part as Map<string, IndexDirection>)] : Object.entries(part as Document);
    }),
  );
}

const isDirection = (value: unknown): boolean =>
  typeof value === 'number' || ['2d', '2dsphere', 'text', 'geoHaystack'].includes(value as string);

export const nameOfIndex = ({ name, key }: IndexDescription): string => name ?? [...entriesOf(key)].flat().join('_');

const entriesOf = (key: IndexDescription['key']) => (key instanceof Map ? key : new Map(Object.entries(key)));

/**
 * Refuses what the nodes can't keep together, and what Drover needs for itself, as a sharded cluster does.
 *
 * @param adopted whether partitions of the keyspace may share a collection
 * @throws MongoServerError CannotCreateIndex
 */
export function checkIndex(index: IndexDescription, { field, name: keyspace }: KeyspaceHandle, adopted: boolean): void {
  const key = Object.fromEntries(entriesOf(index.key));
  const named = `${keyspace} can't have the index ${nameOfIndex(index)}`;
  const { unique, prepareUnique, collation } = index as Document;
  if (unique === true || prepareUnique === true) {
    if (!(field in key)) {
      throw cannotCreate(`${named}: a unique index needs the partition key "${field}" among its fields`);
    }
    if (collation !== undefined && (collation as Document)['locale'] !== 'simple') {
      throw cannotCreate(`${named}: a unique index has no collation, by which keys of different partitions are equal`);
    }
  }
  if (isTokenIndex({ key }, field) && !isWhole(index)) {
    throw cannotCreate(
      `${named}: the hashed index of the partition key is there already, whole, visible and without a collation, and alone`,
    );
  }
  if (index.expireAfterSeconds !== undefined && adopted) {
    throw cannotCreate(`${named}: documents of a keyspace that was adopted can't expire yet`);
  }
  if (parseGate(nameOfIndex(index)) !== undefined || TOUCH_FIELD in key) {
    throw cannotCreate(`${named}: its name, or its field, is one that Drover uses`);
  }
}

/** Indexes that are Drover's own: they come and go. */
export const isHidden = ({ name }: Document): boolean => parseGate(name as string) !== undefined;

/** Indexes that `dropIndexes` leaves. */
export const isKept = (index: Document, { field }: KeyspaceHandle): boolean =>
  index['name'] === '_id_' || isTokenIndex(index, field) || isHidden(index);

export const indexNotFound = (name: string): MongoServerError =>
  serverError(`index not found with name [${name}]`, ServerError.indexNotFound, 'IndexNotFound');

export const cannotDropKeyIndex = (name: string): MongoServerError =>
  serverError(
    `cannot drop the index ${name}, by which partitions are found`,
    ServerError.cannotDropShardKeyIndex,
    'CannotDropShardKeyIndex',
  );

const cannotCreate = (message: string): MongoServerError =>
  serverError(message, ServerError.cannotCreateIndex, 'CannotCreateIndex');

const serverError = (message: string, code: number, codeName: string): MongoServerError =>
  new MongoServerError({ message, code, codeName, ok: 0 });
