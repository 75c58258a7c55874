import type { Db, Document } from 'mongodb';
import { Binary, BSON, UUID } from 'mongodb';
import { parseGate } from './gates.js';
import type { RawValue } from './raw-bson.js';
import { compose, decode, field, fields, identity, textOf } from './raw-bson.js';
import { hasCode } from './server-errors.js';

/**
 * By name, as the server tells them: a number keeps its type, and the fields of an index their order, also where their names
 * are whole numbers.
 */
export type RawOptions = ReadonlyMap<string, RawValue>;

export interface IndexDefinition {
  readonly name: string;
  /** Name, key and options, without the version of its format. */
  readonly options: RawOptions;
}

/** What a collection is apart from its documents, and from what Drover itself adds to it: the fence, gates. */
export interface CollectionDefinition {
  readonly options: RawOptions;
  /** Without the one on `_id`. */
  readonly indexes: readonly IndexDefinition[];
}

export interface PresentDefinition extends CollectionDefinition {
  /** Another one when the collection was dropped and made again. */
  readonly uuid: string;
}

/** Those that carry the fence. */
const FENCE = ['validator', 'validationLevel', 'validationAction'];
export const PRE_AND_POST_IMAGES = 'changeStreamPreAndPostImages';

/** @returns undefined where there is no collection of that name, or something else */
export async function readDefinition(db: Db, collection: string): Promise<PresentDefinition | undefined> {
  const [info] = await rawBatch(db, { listCollections: 1, filter: { name: collection, type: 'collection' } });
  if (info === undefined) return undefined;
  const found = fields(info);
  const options = [...fields(found.get('options')!.bytes)].filter(([name]) => !FENCE.includes(name));
  try {
    const indexes = await rawBatch(db, { listIndexes: collection });
    return {
      uuid: new UUID(decode(field(found.get('info')!.bytes, 'uuid')!) as UUID).toHexString(),
      options: new Map(options.filter(([name, value]) => !isWithoutImages(name, value))),
      indexes: indexes.map(indexFrom).filter(({ name }) => name !== '_id_' && parseGate(name) === undefined),
    };
  } catch (error) {
    if (hasCode(error, 'namespaceNotFound')) return undefined;
    throw error;
  }
}

/** A collection has at most 64 indexes: one reply holds them all. */
async function rawBatch(db: Db, command: Document): Promise<readonly Uint8Array[]> {
  const reply = await db.command({ ...command, cursor: {} }, { fieldsAsRaw: { firstBatch: true } });
  return (reply['cursor'] as Document)['firstBatch'] as Uint8Array[];
}

/** Switched off is the same as never switched on. */
const isWithoutImages = (name: string, value: RawValue): boolean =>
  name === PRE_AND_POST_IMAGES && decode(field(value.bytes, 'enabled')!) === false;

function indexFrom(bytes: Uint8Array): IndexDefinition {
  const options = fields(bytes);
  options.delete('v');
  options.delete('ns');
  return { name: textOf(options.get('name')!), options };
}

/** Of options that somebody has written down. */
export const rawOptions = (options: Document): RawOptions => fields(BSON.serialize(options));

/** As commands take it. */
export const decoded = (options: RawOptions): Map<string, unknown> =>
  new Map([...options].map(([name, value]) => [name, decode(value)]));

export const isUnique = ({ options }: IndexDefinition): boolean => valueOf(options, 'unique') === true;

/** Seconds after which documents expire; undefined where they don't. */
export function expiryOf({ options }: IndexDefinition): number | undefined {
  const seconds = valueOf(options, EXPIRY);
  return seconds === undefined ? undefined : Number(seconds);
}

export const withExpiry = (index: IndexDefinition, seconds: number): IndexDefinition => ({
  ...index,
  options: new Map(index.options).set(EXPIRY, int32(seconds)),
});

const EXPIRY = 'expireAfterSeconds';
export const HIDDEN = 'hidden';

/**
 * An index that has it is a suspended one: what is dated after 1958 does not expire by it. What it is suspended from is in the
 * migration's record. One less than the largest value that the server takes, by which people switch expiry off themselves.
 */
export const NEVER = 2 ** 31 - 2;

const valueOf = (options: RawOptions, name: string): unknown => {
  const value = options.get(name);
  return value && decode(value);
};

function int32(value: number): RawValue {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return { type: 0x10, bytes };
}

/** A suspended index is the same as one that is not. */
export function isSameIndex(a: IndexDefinition, b: IndexDefinition): boolean {
  return canonical(a.options, [EXPIRY]) === canonical(b.options, [EXPIRY]) && isSameExpiry(expiryOf(a), expiryOf(b));
}

/** Whether `collMod` makes one of the other, without building it anew. */
export const isAdjustable = (from: IndexDefinition, to: IndexDefinition): boolean =>
  canonical(from.options, [EXPIRY, HIDDEN]) === canonical(to.options, [EXPIRY, HIDDEN]) &&
  (expiryOf(from) === undefined || expiryOf(to) !== undefined);

const isSameExpiry = (a: number | undefined, b: number | undefined): boolean =>
  a === b || (a !== undefined && b !== undefined && (a === NEVER || b === NEVER));

/** The order of options says nothing, that within a value does. */
const canonical = (options: RawOptions, but: readonly string[]): string =>
  JSON.stringify(
    [...options]
      .filter(([name]) => !but.includes(name))
      .map(([name, value]) => [name, identity(value)])
      .sort(([a], [b]) => (a! < b! ? -1 : 1)),
  );

/** Names of collection options that are not the same. */
export function differentOptions(a: RawOptions, b: RawOptions): string[] {
  const names = new Set([...a.keys(), ...b.keys()]);
  return [...names].filter((name) => {
    const [one, other] = [a.get(name), b.get(name)];
    return one === undefined || other === undefined || identity(one) !== identity(other);
  });
}

/** Names of indexes that only one side has, or that are not the same. */
export function differentIndexes(a: CollectionDefinition, b: CollectionDefinition): string[] {
  const [ours, theirs] = [byName(a.indexes), byName(b.indexes)];
  return [...new Set([...ours.keys(), ...theirs.keys()])].filter((name) => {
    const [one, other] = [ours.get(name), theirs.get(name)];
    return one === undefined || other === undefined || !isSameIndex(one, other);
  });
}

export const byName = (indexes: readonly IndexDefinition[]): Map<string, IndexDefinition> =>
  new Map(indexes.map((index) => [index.name, index]));

/** How a definition is kept: its parts as bytes. */
export interface DefinitionDocument {
  options: Binary;
  indexes: Binary[];
  /** What indexes were found to be suspended from since then; of those that are not kept yet, too. */
  suspended?: { index: string; seconds: number }[];
  /** Raised by every change: who has read an older one changes nothing. */
  version?: number;
}

export const definitionToBson = ({ options, indexes }: CollectionDefinition): DefinitionDocument => ({
  options: new Binary(compose([...options])),
  indexes: indexes.map((index) => new Binary(compose([...index.options]))),
});

export const definitionFromBson = ({ options, indexes }: DefinitionDocument): CollectionDefinition => ({
  options: fields(options.buffer),
  indexes: indexes.map(({ buffer }) => indexFrom(buffer)),
});

/** After how many seconds documents are to expire by each index when it is suspended no longer. */
export const keptExpiries = (document: DefinitionDocument): ReadonlyMap<string, number> =>
  new Map([
    ...expiries(definitionFromBson(document)),
    ...(document.suspended ?? []).map(({ index, seconds }) => [index, seconds] as const),
  ]);

/** Indexes by which documents of the collection expire now, and after how many seconds. */
export const expiries = ({ indexes }: Pick<CollectionDefinition, 'indexes'>): ReadonlyMap<string, number> =>
  new Map(indexes.flatMap((index) => (expiryOf(index) === undefined ? [] : [[index.name, expiryOf(index)!]])));
