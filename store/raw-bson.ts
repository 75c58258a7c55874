import { BSON } from 'mongodb';

/** The value of a field as the server sent it: its BSON type, and the bytes behind its name. */
export interface RawValue {
  readonly type: number;
  readonly bytes: Uint8Array;
}

/**
 * A document as the bytes that a server sent: nothing is decoded, so nothing can change on the way (a field name twice, whole
 * numbers as names in any order), and it costs next to nothing.
 */
export type RawDocument = Uint8Array;

export const DOCUMENT = 0x03;
const ARRAY = 0x04;

/** All fields of a document by name; of several of one name the first. */
export function fields(document: Uint8Array): Map<string, RawValue> {
  const found = new Map<string, RawValue>();
  for (const [type, nameAt, nameLength, at, length] of BSON.onDemand.parseToElements(document)) {
    const name = textAt(document, nameAt, nameLength);
    if (!found.has(name)) found.set(name, { type, bytes: document.subarray(at, at + length) });
  }
  return found;
}

/** The first field of a name, as the server takes it. */
export function field(document: Uint8Array, name: string): RawValue | undefined {
  const wanted = Buffer.byteLength(name);
  for (const [type, nameAt, nameLength, at, length] of BSON.onDemand.parseToElements(document)) {
    if (nameLength === wanted && textAt(document, nameAt, nameLength) === name) {
      return { type, bytes: document.subarray(at, at + length) };
    }
  }
  return undefined;
}

/** `_id` of a stored document, which the server keeps as its first field. */
export function idOf(document: Uint8Array): RawValue {
  const length = idLengthAt(document, 0);
  if (length === undefined) return field(document, '_id')!;
  return { type: document[ID_TYPE_AT]!, bytes: document.subarray(ID_AT, ID_AT + length) };
}

/** Bytes of the `_id` of the document that begins there, where that is its first field and of a usual type. */
export function idLengthAt(memory: Uint8Array, at: number): number | undefined {
  const isFirst = memory[at + 5] === 0x5f && memory[at + 6] === 0x69 && memory[at + 7] === 0x64 && memory[at + 8] === 0;
  const length = isFirst ? LENGTHS[memory[at + ID_TYPE_AT]!] : undefined;
  return length !== undefined && length < 0
    ? BSON.onDemand.NumberUtils.getInt32LE(memory, at + ID_AT) - length
    : length;
}

/** In a document whose `_id` is its first field. */
export const ID_TYPE_AT = 4;
export const ID_AT = 9;

/** Bytes of a value by its type, of the usual ones; negative: added to the length that the value begins with. */
const LENGTHS: Readonly<Record<number, number>> = { 0x01: 8, 0x02: -4, 0x05: -5, 0x07: 12, 0x09: 8, 0x10: 4, 0x12: 8 };

/** The value at a dotted path; undefined also where an array is in the way. */
export function fieldAt(document: Uint8Array, path: string): RawValue | undefined {
  let value: RawValue | undefined = { type: DOCUMENT, bytes: document };
  for (const name of path.split('.')) {
    if (value?.type !== DOCUMENT) return undefined;
    value = field(value.bytes, name);
  }
  return value;
}

/** Whether any field's name begins with a dollar sign. */
export function hasDollarNames(document: Uint8Array): boolean {
  for (const [, nameAt] of BSON.onDemand.parseToElements(document)) if (document[nameAt] === 0x24) return true;
  return false;
}

/**
 * Whether a top-level field is a timestamp of zero, for which the server puts the present time wherever a document is inserted
 * or replaced. (Not in `_id`.)
 */
export function hasZeroTimestamp(document: Uint8Array): boolean {
  if (bufferOf(document).indexOf(NAME_END_AND_ZERO) < 0) return false;
  for (const [type, nameAt, nameLength, at, length] of BSON.onDemand.parseToElements(document)) {
    if (type !== TIMESTAMP || bufferOf(document).readBigUInt64LE(at) !== 0n || length !== 8) continue;
    if (textAt(document, nameAt, nameLength) !== '_id') return true;
  }
  return false;
}

const TIMESTAMP = 0x11;
/** Few documents have these bytes: the end of a name, and eight of zero. All that have a timestamp of zero do. */
export const NAME_END_AND_ZERO = Buffer.alloc(9);

/** Equal for values of one type and the same bytes, and for no others. */
export const identity = ({ type, bytes }: RawValue): string => `${type} ${bufferOf(bytes).toString('latin1')}`;

/** The same for a value that was decoded. */
export const idHex = (id: unknown): string => Buffer.from(BSON.serialize({ _id: id })).toString('hex');

/**
 * The value as the driver sends it again, type and bytes unchanged: documents as a `Map`, as an object has whole-number
 * names first.
 */
export function decode({ type, bytes }: RawValue): unknown {
  if (type === ARRAY) return [...fields(bytes).values()].map(decode);
  if (type !== DOCUMENT) return BSON.deserialize(compose([['v', { type, bytes }]]), UNPROMOTED)['v'];
  const map = new Map<string, unknown>();
  for (const [each, nameAt, nameLength, at, length] of BSON.onDemand.parseToElements(bytes)) {
    map.set(textAt(bytes, nameAt, nameLength), decode({ type: each, bytes: bytes.subarray(at, at + length) }));
  }
  return map;
}

/**
 * A document as the driver sends it again, as {@link decode} does, but in a fraction of the time where no name in it is a whole
 * number.
 */
export function decodeDocument(bytes: Uint8Array): unknown {
  const document: unknown = BSON.deserialize(bytes, UNPROMOTED);
  return keepsOrder(document) ? document : decode(rawDocument(bytes));
}

/** An object has names that are whole numbers first. */
function keepsOrder(value: unknown): boolean {
  if (Array.isArray(value)) return value.every(keepsOrder);
  if (typeof value !== 'object' || value === null || '_bsontype' in value || value instanceof Date) return true;
  const [first] = Object.keys(value);
  return first === undefined || (!/^\d+$/.test(first) && Object.values(value).every(keepsOrder));
}

/** Of a string. */
export const textOf = ({ bytes }: RawValue): string => textAt(bytes, 4, bytes.length - 5);

/** Of a timestamp. */
export const uint64Of = ({ bytes }: RawValue): bigint => bufferOf(bytes).readBigUInt64LE(0);

/** Keeps BSON types as they are: an int64 stays one, a double 5.0 does not become an int32. */
export const UNPROMOTED = {
  promoteValues: false,
  promoteLongs: false,
  promoteBuffers: false,
  bsonRegExp: true,
} as const;

/** A document of values that are bytes already. */
export function compose(parts: readonly (readonly [name: string, value: RawValue])[]): Buffer {
  const names = parts.map(([name]) => Buffer.from(name));
  const length = parts.reduce((sum, [, { bytes }], i) => sum + names[i]!.length + 2 + bytes.length, 5);
  const document = Buffer.allocUnsafe(length);
  let at = document.writeInt32LE(length, 0);
  for (const [i, [, { type, bytes }]] of parts.entries()) {
    at = document.writeUInt8(type, at);
    at += names[i]!.copy(document, at);
    at = document.writeUInt8(0, at);
    document.set(bytes, at);
    at += bytes.length;
  }
  document.writeUInt8(0, at);
  return document;
}

/** An update that makes a document of another one exactly as it is, which a replacement does not quite. */
export const exactly = (document: Uint8Array): RawValue => {
  const literal = compose([['$literal', rawDocument(document)]]);
  const stage = compose([['$replaceWith', rawDocument(literal)]]);
  return { type: ARRAY, bytes: compose([['0', rawDocument(stage)]]) };
};

/** By the `_id` alone, which the server finds without planning. */
export const withId = (id: RawValue): RawValue => rawDocument(compose([['_id', rawDocument(compose([['$eq', id]]))]]));

export const rawDocument = (bytes: Uint8Array): RawValue => ({ type: DOCUMENT, bytes });
export const RAW_ONE: RawValue = { type: 0x10, bytes: Uint8Array.of(1, 0, 0, 0) };

const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
const textAt = (bytes: Uint8Array, at: number, length: number): string =>
  bufferOf(bytes).toString('utf8', at, at + length);

/** The document without a field, in the bytes that it has. */
export function without(document: Uint8Array, name: string): Uint8Array {
  for (const [, nameAt, nameLength, at, length] of BSON.onDemand.parseToElements(document)) {
    if (textAt(document, nameAt, nameLength) !== name) continue;
    const rest = Buffer.concat([document.subarray(0, nameAt - 1), document.subarray(at + length)]);
    rest.writeInt32LE(rest.length, 0);
    return rest;
  }
  return document;
}
