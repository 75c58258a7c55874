import { hash } from 'node:crypto';
import type { Document } from 'mongodb';
import { BSON, Decimal128, Double, Int32, Long } from 'mongodb';
import { DroverError } from '../domain/errors.js';
import type { Token } from '../domain/token.js';
import type { RawValue } from './raw-bson.js';
import { decode, field } from './raw-bson.js';

/** Types of partition keys by the names that `$type` gives them: those below. */
export const KEY_TYPES = [
  ...['double', 'int', 'long', 'decimal'],
  ...['string', 'binData', 'objectId', 'bool', 'date', 'null'],
] as const;

/** BSON element type -> canonical type, for the types whose hash was checked against the server (test/e2e). */
const CANONICAL = new Map([
  [0x01, 10], // double
  [0x10, 10], // int32
  [0x12, 10], // int64
  [0x13, 10], // decimal128
  [0x02, 15], // string
  [0x05, 30], // binary
  [0x07, 35], // ObjectId
  [0x08, 40], // boolean
  [0x09, 45], // date
  [0x0a, 5], // null
]);

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;

/**
 * The value that MongoDB's hashed index (and `$toHashedIndexKey`) gives to a key.
 *
 * MD5 over int32 seed 0, int32 canonical type and the value's BSON bytes (numbers as int64), little-endian;
 * the first eight bytes as a signed integer. (MongoDB source: db/hasher.cpp.)
 *
 * @throws DroverError `InvalidRequest` for a key of a type that can't be a partition key (documents, arrays, missing)
 */
export function tokenOfKey(key: unknown): Token {
  if (typeof key === 'string') return hashString(key);
  if (typeof key === 'number') return hashNumber(truncate(key));
  return hashOther(key);
}

function hashOther(key: unknown): Token {
  return tokenOfRaw(field(BSON.serialize({ k: key }, { ignoreUndefined: true }), 'k'));
}

/** Whether a document with it has a place in a partition. */
export const isPartitionKey = (key: RawValue | undefined): boolean => key !== undefined && CANONICAL.has(key.type);

/**
 * The same for a key as a server sent it; undefined when it is missing.
 *
 * @throws DroverError `InvalidRequest` for a key of a type that can't be a partition key
 */
export function tokenOfRaw(key: RawValue | undefined): Token {
  const canonical = key && CANONICAL.get(key.type);
  if (canonical === undefined) {
    throw new DroverError(
      'InvalidRequest',
      'a partition key must be a string, number, ObjectId, date, boolean, binary or null; documents, arrays, regular ' +
        'expressions and missing keys have no place in a partition',
    );
  }
  if (canonical === 10) return hashNumber(integerOf(decode(key!)));
  const input = Buffer.allocUnsafe(8 + key!.bytes.length);
  input.writeInt32LE(0, 0);
  input.writeInt32LE(canonical, 4);
  input.set(key!.bytes, 8);
  return digest(input);
}

function integerOf(key: unknown): bigint {
  if (typeof key === 'bigint') return BigInt.asIntN(64, key);
  if (key instanceof Long) return key.toBigInt();
  if (key instanceof Int32) return BigInt(key.value);
  if (key instanceof Double) return truncate(key.value);
  if (key instanceof Decimal128) return roundDecimal(key.toString());
  throw new DroverError('InvalidRequest', `a number of an unknown class: ${String(key)}`);
}

const clamp = (value: bigint): bigint => (value < INT64_MIN ? INT64_MIN : value > INT64_MAX ? INT64_MAX : value);

/** As the server does: beyond the range the nearest end, but 2^63 itself, which overflows there, the smallest. */
function truncate(value: number): bigint {
  if (Number.isNaN(value)) return 0n;
  if (value === 2 ** 63) return INT64_MIN;
  if (Math.abs(value) > 2 ** 63) return value > 0 ? INT64_MAX : INT64_MIN;
  return BigInt(Math.trunc(value));
}

/** The server rounds decimals half to even, where it truncates doubles; done on the notation, as a double would lose digits. */
function roundDecimal(text: string): bigint {
  if (text === 'NaN') return 0n;
  if (text.endsWith('Infinity')) return text.startsWith('-') ? INT64_MIN : INT64_MAX;
  const match = /^(-?)(\d+)(?:\.(\d*))?(?:E([+-]?\d+))?$/.exec(text);
  if (match === null) throw new DroverError('InvalidRequest', `not a decimal number: ${text}`);
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = match;
  const digits = whole + fraction;
  const point = whole.length + Number(exponent);
  if (point > 25 && /[1-9]/.test(digits)) return sign === '-' ? INT64_MIN : INT64_MAX;
  const integer = BigInt(point <= 0 ? 0 : digits.slice(0, point).padEnd(point, '0'));
  const rest = point < 0 ? '0'.repeat(-point) + digits : digits.slice(point);
  const half = Math.sign(rest === '' ? -1 : rest.localeCompare('5'.padEnd(rest.length, '0')));
  const rounded = half > 0 || (half === 0 && integer % 2n === 1n) ? integer + 1n : integer;
  return clamp(sign === '-' ? -rounded : rounded);
}

function hashNumber(value: bigint): Token {
  const input = Buffer.alloc(16);
  input.writeInt32LE(10, 4);
  input.writeBigInt64LE(value, 8);
  return digest(input);
}

function hashString(key: string): Token {
  const bytes = Buffer.byteLength(key) + 1;
  const before = BEFORE_STRING[bytes];
  if (before !== undefined) return digest(`${before}${key}\0`);
  const input = Buffer.alloc(12 + bytes);
  input.writeInt32LE(15, 4);
  input.writeInt32LE(bytes, 8);
  input.write(key, 12);
  return digest(input);
}

/** What is hashed before a short string of so many bytes, as text: below 128 a character is a byte of it. */
const BEFORE_STRING = Array.from({ length: 128 }, (_, bytes) =>
  String.fromCharCode(0, 0, 0, 0, 15, 0, 0, 0, bytes, 0, 0, 0),
);

/** Every request does this: in one call, by way of a string that is read as it is, it takes a fifth of the time. */
function digest(input: Buffer | string): Token {
  const md5 = hash('md5', input, 'binary');
  return (BigInt(wordAt(md5, 4)) << 32n) | BigInt(wordAt(md5, 0) >>> 0);
}

const wordAt = (bytes: string, at: number): number =>
  bytes.charCodeAt(at) |
  (bytes.charCodeAt(at + 1) << 8) |
  (bytes.charCodeAt(at + 2) << 16) |
  (bytes.charCodeAt(at + 3) << 24);

/** The value at a dotted path, or `undefined` when it is missing or an array is in the way. */
export function keyValue(document: Document, path: string): unknown {
  if (!path.includes('.')) return document[path];
  let value: unknown = document;
  for (const part of path.split('.')) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
    value = (value as Document)[part];
  }
  return value;
}
