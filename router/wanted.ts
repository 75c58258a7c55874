import type { CollationOptions, Document } from 'mongodb';
import { Decimal128, Double } from 'mongodb';
import type { Interval, Token } from '../domain/token.js';
import { tokenOfKey } from '../store/key-token.js';

/** The tokens of all documents that a request may concern: those of some keys, in their order, or any. */
export type Wanted = readonly [Token, ...Token[]] | 'all';

/** A request for nothing goes somewhere all the same: the server looks whether it makes sense. */
const ANY: Wanted = [0n];

/**
 * Which keys a filter asks for by equality, alone or beside other conditions.
 *
 * @param collated whether texts are compared by a collation: then one key finds others, too
 */
export function wantedBy(filter: unknown, keyField: string, collated = false): Wanted {
  const key = keyIn(filter, keyField);
  if (Number.isSafeInteger(key) || (typeof key === 'string' && !collated)) return [tokenOfKey(key)];
  const wanted = tokensIn(filter, keyField, collated);
  if (wanted === undefined) return 'all';
  const [first, ...others] = wanted.size < 2 ? wanted : [...wanted].sort((a, b) => (a < b ? -1 : 1));
  return first === undefined ? ANY : [first, ...others];
}

/** Those of the tokens that are in the interval. @param tokens in their order */
export function tokensWithin(tokens: readonly Token[], { low, high }: Interval): readonly Token[] {
  return tokens.slice(placeOf(tokens, low), placeOf(tokens, high));
}

/** Where the first token is that is not below the bound. */
function placeOf(tokens: readonly Token[], bound: Token): number {
  let low = 0;
  let high = tokens.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (tokens[middle]! < bound) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The key of a document that the server would insert for a filter, when no document matches: what is there by equality. */
export function keyToInsert(filter: unknown, keyField: string): unknown {
  if (!isDocument(filter)) return undefined;
  const found = Object.entries(filter).flatMap(([name, value]): unknown[] => {
    if (name === '$and') return Array.isArray(value) ? value.map((each) => keyToInsert(each, keyField)) : [];
    if (name === keyField) return isOperator(value) ? [value['$eq']] : [value];
    return keyField.startsWith(`${name}.`) && !isOperator(value)
      ? [embedded(value, keyField.slice(name.length + 1))]
      : [];
  });
  const keys = found.filter((key) => isKey(key));
  return keys.length === 1 ? keys[0] : undefined;
}

/** What nearly every request names: the key itself, beside conditions that say nothing about it. */
function keyIn(filter: unknown, keyField: string): unknown {
  if (!isDocument(filter) || '$and' in filter || '$or' in filter || keyField.includes('.')) return undefined;
  return filter[keyField];
}

/** `undefined` where documents of any key may match. */
function tokensIn(filter: unknown, keyField: string, collated: boolean): ReadonlySet<Token> | undefined {
  if (!isDocument(filter)) return undefined;
  const conditions = Object.entries(filter).map(([name, value]) => {
    if (name === '$and') return all(branches(value, keyField, collated));
    if (name === '$or') return any(branches(value, keyField, collated));
    if (name === keyField) return tokensOf(valuesOf(value), collated);
    if (!keyField.startsWith(`${name}.`) || isOperator(value)) return undefined;
    const key = embedded(value, keyField.slice(name.length + 1));
    return key === undefined ? undefined : tokensOf([key], collated);
  });
  return all(conditions);
}

const branches = (list: unknown, keyField: string, collated: boolean) =>
  Array.isArray(list) ? list.map((each: unknown) => tokensIn(each, keyField, collated)) : [];

function all(conditions: readonly (ReadonlySet<Token> | undefined)[]): ReadonlySet<Token> | undefined {
  const known = conditions.filter((each) => each !== undefined);
  return known.length === 0
    ? undefined
    : known.reduce((both, each) => new Set([...both].filter((token) => each.has(token))));
}

function any(conditions: readonly (ReadonlySet<Token> | undefined)[]): ReadonlySet<Token> | undefined {
  if (conditions.length === 0 || conditions.includes(undefined)) return undefined;
  return new Set(conditions.flatMap((each) => [...each!]));
}

/** The keys that a condition compares with, or `undefined` when it does more than that. */
function valuesOf(condition: unknown): readonly unknown[] | undefined {
  if (!isOperator(condition)) return [condition];
  if ('$eq' in condition) return [condition['$eq']];
  const list: unknown = condition['$in'];
  return Array.isArray(list) ? list : undefined;
}

function tokensOf(keys: readonly unknown[] | undefined, collated: boolean): ReadonlySet<Token> | undefined {
  if (keys === undefined || !keys.every((key) => isKey(key) && !(collated && typeof key === 'string')))
    return undefined;
  return new Set(keys.flatMap(tokensOfEqual));
}

/**
 * The tokens of all keys that are equal to a key. The server hashes numbers as integers: doubles are cut off for that, decimals
 * rounded, so that 1.5 has two, and there are three types of whole numbers at the end of what fits into 64 bits.
 */
function tokensOfEqual(key: unknown): Token[] {
  const number = numberOf(key);
  if (number === undefined || (Number.isInteger(number) && Math.abs(number) < 2 ** 63)) return [tokenOfKey(key)];
  if (!Number.isFinite(number)) return [tokenOfKey(key)];
  const text = key instanceof Decimal128 ? key.toString() : exactText(number);
  return [tokenOfKey(key), tokenOfKey(number), tokenOfKey(Decimal128.fromStringWithRounding(text))];
}

function numberOf(key: unknown): number | undefined {
  if (typeof key === 'number') return key;
  if (key instanceof Double) return key.value;
  return key instanceof Decimal128 ? Number(key.toString()) : undefined;
}

/** Enough of its digits to round it as a decimal. */
const exactText = (value: number): string => (Math.abs(value) < 1e21 ? value.toFixed(20) : value.toString());

/** A field of an embedded document that is compared as a whole. */
function embedded(value: unknown, path: string): unknown {
  const [name, ...rest] = path.split('.') as [string, ...string[]];
  if (!isDocument(value)) return undefined;
  return rest.length === 0 ? value[name] : embedded(value[name], rest.join('.'));
}

/** Others match by more than being equal (patterns), or can't be keys: they are looked for everywhere. */
const isKey = (value: unknown): boolean =>
  value === null ||
  ['string', 'number', 'bigint', 'boolean'].includes(typeof value) ||
  value instanceof Date ||
  value instanceof Uint8Array ||
  KEY_CLASSES.has((value as { _bsontype?: string } | undefined)?._bsontype ?? '');

const KEY_CLASSES = new Set(['ObjectId', 'Long', 'Int32', 'Double', 'Decimal128', 'Binary']);

const isOperator = (value: unknown): value is Document =>
  isDocument(value) && Object.keys(value).some((name) => name.startsWith('$'));

function isDocument(value: unknown): value is Document {
  if (typeof value !== 'object' || value === null) return false;
  // What is sent for it is something else.
  if (typeof (value as { toBSON?: unknown }).toBSON === 'function') return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** Whether texts that are not the same may be equal. */
export const isCollated = (collation: CollationOptions | undefined): boolean =>
  collation !== undefined && collation.locale !== 'simple';
