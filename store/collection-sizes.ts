import type { Collection, Db } from 'mongodb';
import { MongoServerError } from 'mongodb';
import { inTime } from './in-time.js';

export interface CollectionSize {
  readonly documents: number;
  /** Uncompressed size of the documents. */
  readonly bytes: number;
  /** As the server stores them, with their indexes; absent where it does not tell. */
  readonly bytesOnDisk?: number;
}

/** Requests for sizes that are under way on one node at a time. */
const CONCURRENCY = 8;
/** A server that has been silent so often is given up, */
const MOST_SILENT = 4;
/** which it is when it has not answered by then, though it should have refused before. */
const [REFUSED_MS, SILENT_MS] = [2_500, 3_000] as const;

/** A few numbers from the collection's metadata: cheap, whatever its size; after a crash of the node they may be off. */
export async function collectionSize(collection: Collection): Promise<CollectionSize> {
  const [stats] = await collection
    .aggregate<{ documents: number; bytes: number; bytesOnDisk?: number }>(
      [
        { $collStats: { storageStats: {} } },
        {
          $project: {
            _id: 0,
            documents: '$storageStats.count',
            bytes: '$storageStats.size',
            bytesOnDisk: '$storageStats.totalSize',
          },
        },
      ],
      { readConcern: { level: 'local' }, maxTimeMS: REFUSED_MS },
    )
    .toArray();
  const { documents, bytes, bytesOnDisk } = stats!;
  return {
    documents: Number(documents),
    bytes: Number(bytes),
    ...(bytesOnDisk === undefined ? {} : { bytesOnDisk: Number(bytesOnDisk) }),
  };
}

export interface SizesRequest {
  /** Name of the node, for what it could not tell. */
  readonly node: string;
  readonly db: Db;
  readonly names: readonly string[];
  /** What is not known by then stays unknown. */
  readonly signal?: AbortSignal;
}

export interface CollectionSizes {
  /** By name, without those that are unknown. */
  readonly sizes: ReadonlyMap<string, CollectionSize>;
  /** Of the first that is unknown. */
  readonly failure?: unknown;
}

/** Sizes of collections of a node. One that can't be told is no reason for not asking about the others; a node that goes on being silent is. */
export async function collectionSizes({ node, db, names, signal }: SizesRequest): Promise<CollectionSizes> {
  const sizes = new Map<string, CollectionSize>();
  const waiting = [...names];
  let failure: unknown;
  let silent = 0;
  const work = async () => {
    for (let name = waiting.pop(); name !== undefined && signal?.aborted !== true; name = waiting.pop()) {
      try {
        sizes.set(name, await inTime(node, collectionSize(db.collection(name)), SILENT_MS));
      } catch (error) {
        failure ??= error;
        if (!(error instanceof MongoServerError)) silent += 1;
        if (silent >= MOST_SILENT) waiting.length = 0;
      }
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, work));
  if (signal?.aborted === true) failure ??= signal.reason;
  return { sizes, ...(failure === undefined ? {} : { failure }) };
}
