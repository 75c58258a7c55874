import type { ClientSession, ClientSessionOptions, MongoClient, TransactionOptions } from 'mongodb';
import { MongoErrorLabel, MongoExpiredSessionError, MongoTransactionError } from 'mongodb';
import type { Origin } from '../domain/access.js';
import { sidesOf, tokensOf } from '../domain/partition.js';
import type { Token } from '../domain/token.js';
import { MAJORITY } from './majority.js';
import type { Claim, PartitionRoute } from './route-table.js';
import { labelled, pause } from './transaction.js';

/** The driver's options of a request, with this client's session in place of the driver's. */
export type Routed<O> = Omit<O, 'session'> & { readonly session?: DroverSession | undefined };

/** The server ends a transaction after so long. */
const TRANSACTION_LIFE_MS = 60_000;
/** As the driver's own `withTransaction`. */
const REPEAT_FOR_MS = 120_000;

/** For the application, or `withTransaction`, to begin again. */
export function changingHands(route: PartitionRoute): MongoTransactionError {
  const error = new MongoTransactionError(`a key of ${route.partition.id} is changing hands: repeat the transaction`);
  error.addErrorLabel(MongoErrorLabel.TransientTransactionError);
  return error;
}

/** A transaction under way: where it runs, and the tokens that may not change hands before its end. */
class Transaction {
  /** The server has given it up: nothing of it may be done any more. */
  expired = false;
  node: string | undefined;
  session: ClientSession | undefined;
  private readonly held = new Map<PartitionRoute, Map<Token, Token[]>>();
  private readonly ranges: { readonly route: PartitionRoute; readonly claim: Claim }[] = [];
  private readonly timer: NodeJS.Timeout;
  /** Of its first request: that is the moment of the data that it sees. */
  private begunAt = Infinity;

  constructor(
    readonly options: TransactionOptions,
    onExpired: () => void,
  ) {
    this.timer = setTimeout(onExpired, TRANSACTION_LIFE_MS);
    this.timer.unref();
  }

  /** @throws MongoTransactionError when it runs elsewhere */
  join(node: string): void {
    this.node ??= node;
    if (this.node === node) return;
    throw new MongoTransactionError(
      `all requests of a transaction must go to one node: this one runs on "${this.node}", but the request concerns "${node}", too`,
    );
  }

  /** Counts the token among the writes under way. @returns the node that owns it, or `null` while it is fenced */
  hold(route: PartitionRoute, token: Token): string | null {
    let tokens = this.held.get(route);
    // Another owner: the lease had run out, and the key was not waited for.
    if (tokens?.has(token)) return route.readOwner(token) === this.node ? this.node : null;
    if (this.isOlder(route)) return null;
    const entry = [token];
    const owner = route.beginWrite(entry);
    if (owner === null) return null;
    if (this.node !== undefined && owner !== this.node) {
      route.endWrite(entry);
      throw new MongoTransactionError(
        `all requests of a transaction must go to one node: this one runs on "${this.node}", the key belongs to "${owner}"`,
      );
    }
    this.node = owner;
    if (tokens === undefined) this.held.set(route, (tokens = new Map()));
    tokens.set(token, entry);
    return owner;
  }

  /** All of a partition stays where it is. @returns whether it can: not while a part of it is fenced */
  holdAll(route: PartitionRoute): boolean {
    const sides = sidesOf(route.partition);
    for (const { node } of sides) this.join(node);
    if (route.partition.route.fence !== null || this.isOlder(route)) return false;
    for (const claim of route.beginWriteOf(tokensOf(route.partition), this.node!)) this.ranges.push({ route, claim });
    return true;
  }

  begin(session: ClientSession): void {
    this.session = session;
    this.begunAt = performance.now();
  }

  /** What a node was given after the transaction had begun there, the transaction may not see. */
  isOlder(route: PartitionRoute): boolean {
    return route.changedAt > this.begunAt;
  }

  release(): void {
    clearTimeout(this.timer);
    for (const { route, claim } of this.ranges.splice(0)) route.endWrite(claim);
    for (const [route, tokens] of this.held) for (const entry of tokens.values()) route.endWrite(entry);
    this.held.clear();
  }
}

/**
 * A session over several nodes: the driver's own session at each of them, opened when it is first needed. A transaction runs at
 * one node, that of its first request; until its end none of its keys changes hands.
 *
 * @example
 * const session = client.startSession();
 * await session.withTransaction(async () => {
 *   await orders.insertOne({ customerId: 'c42', total: 10 }, { session });
 *   await customers.updateOne({ customerId: 'c42' }, { $inc: { orders: 1 } }, { session });
 * });
 * await session.endSession();
 */
export class DroverSession implements AsyncDisposable {
  hasEnded = false;
  private readonly sessions = new Map<MongoClient, ClientSession>();
  private transaction: Transaction | undefined;
  private committing = false;

  constructor(
    private readonly options: ClientSessionOptions = {},
    /** Where its requests come from; without one that of the client. */
    readonly origin?: Origin,
  ) {}

  inTransaction(): boolean {
    return this.transaction !== undefined && !this.committing;
  }

  /** @throws MongoTransactionError when one is under way */
  startTransaction(options: TransactionOptions = {}): void {
    this.checkOpen();
    if (this.inTransaction()) throw new MongoTransactionError('Transaction already in progress');
    this.end();
    const transaction = new Transaction(options, () => void this.expire(transaction));
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
    this.hasEnded = true;
    await Promise.all([...this.sessions.values()].map((session) => session.endSession()));
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
  join(node: string, routes: readonly PartitionRoute[]): void {
    this.checkAlive();
    this.transaction!.join(node);
    const older = routes.find((route) => this.transaction!.isOlder(route));
    if (older !== undefined) throw changingHands(older);
  }

  /** The driver's session at a node, in the transaction if there is one. For the router. */
  at(client: MongoClient): ClientSession {
    this.checkOpen();
    this.checkAlive();
    let session = this.sessions.get(client);
    if (session === undefined) this.sessions.set(client, (session = client.startSession(this.options)));
    const { transaction } = this;
    if (transaction !== undefined && !this.committing && transaction.session === undefined) {
      transaction.begin(session);
      session.startTransaction({
        ...this.options.defaultTransactionOptions,
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
  private async expire(transaction: Transaction): Promise<void> {
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

  private checkOpen(): void {
    if (this.hasEnded) throw new MongoExpiredSessionError('Use of expired sessions is not permitted');
  }
}
