import type { MongoClientOptions } from 'mongodb';
import { MongoClient } from 'mongodb';
import { DroverError, messageOf } from '../domain/errors.js';

/**
 * Connects to a MongoDB deployment with what Drover relies on: majority writes and reads from the primary.
 *
 * @param what how an error message calls it, such as `node "eu-1"`; the address is never named, it may hold a password
 * @throws DroverError `Unavailable` when no primary answers in time, `InvalidConfiguration` for a malformed address
 */
export async function connect(uri: string, what: string, options: MongoClientOptions = {}): Promise<MongoClient> {
  let client: MongoClient;
  try {
    client = new MongoClient(uri, {
      appName: 'drover',
      writeConcern: { w: 'majority' },
      readConcern: { level: 'majority' },
      readPreference: 'primary',
      serverSelectionTimeoutMS: 5_000,
      ...options,
    });
  } catch (error) {
    throw new DroverError('InvalidConfiguration', `the address of ${what} is not a MongoDB connection string`, {
      cause: error instanceof Error ? error.name : undefined,
    });
  }
  try {
    await client.connect();
    await client.db('admin').command({ ping: 1 });
    return client;
  } catch (error) {
    await client.close();
    const reason = messageOf(error);
    throw new DroverError('Unavailable', `${what} can't be reached: ${reason}`);
  }
}
