import { BSON, Decimal128 } from 'mongodb';
import type { RawValue } from './raw-bson.js';

/**
 * Place of a BSON type in MongoDB's order of values; types of one place compare by value.
 * (MongoDB manual: Comparison/Sort Order; source: bson/bsontypes.h, canonicalizeBSONType.)
 */
const PLACES: Readonly<Record<number, number>> = {
  0xff: -1, // MinKey
  0x06: 0, // undefined
  0x0a: 5, // null
  0x01: 10, // double
  0x10: 10, // int32
  0x12: 10, // int64
  0x13: 10, // decimal128
  0x02: 15, // string
  0x0e: 15, // symbol
  0x03: 20, // document
  0x04: 25, // array
  0x05: 30, // binary
  0x07: 35, // ObjectId
  0x08: 40, // boolean
  0x09: 45, // date
  0x11: 47, // timestamp
  0x0b: 50, // regular expression
  0x0c: 55, // DBPointer
  0x0d: 60, // code
  0x0f: 65, // code with scope
  0x7f: 127, // MaxKey
};

/**
 * The order that MongoDB gives to values when it sorts without a collation: negative where `a` comes first, 0 where both are
 * equal there (1 and 1.0 are).
 */
export function compareValues(a: RawValue, b: RawValue): number {
  const place = PLACES[a.type]!;
  const difference = place - PLACES[b.type]!;
  if (difference !== 0) return difference;
  switch (place) {
    case 10:
      return compareNumbers(a, b);
    case 15:
    case 60:
      return Buffer.compare(text(a), text(b));
    case 20:
    case 25:
      return compareDocuments(a.bytes, b.bytes, place === 20);
    case 30:
      // Length, subtype, content.
      return int32(a) - int32(b) || Buffer.compare(a.bytes.subarray(4), b.bytes.subarray(4));
    case 45:
      return sign(int64(a), int64(b));
    case 47:
      return sign(BigInt.asUintN(64, int64(a)), BigInt.asUintN(64, int64(b)));
    case 65:
      return compareCodeWithScope(a, b);
    default:
      // Of the same length, or made of texts that end with a zero byte.
      return Buffer.compare(a.bytes, b.bytes);
  }
}

/** Field by field: type, then (in documents) name, then value; what ends first comes first. */
function compareDocuments(a: Uint8Array, b: Uint8Array, named: boolean): number {
  const [ours, theirs] = [BSON.onDemand.parseToElements(a), BSON.onDemand.parseToElements(b)].map((elements) => [
    ...elements,
  ]);
  for (const [i, [type, nameAt, nameLength, at, length]] of ours!.entries()) {
    const other = theirs![i];
    if (other === undefined) return 1;
    const [otherType, otherNameAt, otherNameLength, otherAt, otherLength] = other;
    const value = { type, bytes: a.subarray(at, at + length) };
    const otherValue = { type: otherType, bytes: b.subarray(otherAt, otherAt + otherLength) };
    const difference =
      PLACES[type]! - PLACES[otherType]! ||
      (named
        ? Buffer.compare(
            a.subarray(nameAt, nameAt + nameLength),
            b.subarray(otherNameAt, otherNameAt + otherNameLength),
          )
        : 0) ||
      compareValues(value, otherValue);
    if (difference !== 0) return difference;
  }
  return ours!.length - theirs!.length;
}

/** NaN comes before all other numbers. */
function compareNumbers(a: RawValue, b: RawValue): number {
  if (a.type === INT32 && b.type === INT32) return int32(a) - int32(b);
  const [x, y] = [plain(a), plain(b)];
  if (typeof x === 'number' && typeof y === 'number') {
    if (Number.isNaN(x) || Number.isNaN(y)) return Number(Number.isNaN(y)) - Number(Number.isNaN(x));
    return Math.sign(x - y) || (x < y ? -1 : x > y ? 1 : 0);
  }
  // Neither holds all values of the other one.
  const [infiniteX, infiniteY] = [beyondAll(x), beyondAll(y)];
  if (infiniteX !== 0 || infiniteY !== 0) return infiniteX - infiniteY;
  return compareExactly(exact(x), exact(y));
}

const INT32 = 0x10;
type Plain = number | bigint | Decimal128;

function plain(value: RawValue): Plain {
  if (value.type === 0x01) return bufferOf(value).readDoubleLE(0);
  if (value.type === INT32) return int32(value);
  if (value.type === 0x12) return int64(value);
  return new Decimal128(Buffer.from(value.bytes));
}

/** Of NaN, -2; of the infinities, -1 and 1; 0 of all others. */
function beyondAll(value: Plain): number {
  if (typeof value === 'bigint') return 0;
  const number = typeof value === 'number' ? value : specialOf(value.toString());
  return Number.isNaN(number) ? -2 : Number.isFinite(number) ? 0 : Math.sign(number);
}

function specialOf(text: string): number {
  if (text === 'NaN') return NaN;
  if (text.endsWith('Infinity')) return text.startsWith('-') ? -Infinity : Infinity;
  return 0;
}

/** `units` times 2 to the power of `twos` times 10 to the power of `tens`. */
interface Exact {
  readonly units: bigint;
  readonly twos: number;
  readonly tens: number;
}

function exact(value: Plain): Exact {
  if (typeof value === 'bigint') return { units: value, twos: 0, tens: 0 };
  if (typeof value === 'number') return exactDouble(value);
  const [, minus, whole, fraction = '', exponent = '0'] = /^(-?)(\d+)(?:\.(\d*))?(?:E([+-]?\d+))?$/.exec(
    value.toString(),
  )!;
  const units = BigInt(whole! + fraction);
  return { units: minus === '' ? units : -units, twos: 0, tens: Number(exponent) - fraction.length };
}

function exactDouble(value: number): Exact {
  const bits = new DataView(new ArrayBuffer(8));
  bits.setFloat64(0, value);
  const high = bits.getUint32(0);
  const exponent = (high >>> 20) & 0x7ff;
  const fraction = (BigInt(high & 0xfffff) << 32n) | BigInt(bits.getUint32(4));
  const units = exponent === 0 ? fraction : fraction | (1n << 52n);
  return { units: high >>> 31 === 1 ? -units : units, twos: Math.max(exponent, 1) - 1_075, tens: 0 };
}

function compareExactly(a: Exact, b: Exact): number {
  const [twos, tens] = [Math.min(a.twos, b.twos), Math.min(a.tens, b.tens)];
  const whole = (each: Exact) => (each.units << BigInt(each.twos - twos)) * 10n ** BigInt(each.tens - tens);
  return sign(whole(a), whole(b));
}

function compareCodeWithScope(a: RawValue, b: RawValue): number {
  const [ours, theirs] = [a, b].map((value) => {
    const code = { type: 0x0d, bytes: value.bytes.subarray(4) };
    return { code: text(code), scope: value.bytes.subarray(8 + int32(code)) };
  });
  return Buffer.compare(ours!.code, theirs!.code) || compareDocuments(ours!.scope, theirs!.scope, true);
}

const bufferOf = ({ bytes }: RawValue): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
const int32 = (value: RawValue): number => bufferOf(value).readInt32LE(0);
const int64 = (value: RawValue): bigint => bufferOf(value).readBigInt64LE(0);
const sign = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0);
/** Without its length and the zero byte at its end. */
const text = (value: RawValue): Uint8Array => value.bytes.subarray(4, 3 + int32(value));
