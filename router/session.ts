import type { ClientSession, MongoClient, TransactionOptions } from 'mongodb';
import { MongoCompatibilityError, MongoErrorLabel, MongoTransactionError } from 'mongodb';
import type { NodeName } from '../domain/partition.js';
import type { Token } from '../domain/token.js';
import { MAJORITY } from './majority.js';
import { NodeSessions } from './node-sessions.js';
import { ownReadConcern } from './own-read-concern.js';
import type { NearestReads } from './reading.js';
import type { PartitionRoute } from './route-table.js';
import { changingHands, SessionTransaction } from './session-transaction.js';
import { labelled, pause } from './transaction.js';

/** The driver's options of a request, with this client's session in place of the driver's. */
export type Routed<O> = Omit<O, 'session'> & { readonly session?: DroverSession | undefined };

/** Options of a read, with those of this client. */
export type Readable<O> = Routed<O> & {
  /** Overrides what the session, the collection or the client says; `false`: from the owner. */
  readonly nearest?: NearestReads | false | undefined;
};

/** As the driver's own `withTransaction`. */
const REPEAT_FOR_MS = 120_000;

/**
 * A session over several nodes: the driver's own session at each of them, opened when it is first needed. It is causally consistent,
 * also across hand-overs, unless `causalConsistency` is false. A transaction runs at one node, that of its first request; until its
 * end none of its keys changes hands. With `snapshot` all reads go to one node.
 *
 * @example
 * const session = client.startSession();
 * await session.withTransaction(async () => {
 *   await orders.insertOne({ customerId: 'c42', total: 10 }, { session });
 *   await customers.updateOne({ customerId: 'c42' }, { $inc: { orders: 1 } }, { session });
 * });
 * await session.endSession();
 */
export class DroverSession extends NodeSessions implements AsyncDisposable {
  private transaction: SessionTransaction | undefined;
  private committing = false;

  override inTransaction(): boolean {
    return this.transaction !== undefined && !this.committing;
  }

  /** @throws MongoTransactionError when one is under way */
  startTransaction(options: TransactionOptions = {}): void {
    this.checkOpen();
    if (this.snapshotEnabled) {
      throw new MongoCompatibilityError('Transactions are not supported in snapshot sessions');
    }
    if (this.inTransaction()) throw new MongoTransactionError('Transaction already in progress');
    this.end();
    const transaction = new SessionTransaction(options, () => void this.expire(transaction));
    this.transaction = transaction;
  }

  /** May be called again when the outcome is unknown (label `UnknownTransactionCommitResult`). */
  async commitTransaction(): Promise<void> {
    const { transaction } = this;
    if (transaction === undefined) throw new MongoTransactionError('No transaction started');
    this.checkAlive();
    this.committing = true;
    try {
      await transaction.session?.commitTransaction();
      if (transaction.session !== undefined) this.wrote(transaction.node!, transaction.begunAt);
      this.end();
    } catch (error) {
      // Until it is known, the keys stay where they are.
      if (!labelled(error, MongoErrorLabel.UnknownTransactionCommitResult)) this.end();
      throw error;
    }
  }

  async abortTransaction(): Promise<void> {
    const { transaction } = this;
    if (transaction === undefined) throw new MongoTransactionError('No transaction started');
    try {
      if (transaction.session?.inTransaction()) await transaction.session.abortTransaction();
    } finally {
      this.end();
    }
  }

  /** Runs `fn` in a transaction, again when a repetition may help, and commits. */
  async withTransaction<T>(fn: (session: this) => Promise<T>, options?: TransactionOptions): Promise<T> {
    const deadline = performance.now() + REPEAT_FOR_MS;
    for (;;) {
      this.startTransaction(options);
      try {
        const result = await fn(this);
        if (this.inTransaction()) await this.commitKnown(deadline);
        return result;
      } catch (error) {
        if (this.inTransaction()) await this.abortTransaction();
        this.end();
        if (!labelled(error, MongoErrorLabel.TransientTransactionError) || performance.now() > deadline) throw error;
      }
      await pause();
    }
  }

  /** Ends a transaction under way without effect. */
  async endSession(): Promise<void> {
    if (this.inTransaction()) await this.abortTransaction();
    this.end();
    await this.endAll();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.endSession();
  }

  /** Joins a token to the transaction. For the router. @returns its node */
  hold(route: PartitionRoute, token: Token): string {
    this.checkAlive();
    const owner = this.transaction!.hold(route, token);
    if (owner !== null) return owner;
    throw changingHands(route);
  }

  /** Joins all of a partition to the transaction. For the router. @returns its node */
  holdAll(route: PartitionRoute): string {
    this.checkAlive();
    if (!this.transaction!.holdAll(route)) throw changingHands(route);
    return this.transaction!.node!;
  }

  /** A read of more than one key in the transaction, which sees one moment: nothing has to stay where it is. For the router. */
  join(nodes: readonly NodeName[], routes: readonly PartitionRoute[]): void {
    this.checkAlive();
    this.transaction!.join(nodes, routes);
  }

  /** The driver's session at a node, in the transaction if there is one, for a request that concerns partitions. For the router. */
  override at(client: MongoClient, routes: readonly PartitionRoute[]): ClientSession {
    this.checkAlive();
    const session = this.sessionAt(client, routes);
    const { transaction } = this;
    if (transaction !== undefined && !this.committing && transaction.session === undefined) {
      transaction.session = session;
      session.startTransaction({
        ...ownReadConcern(client.options.readConcern),
        ...this.defaultTransactionOptions,
        ...transaction.options,
        writeConcern: MAJORITY,
        readPreference: 'primary',
      });
    }
    return session;
  }

  private async commitKnown(deadline: number): Promise<void> {
    for (;;) {
      try {
        await this.commitTransaction();
        return;
      } catch (error) {
        const unknown = labelled(error, MongoErrorLabel.UnknownTransactionCommitResult);
        if (!unknown || performance.now() > deadline) throw error;
      }
      await pause();
    }
  }

  /** The server has given it up by now, or is about to: nothing waits for it any more. */
  private async expire(transaction: SessionTransaction): Promise<void> {
    transaction.expired = true;
    const { session } = transaction;
    if (session?.inTransaction()) await session.abortTransaction().catch(() => undefined);
    transaction.release();
  }

  private end(): void {
    this.transaction?.release();
    this.transaction = undefined;
    this.committing = false;
  }

  private checkAlive(): void {
    if (this.transaction?.expired !== true || this.committing) return;
    const error = new MongoTransactionError('the transaction took longer than 60 s and was aborted: repeat it');
    error.addErrorLabel(MongoErrorLabel.TransientTransactionError);
    throw error;
  }
}
