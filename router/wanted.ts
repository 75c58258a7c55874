import type { CollationOptions, Document } from 'mongodb';
import type { Token } from '../domain/token.js';
import { keyValue, tokenOfKey } from '../store/key-token.js';

/** The tokens of all documents that a request may concern: those of some keys, or any. */
export type Wanted = readonly [Token, ...Token[]] | 'all';

/** A request for nothing goes somewhere all the same: the server looks whether it makes sense. */
const ANY: Wanted = [0n];

/**
 * Which keys a filter asks for by equality, alone or beside other conditions.
 *
 * @param collated whether texts are compared by a collation: then one key finds others, too
 */
export function wantedBy(filter: unknown, keyField: string, collated = false): Wanted {
  const wanted = tokensIn(filter, keyField, collated);
  if (wanted === undefined) return 'all';
  const [first, ...others] = wanted;
  return first === undefined ? ANY : [first, ...others];
}

/** `undefined` where documents of any key may match. */
function tokensIn(filter: unknown, keyField: string, collated: boolean): ReadonlySet<Token> | undefined {
  if (!isDocument(filter)) return undefined;
  const conditions = Object.entries(filter).map(([name, value]) => {
    if (name === '$and') return all(branches(value, keyField, collated));
    if (name === '$or') return any(branches(value, keyField, collated));
    if (name === keyField) return tokensOf(valuesOf(value), collated);
    if (!keyField.startsWith(`${name}.`) || isOperator(value)) return undefined;
    // An embedded document that is compared as a whole.
    const key = keyValue({ [name]: value as unknown }, keyField);
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
  return new Set(keys.map(tokenOfKey));
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
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** Whether texts that are not the same may be equal. */
export const isCollated = (collation: CollationOptions | undefined): boolean =>
  collation !== undefined && collation.locale !== 'simple';
