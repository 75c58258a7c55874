import type { Binary, Document, MongoClient } from 'mongodb';

/** A transaction that is open on a node; it holds locks that a `collMod` has to wait for, and plain writes behind it. */
export interface OpenTransaction {
  readonly session: { readonly id: Binary; readonly uid: Binary };
  /** Of the client that runs it. */
  readonly appName: string;
  readonly openMs: number;
}

/** Transactions open for longer than `longerThanMs`, those of clients that are idle or gone included. */
export async function openTransactions(client: MongoClient, longerThanMs: number): Promise<OpenTransaction[]> {
  const found = await client
    .db('admin')
    .aggregate(
      [
        { $currentOp: { allUsers: true, idleSessions: true } },
        { $match: { 'transaction.timeOpenMicros': { $gt: longerThanMs * 1_000 } } },
        { $project: { lsid: 1, appName: 1, micros: '$transaction.timeOpenMicros' } },
      ],
      { readConcern: { level: 'local' } },
    )
    .toArray();
  return found.map(({ lsid, appName, micros }) => ({
    session: lsid as OpenTransaction['session'],
    appName: (appName as string | undefined) ?? '',
    openMs: Number(micros) / 1_000,
  }));
}

/** Ends transactions; their clients, if they are still there, see a transient error and begin again. */
export async function endTransactions(client: MongoClient, transactions: readonly OpenTransaction[]): Promise<void> {
  if (transactions.length === 0) return;
  const patterns: Document[] = transactions.map(({ session }) => ({ lsid: session }));
  await client.db('admin').command({ killAllSessionsByPattern: patterns });
}
