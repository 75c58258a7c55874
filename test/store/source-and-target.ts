import type { Collection, Db, Document, MongoClient } from 'mongodb';
import { TOKEN_END, TOKEN_MIN } from '../../domain/token.js';
import { operationTime } from '../../store/change-log.js';
import { Checkpoint } from '../../store/checkpoint.js';
import type { FollowerOptions } from '../../store/follower.js';
import { follow } from '../../store/follower.js';
import { createFenced } from './fences.js';

let databases = 0;

/** A collection `orders`, empty, on two servers, as in a move `m` of all tokens: nothing but replication may write to the copy. */
export async function sourceAndTarget([from, to]: readonly MongoClient[]): Promise<{
  database: string;
  source: Db;
  target: Db;
  orders: Collection<Document>;
  copy: Collection<Document>;
}> {
  const database = `shop${databases++}`;
  const [source, target] = [from!.db(database), to!.db(database)];
  await source.createCollection('orders');
  await createFenced(target, 'orders', 'customerId', []);
  const startAt = await operationTime(source);
  await new Checkpoint(target, 'm', 'forward').create({ low: TOKEN_MIN, high: TOKEN_END }, startAt);
  return { database, source, target, orders: source.collection('orders'), copy: target.collection('orders') };
}

/** Replication of the move, until `signal` is given. */
export const followed = (
  [from, to]: readonly MongoClient[],
  database: string,
  signal: AbortSignal,
  options: Partial<Pick<FollowerOptions, 'throttle' | 'onProgress'>> = {},
): Promise<void> =>
  follow({
    migration: 'm',
    direction: 'forward',
    origin: from!,
    destination: to!,
    database,
    collection: 'orders',
    keyField: 'customerId',
    signal,
    onProgress: () => undefined,
    ...options,
  });

/** What is stored, in the order of `_id`. */
export async function storedBytes(collection: Collection<Document>): Promise<string[]> {
  const raw = (await collection.find({}, { raw: true, sort: { _id: 1 } }).toArray()) as unknown as Buffer[];
  return raw.map((document) => Buffer.from(document).toString('base64'));
}
