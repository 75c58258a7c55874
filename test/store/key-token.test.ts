import fc from 'fast-check';
import type { Document } from 'mongodb';
import {
  Binary,
  BSONRegExp,
  Decimal128,
  Double,
  Int32,
  Long,
  MaxKey,
  MinKey,
  ObjectId,
  Timestamp,
  UUID,
} from 'mongodb';
import { describe, expect, it } from 'vitest';
import { DroverError } from '../../domain/errors.js';
import { tokenFromBson } from '../../store/codec.js';
import { keyValue, tokenOfKey } from '../../store/key-token.js';
import { useServers } from './servers.js';

const { clients } = useServers(1);

/** What the server's own hashed index makes of the keys, in one aggregation. */
async function serverTokens(keys: readonly unknown[]): Promise<bigint[]> {
  const rows = await clients[0]!
    .db('admin')
    .aggregate<Document>([
      { $documents: keys.map((k) => ({ k: { $literal: k } })) },
      { $project: { token: { $toHashedIndexKey: '$k' } } },
    ])
    .toArray();
  return rows.map(({ token }) => tokenFromBson(token));
}

async function expectServersTokens(keys: readonly unknown[]): Promise<void> {
  const theirs = await serverTokens(keys);
  const wrong = keys
    .map((key, i) => ({ key: describeKey(key), ours: tokenOfKey(key), theirs: theirs[i] }))
    .filter(({ ours, theirs: wanted }) => ours !== wanted);
  expect(wrong).toEqual([]);
}

const describeKey = (key: unknown) => `${(key as object | null)?.constructor?.name} ${String(key)}`;

const BATCH = 400;
const decimalText = fc
  .tuple(
    fc.boolean(),
    fc.bigInt({ min: 0n, max: 10n ** 34n - 1n }),
    fc.oneof(fc.integer({ min: -40, max: 40 }), fc.integer({ min: -6_100, max: 6_100 })),
  )
  .map(([negative, digits, exponent]) => `${negative ? '-' : ''}${digits}E${exponent}`);

const kinds: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  'strings of any characters': fc.string({ unit: 'binary', maxLength: 40 }),
  'strings of about 128 bytes': fc.string({ unit: 'binary-ascii', minLength: 124, maxLength: 131 }),
  'long strings': fc.string({ unit: 'grapheme', minLength: 500, maxLength: 3_000 }),
  'numbers as JavaScript has them': fc.oneof(
    fc.double(),
    fc.integer(),
    fc.double({ min: -1e19, max: 1e19 }),
    fc.constantFrom(-0, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 2 ** 53, 2 ** 63, -(2 ** 63)),
  ),
  int32: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }).map((value) => new Int32(value)),
  int64: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((value) => Long.fromBigInt(value)),
  bigint: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  doubles: fc.double().map((value) => new Double(value)),
  decimals: decimalText.map((text) => Decimal128.fromString(text)),
  'decimals near halves': fc
    .tuple(fc.integer({ min: -1_000, max: 1_000 }), fc.constantFrom('', '.5', '.50', '.49999', '.500001', '.0', '.4'))
    .map(([whole, fraction]) => Decimal128.fromString(`${whole}${fraction}`)),
  'object ids': fc.uint8Array({ minLength: 12, maxLength: 12 }).map((bytes) => new ObjectId(bytes)),
  dates: fc.date({ noInvalidDate: true }),
  'binaries of every subtype': fc
    .tuple(fc.uint8Array({ maxLength: 60 }), fc.constantFrom(0, 1, 5, 6, 128, 255))
    .map(([bytes, subtype]) => new Binary(bytes, subtype)),
  uuids: fc.uuid().map((text) => new UUID(text)),
  buffers: fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
};

describe('the token of a key is the value of the server’s hashed index', () => {
  it.each(Object.entries(kinds))('for %s', async (_kind, arbitrary) => {
    await expectServersTokens(fc.sample(arbitrary, { numRuns: BATCH, seed: 42 }));
  });

  it('for null and booleans', () => expectServersTokens([null, true, false]));

  it('at the edges of every number type', () =>
    expectServersTokens([
      ...[0, -0, 0.5, -0.5, 1.999, -1.999, 1e300, -1e300, 2 ** 53 + 2, 2 ** 63, 2 ** 63 + 2048, 2 ** 64, 5e-324],
      ...[Long.MAX_VALUE, Long.MIN_VALUE, Long.fromNumber(-1)],
      ...['0', '-0', '0.5', '1.5', '2.5', '-0.5', '-1.5', '-2.5', 'NaN', '-NaN', 'Infinity', '-Infinity'].map(decimal),
      ...['9223372036854775807', '9223372036854775807.5', '9223372036854775808', '-9223372036854775808'].map(decimal),
      ...['-9223372036854775809', '1E6144', '-1E6144', '1E-6176', '0E6111', '9.99E18', '1E19', '1E25', '1E26'].map(
        decimal,
      ),
    ]));

  it('for bigints beyond 64 bits, which the driver stores as what their last 64 bits say', () =>
    expectServersTokens([2n ** 63n, -(2n ** 63n) - 1n, 2n ** 64n, 2n ** 64n + 5n, -(2n ** 65n)]));

  it('for strings with surrogates that stand alone, which the driver stores as U+FFFD', () =>
    expectServersTokens(['\ud800', 'a\udfff', '\udc00\ud800', '\u0000', 'a\u0000b', '']));

  it('so equal numbers of different types are one entity', () => {
    const tokens = [5, new Int32(5), Long.fromNumber(5), new Double(5), decimal('5'), 5n].map(tokenOfKey);
    expect(new Set(tokens).size).toBe(1);
  });
});

const decimal = (text: string) => Decimal128.fromString(text);

describe('a value that is no key', () => {
  it.each([
    ['a document', { a: 1 }],
    ['an empty document', {}],
    ['an array', [1]],
    ['a missing one', undefined],
    ['a regular expression', /a/],
    ['a BSON regular expression', new BSONRegExp('a')],
    ['a timestamp', new Timestamp({ t: 1, i: 1 })],
    ['MinKey', new MinKey()],
    ['MaxKey', new MaxKey()],
    ['a function', () => 1],
  ])('%s: refused as an invalid request', (_what, key) => {
    expect(() => tokenOfKey(key)).toThrow(DroverError);
    expect(() => tokenOfKey(key)).toThrow(expect.objectContaining({ code: 'InvalidRequest' }) as Error);
  });
});

describe('the key in a document', () => {
  it('is found on a dotted path, and never inside of an array', () => {
    expect(keyValue({ customer: { id: 7 } }, 'customer.id')).toBe(7);
    expect(keyValue({ customer: null }, 'customer.id')).toBeUndefined();
    expect(keyValue({ customer: [{ id: 7 }] }, 'customer.id')).toBeUndefined();
    expect(keyValue({ 'customer.id': 7 }, 'customer.id')).toBeUndefined();
    expect(keyValue({ customerId: 0 }, 'customerId')).toBe(0);
  });
});
