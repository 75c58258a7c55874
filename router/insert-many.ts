import type { BulkWriteOptions, Document, InsertManyResult, WriteError } from 'mongodb';
import { MongoBulkWriteError, MongoInvalidArgumentError, ObjectId } from 'mongodb';
import type { Token } from '../domain/token.js';
import { isFenced } from '../store/fenced-collection.js';
import { tokenOfKey } from '../store/key-token.js';
import { MAJORITY } from './majority.js';
import { keyOfDocument } from './requests.js';
import type { PartitionRoute } from './route-table.js';
import type { KeyspaceHandle } from './keyspaces.js';
import type { Router } from './router.js';
import { inSameTransaction } from './same-transaction.js';
import type { Routed } from './session.js';

interface Item {
  readonly index: number;
  readonly document: Document;
  readonly token: Token;
}

/**
 * `insertMany` over several partitions. Ordered: runs of neighbours that go to one partition, one after the other, up to
 * the first error. Unordered: all partitions at once. Documents refused by a fence were not stored, and only these are
 * sent again.
 *
 * A batch whose outcome is unknown is repeated in the same transaction. The driver splits what is beyond the server's limits
 * (100,000 documents, 48 MB) into several; with these an unknown outcome of a later one is thrown.
 */
export async function insertByPartition(
  router: Router,
  keyspace: KeyspaceHandle,
  documents: readonly Document[],
  { session: ours, ...options }: Routed<BulkWriteOptions> = {},
): Promise<InsertManyResult> {
  if (documents.length === 0) throw new MongoInvalidArgumentError('Invalid BulkOperation, Batch cannot be empty');
  const items = documents.map((document, index): Item => {
    document['_id'] ??= new ObjectId();
    return { index, document, token: tokenOfKey(keyOfDocument(document, keyspace.field)) };
  });
  const ordered = options.ordered ?? true;
  const errors: WriteError[] = [];
  let failure: MongoBulkWriteError | undefined;
  let insertedCount = 0;
  const deadline = router.deadline();

  const send = async (route: PartitionRoute, batch: readonly Item[]): Promise<void> => {
    let rest = batch;
    while (rest.length > 0) {
      const sent = rest;
      const outcome = await router.writeMany(
        keyspace,
        route,
        sent.map(({ token }) => token),
        async (place) => {
          try {
            const { insertedCount: count } = await inSameTransaction(place, (session) =>
              place.collection.insertMany(
                sent.map(({ document }) => document),
                { ...options, session, ordered, writeConcern: MAJORITY },
              ),
            );
            return { count, errors: [] as WriteError[] };
          } catch (error) {
            if (!(error instanceof MongoBulkWriteError)) throw error;
            failure ??= error;
            const list = [error.writeErrors].flat();
            // An error ends the transaction that it happens in.
            if (ours?.inTransaction()) throw error;
            // Stored, but not by a majority in time: nothing that another attempt could settle.
            if (list.length === 0) throw error;
            return { count: error.result.insertedCount, errors: list };
          }
        },
        ours,
      );
      insertedCount += outcome.count;
      const inTime = performance.now() < deadline;
      const fenced = outcome.errors.filter((error) => inTime && isFenced(error));
      const positions = fenced.map((error) => error.index);
      for (const error of outcome.errors) {
        if (fenced.includes(error)) continue;
        // The position in the caller's list, not in the batch.
        error.err.index = sent[error.index]!.index;
        errors.push(error);
      }
      if (fenced.length === 0) return;
      // Ordered: nothing behind the first error was tried.
      rest = ordered ? sent.slice(positions[0]) : positions.map((position) => sent[position]!);
      await router.refused(route);
    }
  };

  if (ordered) {
    for (const [route, run] of runs(router, keyspace, items)) {
      await send(route, run);
      if (errors.length > 0) break;
    }
  } else {
    const groups = new Map<PartitionRoute, Item[]>();
    for (const item of items) {
      const route = router.routeOf(keyspace, item.token);
      const group = groups.get(route);
      if (group === undefined) groups.set(route, [item]);
      else group.push(item);
    }
    // A session takes one request at a time.
    if (ours !== undefined) for (const [route, group] of groups) await send(route, group);
    else await Promise.all([...groups].map(([route, group]) => send(route, group)));
  }

  const ids = items.map(({ index, document }) => ({ index, _id: document['_id'] as ObjectId }));
  if (errors.length > 0) throw bulkError(failure!, errors, ids, insertedCount, ordered);
  return {
    acknowledged: true,
    insertedCount,
    insertedIds: Object.fromEntries(ids.map(({ index, _id }) => [index, _id])),
  };
}

/** One error for the whole call, in the driver's own class and with its own result. */
function bulkError(
  failure: MongoBulkWriteError,
  errors: WriteError[],
  insertedIds: readonly { index: number; _id: ObjectId }[],
  nInserted: number,
  ordered: boolean,
): MongoBulkWriteError {
  errors.sort((a, b) => a.index - b.index);
  const Result = failure.result.constructor as new (raw: Document, ordered: boolean) => MongoBulkWriteError['result'];
  const raw = { ...failure.result.getRawResponse(), writeErrors: errors, insertedIds, nInserted };
  const { code, errmsg } = errors[0]!;
  return new MongoBulkWriteError(
    { message: errmsg ?? failure.message, code, writeErrors: errors },
    new Result(raw, ordered),
  );
}

function* runs(router: Router, keyspace: KeyspaceHandle, items: readonly Item[]): Generator<[PartitionRoute, Item[]]> {
  let run: Item[] = [];
  let current: PartitionRoute | undefined;
  for (const item of items) {
    const route = router.routeOf(keyspace, item.token);
    if (current !== undefined && route !== current) {
      yield [current, run];
      run = [];
    }
    current = route;
    run.push(item);
  }
  if (current !== undefined) yield [current, run];
}
