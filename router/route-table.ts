import type { Collection, Document, MongoClient } from 'mongodb';
import type { Partition } from '../domain/partition.js';
import { collectionOn, readOwner, sidesOf, tokensOf, writeOwner } from '../domain/partition.js';
import type { Interval, Token } from '../domain/token.js';
import { contains, intersection, isEmpty, overlaps, subtract } from '../domain/token.js';
import { OpenReads } from './open-reads.js';

/** What a write under way may change: documents of some tokens, or all of an interval. */
export type Claim = readonly Token[] | Interval;

const isWithin = (claim: Claim, interval: Interval): boolean =>
  'low' in claim ? overlaps(claim, interval) : claim.some((token) => contains(interval, token));

/** One partition as this router knows it, with the requests it has under way there. */
export class PartitionRoute {
  readonly reads = new OpenReads();
  /** When the route changed last, by `performance.now()`; never, for one that was read when it had changed. */
  changedAt = -Infinity;
  /** The driver's handles, which are made once: their settings don't change. */
  private readonly collections = new Map<MongoClient, Collection>();
  private readonly writes = new Set<Claim>();
  private readonly changed = new Set<() => void>();
  private readonly drains = new Set<{ readonly writes: Set<Claim>; readonly done: () => void }>();

  constructor(public partition: Partition) {}

  get epoch(): number {
    return this.partition.epoch;
  }

  /** Where the partition is at a node. */
  collection(database: string, node: string, client: MongoClient): Collection {
    const name = collectionOn(this.partition, node);
    let collection = this.collections.get(client);
    if (collection?.collectionName !== name) {
      collection = client.db(database).collection<Document>(name);
      this.collections.set(client, collection);
    }
    return collection;
  }

  writeOwner(token: Token): string | null {
    return writeOwner(this.partition, token);
  }

  readOwner(token: Token): string {
    return readOwner(this.partition, token);
  }

  /** Takes a newer route over. @returns whether it was newer */
  update(partition: Partition): boolean {
    // The step record changes without the route (attempts): equal epochs are taken, too, but wake nobody.
    if (partition.epoch < this.partition.epoch) return false;
    const newer = partition.epoch > this.partition.epoch;
    this.partition = partition;
    if (newer) this.changedAt = performance.now();
    if (newer) for (const wake of [...this.changed]) wake();
    return newer;
  }

  /** Ends with the next change of the route, or at the deadline (milliseconds of `performance.now()`). */
  nextChange(deadline: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.changed.delete(done);
        resolve();
      };
      const timer = setTimeout(done, Math.max(0, deadline - performance.now()));
      this.changed.add(done);
    });
  }

  /**
   * Begins a write where its tokens may be written now, or says with `null` that it has to wait. The look at the route and the entry
   * among the writes under way are one step: a fence that comes later waits for the write.
   */
  beginWrite(tokens: Token[]): string | null {
    const owner = this.ownerOfAll(tokens);
    if (owner !== null) this.writes.add(tokens);
    return owner;
  }

  /** Where a write of these tokens goes now, or `null` while it has to wait. */
  ownerOfAll(tokens: readonly Token[]): string | null {
    const owners = tokens.map((token) => this.writeOwner(token));
    // Documents of one call may belong to both sides: the node refuses those that it does not own.
    return owners.includes(null) ? null : owners[0]!;
  }

  /**
   * Begins a write of all that may be written of an interval at one node now: that the interval is looked up and entered is one
   * step, as with single tokens.
   */
  beginWriteOf(interval: Interval, node: string): Interval[] {
    const claims = this.freeAt(node, interval);
    for (const claim of claims) this.writes.add(claim);
    return claims;
  }

  /** What may be written of an interval at a node now. */
  freeAt(node: string, interval: Interval): Interval[] {
    const { fence } = this.partition.route;
    const owned = sidesOf(this.partition).filter((side) => side.node === node);
    const common = owned.map(({ tokens }) => intersection(tokens, interval));
    return (fence === null ? common : subtract(common, fence)).filter((each) => !isEmpty(each));
  }

  endWrite(claim: Claim): void {
    this.writes.delete(claim);
    for (const drain of this.drains) {
      if (!drain.writes.delete(claim) || drain.writes.size > 0) continue;
      this.drains.delete(drain);
      drain.done();
    }
  }

  /** Ends when none of the writes under way concerns the interval; later ones see the route of this moment. */
  async drain(interval: Interval): Promise<void> {
    const concerned = [...this.writes].filter((claim) => isWithin(claim, interval));
    if (concerned.length === 0) return;
    await new Promise<void>((done) => this.drains.add({ writes: new Set(concerned), done }));
  }
}

/** Partitions of one keyspace, ordered by their low token. */
class KeyspaceRoutes {
  private readonly lows: BigInt64Array;

  constructor(readonly routes: readonly PartitionRoute[]) {
    this.lows = BigInt64Array.from(routes.map((route) => tokensOf(route.partition).low));
  }

  find(token: Token): PartitionRoute | undefined {
    let low = 0;
    let high = this.lows.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.lows[middle]! <= token) low = middle + 1;
      else high = middle;
    }
    const route = this.routes[low - 1];
    return route !== undefined && contains(tokensOf(route.partition), token) ? route : undefined;
  }
}

/** Every route of the cluster, looked up by binary search. */
export class RouteTable {
  private readonly byId = new Map<string, PartitionRoute>();
  private readonly byKeyspace = new Map<string, KeyspaceRoutes>();

  route(id: string): PartitionRoute | undefined {
    return this.byId.get(id);
  }

  has(keyspace: string): boolean {
    return this.byKeyspace.has(keyspace);
  }

  find(keyspace: string, token: Token): PartitionRoute | undefined {
    return this.byKeyspace.get(keyspace)?.find(token);
  }

  /** All of a keyspace, in the order of their tokens. */
  all(keyspace: string): readonly PartitionRoute[] {
    return this.byKeyspace.get(keyspace)?.routes ?? [];
  }

  /**
   * Takes partitions over, known and new ones. A keyspace that was released and made again may have other partitions: where
   * two overlap the one with the lower epoch goes.
   *
   * @returns those whose route was new here
   */
  load(partitions: readonly Partition[]): Partition[] {
    const grown = new Set<string>();
    const taken = partitions.filter((partition) => {
      const known = this.byId.get(partition.id);
      if (known !== undefined) {
        const before = tokensOf(known.partition);
        const isNewer = known.update(partition);
        const after = tokensOf(known.partition);
        if (before.low !== after.low || before.high !== after.high) grown.add(partition.keyspace);
        return isNewer;
      }
      this.byId.set(partition.id, new PartitionRoute(partition));
      grown.add(partition.keyspace);
      return true;
    });
    for (const keyspace of grown) {
      const routes = [...this.byId.values()]
        .filter((route) => route.partition.keyspace === keyspace)
        .sort((a, b) => (tokensOf(a.partition).low < tokensOf(b.partition).low ? -1 : 1));
      this.byKeyspace.set(keyspace, new KeyspaceRoutes(this.newest(routes)));
    }
    return taken;
  }

  /** @param routes in the order of their low tokens */
  private newest(routes: readonly PartitionRoute[]): PartitionRoute[] {
    const kept: PartitionRoute[] = [];
    for (const route of routes) {
      const overlapping = (other: PartitionRoute | undefined) =>
        other !== undefined && overlaps(tokensOf(other.partition), tokensOf(route.partition));
      while (overlapping(kept.at(-1)) && kept.at(-1)!.epoch < route.epoch) this.byId.delete(kept.pop()!.partition.id);
      if (overlapping(kept.at(-1))) this.byId.delete(route.partition.id);
      else kept.push(route);
    }
    return kept;
  }
}
