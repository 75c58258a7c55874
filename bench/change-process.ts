import type { AnyBulkWriteOperation, Document } from 'mongodb';
import { random } from '../examples/random.js';
import { connect } from '../store/connect.js';
import { changes } from './changes.js';
import { arrivals, OpenLoop } from './open-loop.js';

export interface ChangeSettings {
  readonly uri: string;
  readonly database: string;
  readonly collection: string;
  readonly documents: number;
  /** Writes per second. */
  readonly rate: number;
  readonly seconds: number;
  readonly seed: number;
}

/** Writes at a rate, as a process of its own. @returns how many writes were acknowledged */
async function write({ uri, database, collection, documents, rate, seconds, seed }: ChangeSettings): Promise<number> {
  const client = await connect(uri, 'source');
  const target = client.db(database).collection(collection);
  const stream = changes(documents, seed);
  let acknowledged = 0;
  const loop = new OpenLoop(arrivals(rate, random(seed)), async () => {
    await one(stream.next().value);
    acknowledged++;
  });
  async function one(change: AnyBulkWriteOperation<Document>): Promise<void> {
    if ('insertOne' in change) await target.insertOne(change.insertOne.document);
    else if ('updateOne' in change) await target.updateOne(change.updateOne.filter, change.updateOne.update);
    else if ('replaceOne' in change) await target.replaceOne(change.replaceOne.filter, change.replaceOne.replacement);
    else if ('deleteOne' in change) await target.deleteOne(change.deleteOne.filter);
  }
  await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
  await loop.stop();
  await client.close();
  return acknowledged;
}

process.once('message', (settings: ChangeSettings) => {
  write(settings)
    .then((acknowledged) => process.send!(acknowledged))
    .catch((error: unknown) => {
      console.error(error);
      process.exitCode = 1;
    })
    .finally(() => process.disconnect());
});
