import type { Collection, Db, Document } from 'mongodb';
import { BSON } from 'mongodb';
import { unsupported } from './collection-support.js';
import { inspect, ownValidator } from './fenced-collection.js';
import { parseGate } from './gates.js';
import { KEY_TYPES } from './key-token.js';
import { isTokenIndex, isWhole } from './part.js';
import { storageStats } from './storage-stats.js';

/** What a collection is like that is to become a keyspace. */
export interface Adoptable {
  readonly documents: number;
  readonly bytes: number;
  /** Whether the key's hashed index is there. */
  readonly indexed: boolean;
  /** The user's own validator. */
  readonly validator?: Document;
  /** Why it can't be, as sentences that say what to do. */
  readonly obstacles: readonly string[];
}

const MOST_INDEXES = 64;
/** Gates of a move, and the key's hashed index. */
const OWN_INDEXES = 11;
const MOST_TOLD = 10;

/** Looks at a collection's options and indexes; changes nothing. */
export async function examineDefinition(
  db: Db,
  name: string,
  keyField: string,
): Promise<Pick<Adoptable, 'indexed' | 'validator' | 'obstacles'> & { readonly supported: boolean }> {
  const state = await inspect(db, name);
  const reason = unsupported(state);
  if (reason !== undefined) return { supported: false, indexed: false, obstacles: [`it ${reason}`] };
  const indexes = (await db.collection(name).indexes()) as Document[];
  const own = ownValidator(state.options);
  return {
    supported: true,
    indexed: indexes.some((index) => isTokenIndex(index, keyField)),
    ...(own === undefined ? {} : { validator: own }),
    obstacles: [...(own === undefined ? [] : weakValidation(state.options)), ...indexObstacles(indexes, keyField)],
  };
}

/** The same, with its documents: reads all of it once. */
export async function examineCollection(db: Db, name: string, keyField: string): Promise<Adoptable> {
  const { supported, ...definition } = await examineDefinition(db, name, keyField);
  if (!supported) return { documents: 0, bytes: 0, ...definition };
  const collection = db.collection(name);
  const [stats, keys] = await Promise.all([storageStats(collection), unsuitableKeys(collection, keyField)]);
  return {
    documents: Number(stats['count']),
    bytes: Number(stats['size']),
    ...definition,
    obstacles: [...definition.obstacles, ...(keys.length === 0 ? [] : [describeKeys(keyField, keys)])],
  };
}

/** Anything weaker lets writes through that a fence has to refuse. */
function weakValidation({ validationLevel = 'strict', validationAction = 'error' }: Document): string[] {
  if (validationLevel === 'strict' && validationAction === 'error') return [];
  return [
    `its validator is applied with level "${validationLevel}" and action "${validationAction}": set it to strict and error ` +
      'with collMod, once all documents keep to it',
  ];
}

function indexObstacles(indexes: readonly Document[], field: string): string[] {
  const users = indexes.filter(({ name }) => parseGate(name as string) === undefined);
  const found = users
    .filter(({ unique, key }) => unique === true && !(field in (key as Document)))
    .map(
      ({ name }) =>
        `its index ${name} is unique without the partition key: over several nodes nothing keeps it unique; drop it, or put ` +
        `"${field}" into it`,
    );
  const unfit = users.filter((index) => isTokenIndex(index, field) && !isWhole(index));
  found.push(
    ...unfit.map(
      ({ name }) =>
        `its index ${name} on the partition key is hidden, partial or has a collation: drop it, a plain one is used instead`,
    ),
  );
  if (users.length + OWN_INDEXES > MOST_INDEXES) {
    found.push(
      `it has ${users.length} indexes: ${OWN_INDEXES} more are needed, and MongoDB allows ${MOST_INDEXES}; drop some`,
    );
  }
  return found;
}

export interface UnsuitableKey {
  readonly _id: unknown;
  /** BSON type of the key, `missing` where there is none. */
  readonly type: string;
}

/** Documents that no partition could hold, a few of them. */
export async function unsuitableKeys(collection: Collection, field: string): Promise<UnsuitableKey[]> {
  const type = { $type: `$${field}` };
  return collection
    .aggregate<UnsuitableKey>([
      { $match: { $expr: { $not: [{ $in: [type, KEY_TYPES] }] } } },
      { $limit: MOST_TOLD },
      { $project: { type } },
    ])
    .toArray();
}

export function describeKeys(field: string, keys: readonly UnsuitableKey[]): string {
  const some = keys.map(({ _id, type }) => `${BSON.EJSON.stringify({ _id }, { relaxed: true })} (${type})`);
  return (
    `documents without a usable value of "${field}" (a string, number, ObjectId, date, boolean, binary or null), ` +
    `${keys.length === MOST_TOLD ? 'some of them' : 'these'}: ${some.join(', ')}; give them one, or remove them`
  );
}
