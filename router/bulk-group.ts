import type { BulkWriteOptions, ClientSession, Collection, Document, WriteError } from 'mongodb';
import { BatchType, MongoBulkWriteError, MongoRuntimeError, MongoServerError } from 'mongodb';
import { DroverError } from '../domain/errors.js';
import { isFenced } from '../store/fenced-collection.js';
import { deleteTogether, wasAborted } from './bulk-deletes.js';
import type { KeyedStatement, Statement } from './bulk-statements.js';
import type { Tally } from './bulk-tally.js';
import { BATCH } from './guarded-delete.js';
import type { KeyspaceHandle } from './keyspaces.js';
import { MAJORITY } from './majority.js';
import { partlyDone, refusedInTheMiddle } from './results.js';
import type { PartitionRoute } from './route-table.js';
import type { Router } from './router.js';
import { partsOf } from './owner-requests.js';
import type { Place } from './same-transaction.js';
import { inSameTransaction } from './same-transaction.js';
import type { DroverSession } from './session.js';
import { changingHands } from './session-transaction.js';

/** Statements in one command: a hand-over waits for it. */
const SENT_AT_ONCE = 1_000;

/** Not sent, or nothing changed, and the owner is or may be another one by now. */
const AGAIN = Symbol('again');

/** All of it, by a fence. */
const REFUSED = Symbol('refused');

/** To be sent one by one, as one of them can't be carried out: nothing of it was done. */
const ALONE = Symbol('alone');

type Unsent = typeof AGAIN | typeof REFUSED | typeof ALONE;

interface Outcome {
  readonly raw: Document;
  readonly errors: readonly WriteError[];
}

export interface BulkSettings {
  readonly ordered: boolean;
  readonly session: DroverSession | undefined;
  /** The driver's own, apart from these. */
  readonly options: BulkWriteOptions;
}

/** Statements of one kind and one partition, each of one document whose key it names, as few commands; deletes as few transactions. */
export class BulkGroups {
  constructor(
    private readonly router: Router,
    private readonly keyspace: KeyspaceHandle,
    private readonly settings: BulkSettings,
    private readonly tally: Tally,
    private readonly single: (statement: Statement) => Promise<void>,
  ) {}

  /**
   * What a fence has refused was not written: only that is sent again, to the owner of that moment. A command whose outcome is
   * unknown is repeated in the same transaction.
   *
   * @throws what is no refusal of a statement: what was done before is counted
   */
  async send(route: PartitionRoute, statements: readonly KeyedStatement[]): Promise<void> {
    const { ordered, session } = this.settings;
    let deadline = this.router.deadline();
    let rest = statements;
    while (rest.length > 0) {
      const sent = this.next(route, rest);
      const outcome = await this.attempt(route, sent);
      if (outcome === ALONE) {
        for (const each of sent) if (!ordered || !this.tally.hasFailed) await this.single(each);
        if (ordered && this.tally.hasFailed) return;
        rest = without(rest, sent);
        continue;
      }
      if (outcome === AGAIN || outcome === REFUSED) {
        if (performance.now() > deadline) throw this.router.timedOut(route);
        if (outcome === REFUSED) await this.router.refused(route);
        continue;
      }
      const mayRepeat = session?.inTransaction() !== true && performance.now() < deadline;
      const refused = outcome.errors.filter((error) => mayRepeat && isFenced(error));
      const failed = outcome.errors.filter((error) => !refused.includes(error));
      for (const error of failed) this.tally.fail(sent[error.index]!, error);
      const left = new Set(refused.map(({ index }) => sent[index]!));
      // Behind the first error nothing was tried.
      if (ordered && outcome.errors.length > 0)
        sent.slice(outcome.errors[0]!.index + 1).forEach((each) => left.add(each));
      if (ordered && failed.length > 0) return;
      if (left.size < sent.length) deadline = this.router.deadline();
      rest = without(
        rest,
        sent.filter((statement) => !left.has(statement)),
      );
      if (refused.length > 0) await this.router.refused(route);
    }
  }

  /**
   * Those that one node can be sent now: no update may go to a node that does not own its key, as one that changes nothing there
   * is not seen by its fence. What is changing hands keeps nothing else waiting, but for what comes behind it in order.
   */
  private next(route: PartitionRoute, rest: readonly KeyedStatement[]): readonly KeyedStatement[] {
    const { ordered } = this.settings;
    const free = ordered ? undefined : rest.find(({ token }) => route.writeOwner(token) !== null);
    const node = route.writeOwner((free ?? rest[0]!).token);
    const isThere = ({ token }: KeyedStatement) => route.writeOwner(token) === node;
    const end = rest.findIndex((statement) => !isThere(statement));
    const there = ordered ? rest.slice(0, end < 0 ? rest.length : end) : rest.filter(isThere);
    return there.slice(0, isDelete(rest) ? BATCH : SENT_AT_ONCE);
  }

  private async attempt(route: PartitionRoute, sent: readonly KeyedStatement[]): Promise<Outcome | Unsent> {
    const crowd = isDelete(sent) ? 'transactions' : 'requests';
    const { router, keyspace, tally } = this;
    const tokens = sent.map(({ token }) => token);
    const perform = (place: Place) => this.write(place, route, sent);
    const { session } = this.settings;
    try {
      const request = { perform, session, crowd, written: isDelete(sent) ? undefined : sent.map(storedBy) } as const;
      const outcome = await router.writeMany(keyspace, route, tokens, request);
      if (typeof outcome !== 'symbol') tally.count(sent, this.done(sent, outcome), outcome.raw);
      return outcome;
    } catch (error) {
      if (!(error instanceof MongoBulkWriteError)) throw error;
      const errors = [error.writeErrors].flat();
      const raw = error.result.getRawResponse();
      // What is no answer to a statement says nothing of most of them.
      const done = errors.length > 0 ? this.done(sent, { raw, errors }) : sent.slice(0, Number(raw['nInserted'] ?? 0));
      tally.count(sent, done, raw);
      for (const each of errors) tally.fail(sent[each.index]!, each);
      throw error;
    }
  }

  private async write(place: Place, route: PartitionRoute, sent: readonly KeyedStatement[]): Promise<Outcome | Unsent> {
    const { router } = this;
    // From here on its tokens stay where they are, and until here the route may have changed.
    const owners = new Set(sent.map(({ token }) => route.readOwner(token)));
    if (owners.size > 1) return AGAIN;
    const known = [{ route, epoch: route.epoch }];
    const lease = router.leaseNumber();
    const outcome = await (isDelete(sent) ? this.deleted(place, sent) : this.outcome(place, sent));
    if (typeof outcome === 'symbol') return outcome;
    const changed = this.changedBy(outcome);
    // A fence has seen all that was changed; that something was as wanted, or not there, rests on the lease.
    if (changed === this.done(sent, outcome).length) return outcome;
    if (lease !== undefined && router.leaseNumber() === lease) return outcome;
    try {
      if (await router.areConfirmed(known, place.deadline)) return outcome;
    } catch (error) {
      throw changed > 0 && error instanceof DroverError ? partlyDone(error) : error;
    }
    if (place.session?.inTransaction()) throw changingHands(route);
    if (changed === 0) return AGAIN;
    throw refusedInTheMiddle('bulkWrite');
  }

  private async outcome(place: Place, sent: readonly KeyedStatement[]): Promise<Outcome> {
    try {
      const result = await inSameTransaction(place, (session) => this.command(place.collection, session, sent));
      return { raw: result.getRawResponse(), errors: [] };
    } catch (error) {
      if (!(error instanceof MongoBulkWriteError)) throw error;
      const errors = [error.writeErrors].flat();
      // An error ends the transaction that it happens in. Without one of a statement nothing is known that another attempt could settle.
      if (errors.length === 0 || place.session?.inTransaction()) throw error;
      return { raw: error.result.getRawResponse(), errors };
    }
  }

  /** In a transaction: when one of them can't be carried out, nothing is done, and it comes out one by one which it was. */
  private async deleted(place: Place, sent: readonly KeyedStatement[]): Promise<Outcome | Unsent> {
    const statements = sent.map(({ op }) => op);
    try {
      return { raw: { nRemoved: await deleteTogether(place, statements, this.settings.options) }, errors: [] };
    } catch (error) {
      if (partsOf(error).some(isFenced)) return REFUSED;
      const isAnswer = error instanceof MongoServerError || error instanceof MongoRuntimeError;
      if (!isAnswer || !wasAborted(error)) throw error;
      return ALONE;
    }
  }

  private command(collection: Collection, session: ClientSession, sent: readonly KeyedStatement[]) {
    const { ordered, options } = this.settings;
    const bulk = ordered
      ? collection.initializeOrderedBulkOp(options)
      : collection.initializeUnorderedBulkOp({ ...options, ordered });
    for (const { kind, op } of sent) bulk.addToOperationsList(kind, op);
    return bulk.execute({ session, writeConcern: MAJORITY });
  }

  /** Those that were applied. */
  private done(sent: readonly KeyedStatement[], { errors }: Outcome): readonly KeyedStatement[] {
    if (errors.length === 0) return sent;
    if (this.settings.ordered) return sent.slice(0, errors[0]!.index);
    const refused = new Set(errors.map(({ index }) => index));
    return sent.filter((_, index) => !refused.has(index));
  }

  /** How many statements have changed something. */
  private changedBy({ raw }: Outcome): number {
    const { nInserted = 0, nModified = 0, nRemoved = 0, upserted = [] } = raw;
    return Number(nInserted) + Number(nModified) + Number(nRemoved) + (upserted as unknown[]).length;
  }
}

/** What an insert or an update sends to be stored. */
const storedBy = ({ kind, op }: Statement): unknown => (kind === BatchType.INSERT ? op : (op['u'] as unknown));

const isDelete = ([first]: readonly Statement[]): boolean => first!.kind === BatchType.DELETE;

function without(rest: readonly KeyedStatement[], done: readonly KeyedStatement[]): readonly KeyedStatement[] {
  const gone = new Set(done);
  return rest.filter((statement) => !gone.has(statement));
}
