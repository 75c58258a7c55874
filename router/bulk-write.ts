import type { BulkWriteOptions, BulkWriteResult, DeleteResult, Document, UpdateResult } from 'mongodb';
import {
  BatchType,
  MongoErrorLabel,
  MongoInvalidArgumentError,
  MongoServerError,
  MongoWriteConcernError,
} from 'mongodb';
import pMap from 'p-map';
import { grouped } from '../domain/grouped.js';
import { BulkGroups } from './bulk-group.js';
import type { KeyedStatement, Statement } from './bulk-statements.js';
import { addressed, isKeyed, isReplacement, runsOf } from './bulk-statements.js';
import { Tally } from './bulk-tally.js';
import type { KeyspaceHandle } from './keyspaces.js';
import type { PartitionRoute } from './route-table.js';
import type { Router } from './router.js';
import { atOnce } from './scatter.js';
import type { DroverSession, Routed } from './session.js';
import { labelled } from './transaction.js';

/** The methods of a collection for writes by themselves. */
export interface SingleWrites {
  updateOne(filter: Document, update: Document, options: Document): Promise<UpdateResult<Document>>;
  updateMany(filter: Document, update: Document, options: Document): Promise<UpdateResult<Document>>;
  replaceOne(filter: Document, replacement: Document, options: Document): Promise<UpdateResult<Document>>;
  deleteOne(filter: Document, options: Document): Promise<DeleteResult>;
  deleteMany(filter: Document, options: Document): Promise<DeleteResult>;
}

/** The order in which the driver sends kinds of statements where any order will do. */
const KINDS = [BatchType.INSERT, BatchType.UPDATE, BatchType.DELETE];

/**
 * A bulk write over partitions. Inserts, and updates, replacements and deletes of one document by its key, are sent together where
 * they are of one kind and partition: ordered as long as they are neighbours, unordered all of them, several partitions at
 * once. Each other statement is what the collection's own method of its name does.
 *
 * @throws MongoInvalidArgumentError before anything was sent; later a MongoBulkWriteError, with what has been done until then
 */
export async function bulkWrite(
  router: Router,
  keyspace: KeyspaceHandle,
  collection: SingleWrites,
  given: readonly Statement[],
  ordered: boolean,
  options: Routed<BulkWriteOptions>,
): Promise<BulkWriteResult> {
  if (given.length === 0) throw new MongoInvalidArgumentError('Invalid BulkOperation, Batch cannot be empty');
  await options.session?.ready();
  const statements = given.map((statement) => addressed(statement, keyspace));
  const run = new BulkRun(router, keyspace, collection, ordered, options);
  return ordered ? run.inOrder(statements) : run.inAnyOrder(statements);
}

class BulkRun {
  private readonly tally: Tally;
  private readonly groups: BulkGroups;
  private readonly session: DroverSession | undefined;
  /** What each statement's own options are added to. */
  private readonly common: Document;
  private failure: unknown;

  constructor(
    private readonly router: Router,
    private readonly keyspace: KeyspaceHandle,
    private readonly collection: SingleWrites,
    private readonly ordered: boolean,
    { session, ordered: _ordered, forceServerObjectId: _force, ...options }: Routed<BulkWriteOptions>,
  ) {
    this.tally = new Tally(ordered);
    const single = (statement: Statement) => this.single(statement);
    this.groups = new BulkGroups(router, keyspace, { ordered, session, options }, this.tally, single);
    this.session = session;
    this.common = session === undefined ? options : { ...options, session };
  }

  async inOrder(statements: readonly Statement[]): Promise<BulkWriteResult> {
    const together = (a: Statement, b: Statement) =>
      isKeyed(a) && isKeyed(b) && a.kind === b.kind && this.routeOf(a) === this.routeOf(b);
    for (const run of runsOf(statements, together)) {
      await this.unlessFailed(() => this.send(run));
      if (this.tally.hasFailed) break;
    }
    return this.result();
  }

  async inAnyOrder(statements: readonly Statement[]): Promise<BulkWriteResult> {
    for (const kind of KINDS) {
      const ofKind = statements.filter((statement) => statement.kind === kind);
      // What names no key may concern the same documents as what does.
      const together = (a: Statement, b: Statement) => isKeyed(a) === isKeyed(b);
      for (const run of runsOf(ofKind, together)) await this.sendAll(run);
    }
    return this.result();
  }

  private async sendAll(run: readonly Statement[]): Promise<void> {
    const sends = run.every(isKeyed)
      ? [...grouped(run, ({ token }) => this.router.routeOf(this.keyspace, token)).values()]
      : run.map((statement) => [statement]);
    await pMap(sends, (each) => this.unlessFailed(() => this.send(each)), { concurrency: atOnce(this.session) });
  }

  /** Once something has gone wrong that is no refusal of a statement, or a transaction has ended, nothing more is begun. */
  private async unlessFailed(send: () => Promise<void>): Promise<void> {
    if (this.failure !== undefined || (this.tally.hasFailed && this.session?.inTransaction() === true)) return;
    try {
      await send();
    } catch (error) {
      this.failure ??= error;
    }
  }

  private result(): BulkWriteResult {
    if (this.failure !== undefined || this.tally.hasFailed) throw this.tally.error(this.failure);
    return this.tally.result();
  }

  /** @param run keyed statements of one partition and kind, or any other one alone */
  private send(run: readonly Statement[]): Promise<void> {
    // One delete is a transaction anyway; within the application's transaction an error would end that.
    const isAlone = run[0]!.kind === BatchType.DELETE && (run.length === 1 || this.session?.inTransaction() === true);
    if (isAlone || !run.every(isKeyed)) return this.oneByOne(run);
    this.observe(run);
    return this.groups.send(this.routeOf(run[0]!), run);
  }

  /** Inserts of a run have one shape. */
  private observe(run: readonly KeyedStatement[]): void {
    const { observed } = this.router;
    const { name } = this.keyspace;
    const { session } = this;
    const [{ kind, token }] = run as [KeyedStatement];
    if (kind === BatchType.INSERT) {
      observed.noteAll(name, { operation: 'insert', wanted: [token], session }, run.length);
      return;
    }
    for (const { op, token: own } of run) {
      const operation = kind === BatchType.DELETE ? 'delete' : isReplacement(op['u']) ? 'replace' : 'update';
      const update: unknown = operation === 'update' ? op['u'] : undefined;
      observed.note(name, { operation, filter: op['q'], update, wanted: [own], session });
    }
  }

  private async oneByOne(run: readonly Statement[]): Promise<void> {
    for (const statement of run) {
      await this.single(statement);
      if (this.ordered && this.tally.hasFailed) return;
    }
  }

  private async single(statement: Statement): Promise<void> {
    try {
      const counts = statement.kind === BatchType.DELETE ? await this.remove(statement) : await this.update(statement);
      this.tally.count([statement], [statement], counts);
    } catch (error) {
      const { deletedCount = 0 } = error as { deletedCount?: number };
      this.tally.count([statement], [], { nRemoved: deletedCount });
      if (!isRefusal(error)) throw error;
      this.tally.fail(statement, error);
      // By its labels the application sees that it may repeat its transaction.
      if (this.session?.inTransaction() === true) throw error;
    }
  }

  private async remove({ op: { q, limit, ...own } }: Statement) {
    const options = { ...this.common, ...own };
    const remove = limit === 0 ? this.collection.deleteMany(q, options) : this.collection.deleteOne(q, options);
    return { nRemoved: (await remove).deletedCount };
  }

  private async update({ op: { q, u, multi, ...own } }: Statement) {
    const { collection } = this;
    const options = { ...this.common, ...own };
    const update =
      multi === true
        ? collection.updateMany(q, u, options)
        : isReplacement(u)
          ? collection.replaceOne(q, u, options)
          : collection.updateOne(q, u, options);
    const { matchedCount, modifiedCount, upsertedCount, upsertedId } = await update;
    const upserted = upsertedCount === 0 ? [] : [{ index: 0, _id: upsertedId as unknown }];
    return { nMatched: matchedCount, nModified: modifiedCount, upserted };
  }

  private routeOf({ token }: KeyedStatement): PartitionRoute {
    return this.router.routeOf(this.keyspace, token);
  }
}

/** An answer of the server to this statement, rather than none, or one that says nothing of what was done. */
const isRefusal = (error: unknown): error is MongoServerError =>
  error instanceof MongoServerError &&
  !(error instanceof MongoWriteConcernError) &&
  !labelled(error, MongoErrorLabel.RetryableWriteError) &&
  !labelled(error, MongoErrorLabel.UnknownTransactionCommitResult);
