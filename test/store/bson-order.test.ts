import fc from 'fast-check';
import type { Document } from 'mongodb';
import {
  Binary,
  BSON,
  BSONRegExp,
  Code,
  Decimal128,
  Double,
  Int32,
  Long,
  MaxKey,
  MinKey,
  ObjectId,
  Timestamp,
} from 'mongodb';
import { expect, it } from 'vitest';
import { compareValues } from '../../store/bson-order.js';
import { field } from '../../store/raw-bson.js';
import { useServers } from './servers.js';

const { clients } = useServers(1);

const ofNumbers = fc.oneof(
  fc.double().map((value) => new Double(value)),
  fc.integer().map((value) => new Int32(value)),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((value) => Long.fromBigInt(value)),
  fc
    .tuple(fc.bigInt({ min: -(10n ** 34n) + 1n, max: 10n ** 34n - 1n }), fc.integer({ min: -6_100, max: 6_100 }))
    .map(([digits, exponent]) => Decimal128.fromString(`${digits}E${exponent}`)),
  fc.constantFrom(
    ...['0.1', '0.5', '-0', '1E0', '10E-1', 'NaN', 'Infinity', '-Infinity', '9007199254740993', '1E-324'].map((text) =>
      Decimal128.fromString(text),
    ),
    ...[0, -0, 0.1, 0.5, 1, NaN, Infinity, -Infinity, 2 ** 53, Number.MIN_VALUE].map((value) => new Double(value)),
    Long.fromString('9007199254740993'),
    Long.ONE,
    new Int32(1),
  ),
);
const bytes = fc.uint8Array({ maxLength: 12 });
const ofScalars = fc.oneof(
  { weight: 4, arbitrary: ofNumbers },
  fc.string({ unit: 'binary', maxLength: 6 }),
  fc.constantFrom(null, true, false, new MinKey(), new MaxKey()),
  fc.tuple(bytes, fc.constantFrom(0, 5, 128)).map(([data, subtype]) => new Binary(data, subtype)),
  fc.uint8Array({ minLength: 12, maxLength: 12 }).map((id) => new ObjectId(id)),
  fc.date({ noInvalidDate: true }),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((value) => new Timestamp(value)),
  fc.tuple(fc.stringMatching(/^[a-z]{0,3}$/), fc.constantFrom('', 'i', 'im')).map(([p, o]) => new BSONRegExp(p, o)),
  fc.string({ unit: 'grapheme-ascii', maxLength: 4 }).map((code) => new Code(code)),
  fc
    .tuple(fc.string({ unit: 'grapheme-ascii', maxLength: 2 }), fc.integer())
    .map(([code, a]) => new Code(code, { a: new Int32(a) })),
);
const ofDocuments = fc.dictionary(fc.constantFrom('a', 'b', 'c'), ofScalars, { maxKeys: 3 });
const ofValues = fc.oneof({ weight: 3, arbitrary: ofScalars }, ofDocuments, fc.array(ofDocuments, { maxLength: 2 }));

it("sorts values of all types as the server's own comparison does", { timeout: 120_000 }, async () => {
  const admin = clients[0]!.db('admin');
  const pairs = fc.oneof(fc.tuple(ofNumbers, ofNumbers), fc.tuple(ofValues, ofValues));
  await fc.assert(
    fc.asyncProperty(fc.array(pairs, { minLength: 300, maxLength: 300 }), async (tried) => {
      // An array stays one inside of a document.
      const documents = tried.map(([a, b]) => ({ a: { v: a }, b: { v: b } }));
      const rows = await admin
        .aggregate<Document>([
          { $documents: documents.map((each) => ({ $literal: each })) },
          { $project: { order: { $cmp: ['$a', '$b'] } } },
        ])
        .toArray();
      const wrong = tried
        .map(([a, b], i) => {
          const raw = BSON.serialize({ a, b });
          const ours = Math.sign(compareValues(field(raw, 'a')!, field(raw, 'b')!));
          return {
            values: BSON.EJSON.stringify({ a, b }, { relaxed: false }),
            ours,
            theirs: Number(rows[i]!['order']),
          };
        })
        .filter(({ ours, theirs }) => ours !== theirs);
      expect(wrong).toEqual([]);
    }),
    { numRuns: 15 },
  );
});
