import type { Collection, Document, FindOptions } from 'mongodb';
import { DroverError } from '../domain/errors.js';
import type { NodeName, Partition } from '../domain/partition.js';
import { isSharedOn, tokensOf } from '../domain/partition.js';
import type { Interval, Token } from '../domain/token.js';
import { contains, TOKEN_END } from '../domain/token.js';
import { tokenToBson } from './codec.js';
import { tokenOfRaw } from './key-token.js';
import { fieldAt } from './raw-bson.js';
import { sampleTokens } from './sample.js';
import { storageStats } from './storage-stats.js';

/** Which documents of a collection that several partitions share are meant. */
export interface Part {
  /** Path of the partition key, which has a hashed index. */
  readonly keyField: string;
  readonly tokens: Interval;
}

export const partOf = (keyField: string, partition: Partition): Part => ({ keyField, tokens: tokensOf(partition) });

/** The partition's documents, where its collection on one of the nodes is one that others are in, too. */
export const partOn = (keyField: string, partition: Partition, ...nodes: readonly NodeName[]): Part | undefined =>
  nodes.some((node) => isSharedOn(partition, node)) ? partOf(keyField, partition) : undefined;

/** Options of `find` that read a part in the order of its tokens, and nothing besides, from a token on. */
export const rangeOf = ({ keyField, tokens: { low, high } }: Part, from: Token = low) =>
  ({
    hint: { [keyField]: 'hashed' },
    min: { [keyField]: tokenToBson(from) },
    ...(high === TOKEN_END ? {} : { max: { [keyField]: tokenToBson(high) } }),
  }) satisfies FindOptions;

/** The same as a filter, for documents that are found by something else. */
export function filterOf({ keyField, tokens: { low, high } }: Part): Document {
  const token = { $toHashedIndexKey: `$${keyField}` };
  const below = high === TOKEN_END ? [] : [{ $lt: [token, tokenToBson(high)] }];
  return { $expr: { $and: [{ $gte: [token, tokenToBson(low)] }, ...below] } };
}

export const tokenOf = ({ keyField }: Part, document: Uint8Array): Token => tokenOfRaw(fieldAt(document, keyField));

export const isIn = (part: Part, document: Uint8Array): boolean => contains(part.tokens, tokenOf(part, document));

/**
 * Whether a part can be read by its tokens: the index on these is there, holds every document, and is the only one that the
 * server could take for it.
 */
export async function hasTokenIndex(collection: Collection, keyField: string): Promise<boolean> {
  const hashed = ((await collection.indexes()) as Document[]).filter((index) => isTokenIndex(index, keyField));
  return hashed.length === 1 && isWhole(hashed[0]!);
}

/**
 * Before documents are relied on that were found by their tokens: by a collated index others are found.
 *
 * @throws DroverError `Unavailable`
 */
export async function confirmTokenIndex(collection: Collection, keyField: string): Promise<void> {
  if (await hasTokenIndex(collection, keyField)) return;
  throw new DroverError(
    'Unavailable',
    `${collection.namespace} has no index {"${keyField}": "hashed"}, whole, without a collation and alone: make it, or drop the others`,
  );
}

export const isTokenIndex = ({ key }: Document, keyField: string): boolean =>
  Object.keys(key as Document).length === 1 && (key as Document)[keyField] === 'hashed';

/** With a collation, keys that are not the same may have one hash, which is not their token. */
export const isWhole = ({ hidden, partialFilterExpression, collation }: Document): boolean =>
  hidden !== true && partialFilterExpression === undefined && collation === undefined;

export async function isEmptyPart(collection: Collection, part: Part): Promise<boolean> {
  const options = { ...rangeOf(part), projection: { _id: 1 } };
  return (await collection.find({}, options).limit(1).toArray()).length === 0;
}

/** Tokens looked at to find out how large parts of a collection are. */
const SAMPLE = 5_000;

/** About which share of the collection's documents is in each of the parts, from 0 to 1. */
export async function sharesOf(collection: Collection, parts: readonly Part[]): Promise<number[]> {
  if (parts.length === 0) return [];
  const sampled = await sampleTokens(collection, parts[0]!.keyField, SAMPLE);
  return parts.map(({ tokens }) => {
    const own = sampled.filter(({ token }) => contains(tokens, token)).length;
    return own / Math.max(1, sampled.length);
  });
}

/** About how many documents are in the part. */
export async function countOf(collection: Collection, part: Part): Promise<number> {
  const [{ count }, [share]] = await Promise.all([storageStats(collection), sharesOf(collection, [part])]);
  return Math.round(Number(count) * share!);
}
