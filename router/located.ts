import type { Document, Filter, FindOptions } from 'mongodb';
import { MongoInvalidArgumentError } from 'mongodb';
import { definedOf } from '../domain/defined.js';
import type { Token } from '../domain/token.js';
import { DroverError } from '../domain/errors.js';
import { tokenOfKey, tokenOfRaw } from '../store/key-token.js';
import { filterOf } from '../store/part.js';
import { decode, fieldAt, idOf } from '../store/raw-bson.js';
import { DroverFindCursor } from './find-cursor.js';
import type { KeyspaceHandle } from './keyspaces.js';
import type { Router } from './router.js';
import type { Routed } from './session.js';
import { pause } from './transaction.js';
import type { Wanted } from './wanted.js';
import { isCollated, keyToInsert, wantedBy } from './wanted.js';

/** Options of a write of one document that say which one is meant. */
export interface Choice extends Pick<FindOptions, 'collation' | 'hint' | 'let' | 'comment' | 'maxTimeMS'> {
  readonly sort?: FindOptions['sort'];
  readonly upsert?: boolean;
}

/** Where a write goes, and the filter by which it finds its document there. */
export interface Located {
  readonly token: Token;
  readonly filter: Filter<Document>;
  /** Whether anything matched when it was looked for. */
  readonly exists: boolean;
}

/** Matches no document. */
const NOTHING = { _id: { $in: [] } };

/** A write of one document. */
export interface LocatedWrite<T, TSchema extends Document = Document> {
  /** Its name, for errors. */
  readonly operation: string;
  readonly filter: Filter<TSchema>;
  readonly options: Routed<Choice>;
  readonly write: (located: Located) => Promise<T>;
  /** Whether it has met its document. */
  readonly found: (result: T) => boolean;
}

/**
 * Sends a write of one document to the owner of its key. Where the filter does not name one key, the document is found first,
 * and then written by its key and its `_id` as long as it still matches; if another request was faster, the next one is found.
 *
 * @throws MongoInvalidArgumentError for an upsert that does not name the key
 */
export function writeLocated<T>(router: Router, keyspace: KeyspaceHandle, request: LocatedWrite<T>): Promise<T> {
  const { operation, filter, options, write } = request;
  const collated = isCollated(options.collation);
  if (options.upsert === true) {
    return write({ token: tokenOfUpsert(operation, filter, keyspace.field, collated), filter, exists: true });
  }
  const wanted = wantedBy(filter, keyspace.field, collated);
  if (wanted !== 'all' && wanted.length === 1) return write({ token: wanted[0], filter, exists: true });
  return writeFound(router, keyspace, wanted, request);
}

async function writeFound<T>(
  router: Router,
  keyspace: KeyspaceHandle,
  wanted: Wanted,
  { operation, filter, options, write, found }: LocatedWrite<T>,
): Promise<T> {
  const collated = isCollated(options.collation);
  const deadline = router.deadline();
  for (;;) {
    const known = router.routesOf(keyspace, wanted);
    const document = await findFirst(router, keyspace, filter, options);
    if (document !== undefined) {
      const result = await write(locatedAt(document, keyspace.field, filter, collated));
      if (found(result)) return result;
      if (performance.now() > deadline) throw alwaysTooLate(operation);
      // Others want the same document: not all at once again.
      await pause();
    } else if (await router.areConfirmed(known, deadline)) {
      // The server looks whether the request makes sense, and says what it is to do with nothing.
      return write({ token: 0n, filter: { $and: [NOTHING, filter] }, exists: false });
    }
  }
}

/**
 * Where an upsert's document is, or would be: the server takes its key from the filter.
 *
 * @throws MongoInvalidArgumentError when the filter does not name it by equality
 */
export function tokenOfUpsert(operation: string, filter: unknown, keyField: string, collated: boolean): Token {
  const key = keyToInsert(filter, keyField);
  if (key !== undefined && !(collated && typeof key === 'string')) return tokenOfKey(key);
  throw new MongoInvalidArgumentError(
    `${operation} that may insert needs one value of the partition key in its filter, such as ` +
      `{ ${JSON.stringify(keyField)}: ... }, compared by equality and without a collation`,
  );
}

const alwaysTooLate = (operation: string): DroverError =>
  new DroverError(
    'TimedOut',
    `other requests were always faster than this ${operation}, which looks its documents up: name the partition key in its filter`,
  );

async function findFirst(
  router: Router,
  keyspace: KeyspaceHandle,
  filter: Filter<Document>,
  { session, collation, hint, let: variables, comment, maxTimeMS, sort }: Routed<Choice>,
): Promise<Uint8Array | undefined> {
  const given = definedOf({ session, collation, hint, let: variables, comment, maxTimeMS, sort });
  const [document] = await idsAndKeys(router, keyspace, filter, given, 1);
  return document;
}

/** The first documents that match, as the primaries have them at this moment: with all that is needed to write them. */
export function idsAndKeys(
  { scatter }: Router,
  { name, field }: KeyspaceHandle,
  filter: Filter<Document>,
  options: Routed<FindOptions>,
  limit: number,
): Promise<Uint8Array[]> {
  const settings: Routed<FindOptions> = {
    ...options,
    projection: idAndKey(field),
    limit,
    raw: true,
    ...(options.session?.inTransaction() === true ? {} : { readConcern: 'local', readPreference: 'primary' }),
  };
  return new DroverFindCursor<Uint8Array>(scatter, name, filter, settings, false).toArray();
}

const idAndKey = (keyField: string): Document => (isWithinId(keyField) ? { _id: 1 } : { _id: 1, [keyField]: 1 });

const isWithinId = (keyField: string): boolean => keyField === '_id' || keyField.startsWith('_id.');

function locatedAt(document: Uint8Array, keyField: string, filter: Filter<Document>, collated: boolean): Located {
  const key = fieldAt(document, keyField);
  const token = tokenOfRaw(key);
  const exact: Document[] = [{ _id: { $eq: decode(idOf(document)) } }];
  if (!isWithinId(keyField)) exact.push({ [keyField]: { $eq: key === undefined ? null : decode(key) } });
  // Another text may be equal to the key by the collation; its token is not.
  if (collated) exact.push(filterOf({ keyField, tokens: { low: token, high: token + 1n } }));
  return { token, filter: { $and: [...exact, filter] }, exists: true };
}
