import type { Db } from 'mongodb';
import { Long } from 'mongodb';
import type { Token } from '../domain/token.js';
import { tokenFromBson, tokenToBson } from './codec.js';
import type { RecordPosition } from './raw-documents.js';

/** A document's place in natural order: a position means nothing on another member, or when the document is gone. */
export interface RecordPlace {
  readonly _id: unknown;
  readonly record: RecordPosition;
  /** Of the replica set, which was read. */
  readonly member: string;
}

/** A place in the order of tokens, which means the same on every member. */
export interface TokenPlace {
  readonly token: ReturnType<typeof tokenToBson>;
}

export type CopyPlace = RecordPlace | TokenPlace;

export const tokenPlace = (token: Token): TokenPlace => ({ token: tokenToBson(token) });

export const tokenAt = (place: CopyPlace): Token | undefined =>
  'token' in place ? tokenFromBson(place.token) : undefined;

/** The member that is read now: another one may have its records in another order. */
export const memberOf = async (db: Db): Promise<string> => (await db.command({ hello: 1 }))['me'] as string;

/** Where to go on behind a place, or undefined when it is not what it was. */
export async function goOnBehind(
  db: Db,
  collection: string,
  member: string,
  place: CopyPlace,
): Promise<RecordPosition | undefined> {
  if ('token' in place || place.member !== member) return undefined;
  const options = { projection: { _id: 1 }, showRecordId: true, promoteLongs: false };
  const found = await db.collection(collection).findOne({ _id: { $eq: place._id as never } }, options);
  if (found === null) return undefined;
  const $recordId = Long.fromValue(found['$recordId'] as Long | number);
  return $recordId.equals(place.record.$recordId) ? { $recordId } : undefined;
}
