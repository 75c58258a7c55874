import type { MongoClient } from 'mongodb';

export interface BatchInput {
  readonly source: string;
  readonly target: string;
  readonly database: string;
  readonly collection: string;
  /** Id of the document behind which the batch begins; null at the beginning. */
  readonly after: string | null;
}

const BATCH = 1_000;

/** The step of the baseline's workflow. */
export function createBatchActivities(nodes: Readonly<Record<string, MongoClient>>) {
  return {
    copyBatch: async ({ source, target, database, collection, after }: BatchInput) => {
      const from = nodes[source]!.db(database).collection<{ _id: string }>(collection);
      const filter = after === null ? {} : { _id: { $gt: after } };
      const documents = await from.find(filter, { sort: { _id: 1 }, limit: BATCH }).toArray();
      if (documents.length > 0)
        await nodes[target]!.db(`plain-${database}`)
          .collection(collection)
          .insertMany(documents as never[]);
      const last = documents.length < BATCH ? null : documents.at(-1)!._id;
      return { documents: documents.length, last };
    },
  };
}

export type BatchActivities = ReturnType<typeof createBatchActivities>;
