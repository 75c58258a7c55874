import type { Collection, FindOptions, MongoClient, ReadConcernLevel } from 'mongodb';

/**
 * The driver writes a session's times into the read concern that it finds, which is shared by all requests when it is that of the
 * client or of a collection: others would wait for these times. So what is done in a session has a read concern of its own.
 */
export function ownReadConcern(shared: FindOptions['readConcern']): {
  readonly readConcern?: { level: ReadConcernLevel };
} {
  const level = typeof shared === 'string' ? shared : shared?.level;
  return level === undefined ? {} : { readConcern: { level: level as ReadConcernLevel } };
}

/** A collection as reads in a session need it. */
export const ownHandle = (client: MongoClient, shared: Collection, isSnapshot = false): Collection =>
  client.db(shared.dbName).collection(
    shared.collectionName,
    // A level of the client's would be in the place of the snapshot's.
    isSnapshot ? { readConcern: { level: 'snapshot' } } : ownReadConcern(shared.readConcern),
  );
