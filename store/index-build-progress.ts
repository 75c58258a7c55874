import type { Document, MongoClient } from 'mongodb';

export interface IndexBuildProgress {
  /** What the server counts while it builds: documents read, then keys written. */
  readonly done: number;
  readonly inAll: number;
}

/** The one level at which the server tells of operations. */
const LOCAL = { readConcern: { level: 'local' } } as const;

/** How far the builds under way in a collection are, taken together; undefined where there is none, or it is not told. */
export async function indexBuildProgress(
  client: MongoClient,
  database: string,
  collection: string,
): Promise<IndexBuildProgress | undefined> {
  const under = { 'command.createIndexes': collection, 'command.$db': database, 'progress.total': { $gt: 0 } };
  const builds = await client
    .db('admin')
    .aggregate<{ progress: Document }>([{ $currentOp: { allUsers: true } }, { $match: under }], LOCAL)
    .toArray();
  if (builds.length === 0) return undefined;
  const sum = (what: 'done' | 'total') => builds.reduce((all, { progress }) => all + Number(progress[what]), 0);
  return { done: Math.min(sum('done'), sum('total')), inAll: sum('total') };
}
