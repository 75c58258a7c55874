import type { ClientSession, TransactionOptions } from 'mongodb';
import { MongoErrorLabel, MongoTransactionError } from 'mongodb';
import type { NodeName } from '../domain/partition.js';
import { sidesOf, tokensOf } from '../domain/partition.js';
import type { Token } from '../domain/token.js';
import type { Claim, PartitionRoute } from './route-table.js';

/** The server ends a transaction after so long. */
const TRANSACTION_LIFE_MS = 60_000;

/** For the application, or `withTransaction`, to begin again. */
export function changingHands(route: PartitionRoute): MongoTransactionError {
  const error = new MongoTransactionError(`a key of ${route.partition.id} is changing hands: repeat the transaction`);
  error.addErrorLabel(MongoErrorLabel.TransientTransactionError);
  return error;
}

const oneNode = (why: string) => new MongoTransactionError(`all requests of a transaction must go to one node: ${why}`);

/** A transaction under way: where it runs, and the tokens that may not change hands before its end. */
export class SessionTransaction {
  /** The server has given it up: nothing of it may be done any more. */
  expired = false;
  node: NodeName | undefined;
  session: ClientSession | undefined;
  /** Earlier than its first request was sent, by `performance.now()`: it sees what its node had then. */
  begunAt = Infinity;
  private readonly held = new Map<PartitionRoute, Map<Token, Token[]>>();
  private readonly ranges: { readonly route: PartitionRoute; readonly claim: Claim }[] = [];
  private readonly timer: NodeJS.Timeout;

  constructor(
    readonly options: TransactionOptions,
    onExpired: () => void,
  ) {
    this.timer = setTimeout(onExpired, TRANSACTION_LIFE_MS);
    this.timer.unref();
  }

  /** A request that concerns all of these nodes. @throws MongoTransactionError when they are not one, or it runs elsewhere */
  join(nodes: readonly NodeName[], routes: readonly PartitionRoute[]): void {
    for (const route of routes) this.checkUnchanged(route);
    const other = nodes.find((node) => node !== (this.node ?? nodes[0]));
    if (other !== undefined) {
      throw oneNode(
        this.node === undefined
          ? `this one begins with a request that concerns "${nodes[0]}" and "${other}"`
          : `this one runs on "${this.node}", but the request concerns "${other}", too`,
      );
    }
    const node = this.node ?? nodes[0];
    if (node === undefined) return;
    this.begin(node);
  }

  /** Counts the token among the writes under way. @returns the node that owns it, or `null` while it is fenced */
  hold(route: PartitionRoute, token: Token): NodeName | null {
    let tokens = this.held.get(route);
    // Another owner: the lease had run out, and the key was not waited for.
    if (tokens?.has(token)) return route.readOwner(token) === this.node ? this.node : null;
    this.checkUnchanged(route);
    const entry = [token];
    const owner = route.beginWrite(entry);
    if (owner === null) return null;
    if (this.node !== undefined && owner !== this.node) {
      route.endWrite(entry);
      throw oneNode(`this one runs on "${this.node}", the key belongs to "${owner}"`);
    }
    this.begin(owner);
    if (tokens === undefined) this.held.set(route, (tokens = new Map()));
    tokens.set(token, entry);
    return owner;
  }

  /** All of a partition stays where it is. @returns whether it can: not while a part of it is fenced */
  holdAll(route: PartitionRoute): boolean {
    const sides = sidesOf(route.partition);
    this.join(
      sides.map(({ node }) => node),
      [route],
    );
    if (route.partition.route.fence !== null) return false;
    for (const claim of route.beginWriteOf(tokensOf(route.partition), this.node!)) this.ranges.push({ route, claim });
    return true;
  }

  release(): void {
    clearTimeout(this.timer);
    for (const { route, claim } of this.ranges.splice(0)) route.endWrite(claim);
    for (const [route, tokens] of this.held) for (const entry of tokens.values()) route.endWrite(entry);
    this.held.clear();
  }

  private begin(node: NodeName): void {
    if (this.node !== undefined) return;
    this.node = node;
    this.begunAt = performance.now();
  }

  /** What came to its node since, the transaction sees in part, or not at all. @throws MongoTransactionError, transient */
  private checkUnchanged(route: PartitionRoute): void {
    if (route.changedAt >= this.begunAt) throw changingHands(route);
  }
}
