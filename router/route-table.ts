import type { Collection, Document, MongoClient } from 'mongodb';
import type { NodeName, Partition } from '../domain/partition.js';
import { collectionOn, readOwner, sidesOf, tokensOf, writeOwner } from '../domain/partition.js';
import type { Interval, Token } from '../domain/token.js';
import { contains, intersection, isEmpty, overlaps, subtract } from '../domain/token.js';
import { CompactPartitions } from './compact-partitions.js';
import { KeyspaceRoutes } from './keyspace-routes.js';
import { KnownCollections } from './known-collections.js';
import { OpenReads } from './open-reads.js';

/** What a write under way may change: documents of some tokens, or all of an interval. */
export type Claim = readonly Token[] | Interval;

const nodesOf = ({ route: { source, target } }: Partition): readonly NodeName[] =>
  target === null ? [source] : [source, target];

const isWithin = (claim: Claim, interval: Interval): boolean =>
  'low' in claim ? overlaps(claim, interval) : claim.some((token) => contains(interval, token));

/** What a route has once it has been used. */
class Usage {
  readonly reads = new OpenReads();
  /** The driver's handles, which are made once: their settings don't change. */
  readonly collections = new Map<MongoClient, Collection>();
  readonly writes = new Set<Claim>();
  readonly changed = new Set<() => void>();
  readonly drains = new Set<{ readonly writes: Set<Claim>; readonly done: () => void }>();
}

/** What a route has once it has been used, or has changed; times by `performance.now()`. */
class Apart {
  usage: Usage | undefined;
  /** Never, as long as its epoch is the one that was read first. */
  changedAt = -Infinity;
  /** When an owner got more than it had, where that has happened. */
  gained: Map<NodeName, number> | undefined;
}

/** When some routes were read, by `performance.now()`. */
interface ReadTogether {
  readonly at: number;
}

/**
 * One partition as this router knows it, with the requests it has under way there. There may be a hundred thousand of them, most
 * of which are not in use here: what only some need is kept apart, what all have in common is kept once.
 */
export class PartitionRoute {
  private kept: Apart | undefined;

  constructor(
    public partition: Partition,
    private readonly read: ReadTogether = { at: performance.now() },
  ) {}

  /** When the route changed last, by `performance.now()`; never, for one that was read when it had changed. */
  get changedAt(): number {
    return this.kept?.changedAt ?? -Infinity;
  }

  get reads(): OpenReads {
    return this.usage.reads;
  }

  private get usage(): Usage {
    return (this.apart.usage ??= new Usage());
  }

  private get apart(): Apart {
    return (this.kept ??= new Apart());
  }

  get epoch(): number {
    return this.partition.epoch;
  }

  /** When this router learned that an owner owns more of the partition than before, by `performance.now()`. */
  gainedAt(node: NodeName): number {
    const gained = this.kept?.gained;
    return gained === undefined ? this.read.at : (gained.get(node) ?? -Infinity);
  }

  /** Where the partition is at a node. */
  collection(database: string, node: string, client: MongoClient): Collection {
    const name = collectionOn(this.partition, node);
    const { collections } = this.usage;
    let collection = collections.get(client);
    if (collection?.collectionName !== name) {
      collection = client.db(database).collection<Document>(name);
      collections.set(client, collection);
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
    const before = sidesOf(this.partition);
    this.partition = partition;
    this.noteGains(before);
    if (newer) {
      this.apart.changedAt = performance.now();
      this.wake();
    }
    return newer;
  }

  private noteGains(before: ReturnType<typeof sidesOf>): void {
    for (const { node, tokens } of sidesOf(this.partition)) {
      const had = before.find((side) => side.node === node)?.tokens;
      if (had !== undefined && subtract([tokens], had).length === 0) continue;
      this.apart.gained ??= new Map(before.map((side) => [side.node, this.read.at]));
      this.apart.gained.set(node, performance.now());
    }
  }

  /** Ends every {@link nextChange}. */
  wake(): void {
    for (const wake of [...(this.kept?.usage?.changed ?? [])]) wake();
  }

  /** Ends with the next change of the route, or at the deadline (milliseconds of `performance.now()`). */
  nextChange(deadline: number): Promise<void> {
    const { changed } = this.usage;
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        changed.delete(done);
        resolve();
      };
      const timer = setTimeout(done, Math.max(0, deadline - performance.now()));
      changed.add(done);
    });
  }

  /**
   * Begins a write where its tokens may be written now, or says with `null` that it has to wait. The look at the route and the entry
   * among the writes under way are one step: a fence that comes later waits for the write.
   */
  beginWrite(tokens: Token[]): string | null {
    const owner = this.ownerOfAll(tokens);
    if (owner !== null) this.usage.writes.add(tokens);
    return owner;
  }

  /** Where a write of these tokens goes now, or `null` while it has to wait. */
  ownerOfAll(tokens: readonly Token[]): string | null {
    if (tokens.length === 1) return this.writeOwner(tokens[0]!);
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
    for (const claim of claims) this.usage.writes.add(claim);
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
    const { writes, drains } = this.usage;
    writes.delete(claim);
    if (drains.size === 0) return;
    for (const drain of drains) {
      if (!drain.writes.delete(claim) || drain.writes.size > 0) continue;
      drains.delete(drain);
      drain.done();
    }
  }

  /** Ends when none of the writes under way concerns the interval; later ones see the route of this moment. */
  async drain(interval: Interval): Promise<void> {
    const { writes, drains } = this.usage;
    const concerned = [...writes].filter((claim) => isWithin(claim, interval));
    if (concerned.length === 0) return;
    await new Promise<void>((done) => drains.add({ writes: new Set(concerned), done }));
  }
}

/** A route as a request knew it. */
export interface KnownRoute {
  readonly route: PartitionRoute;
  readonly epoch: number;
}

/** Every route of the cluster, looked up by binary search. */
export class RouteTable {
  private readonly byId = new Map<string, PartitionRoute>();
  private readonly byKeyspace = new Map<string, KeyspaceRoutes<PartitionRoute>>();
  private readonly collections = new Map<string, KnownCollections>();
  private readonly compact = new CompactPartitions();
  private readonly named = new Map<string, Map<NodeName, number>>();

  /** How many partitions there are. */
  get size(): number {
    return this.byId.size;
  }

  /** Nodes of a keyspace's present routes. */
  nodes(keyspace: string): ReadonlySet<NodeName> {
    return new Set(this.all(keyspace).flatMap(({ partition }) => nodesOf(partition)));
  }

  /** Nodes of a keyspace's routes that were read since then, by `performance.now()`, also of those that have changed again. */
  nodesNamedSince(keyspace: string, time: number): NodeName[] {
    return [...(this.named.get(keyspace) ?? [])].filter(([, at]) => at >= time).map(([node]) => node);
  }

  /** Kept up to date from the first call on. */
  collectionsOf(keyspace: string): KnownCollections {
    let collections = this.collections.get(keyspace);
    if (collections === undefined) {
      collections = new KnownCollections(this.all(keyspace).map(({ partition }) => partition));
      this.collections.set(keyspace, collections);
    }
    return collections;
  }

  route(id: string): PartitionRoute | undefined {
    return this.byId.get(id);
  }

  has(keyspace: string): boolean {
    return this.byKeyspace.has(keyspace);
  }

  find(keyspace: string, token: Token): PartitionRoute | undefined {
    return this.byKeyspace.get(keyspace)?.find(token);
  }

  /** All of a keyspace at this moment, in the order of their tokens: not to be kept. */
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
    const placed: PartitionRoute[] = [];
    const read = { at: performance.now() };
    for (const partition of partitions) this.name(partition, read.at);
    const taken = partitions.filter((partition) => {
      const known = this.byId.get(partition.id);
      if (known === undefined) {
        const route = new PartitionRoute(this.compact.of(partition), read);
        this.byId.set(partition.id, route);
        placed.push(route);
        return true;
      }
      const before = tokensOf(known.partition);
      const isNewer = known.update(this.compact.of(partition));
      const after = tokensOf(known.partition);
      if (before.low !== after.low || before.high !== after.high) {
        this.byKeyspace.get(partition.keyspace)?.remove(known, before.low);
        placed.push(known);
      }
      return isNewer;
    });
    // In order each is the last one so far: a first load moves nothing.
    if (placed.length > 1) placed.sort((a, b) => (tokensOf(a.partition).low < tokensOf(b.partition).low ? -1 : 1));
    for (const route of placed) this.place(route);
    for (const partition of taken) this.collections.get(partition.keyspace)?.add(partition);
    return taken;
  }

  private name(partition: Partition, at: number): void {
    let named = this.named.get(partition.keyspace);
    if (named === undefined) this.named.set(partition.keyspace, (named = new Map<NodeName, number>()));
    for (const node of nodesOf(partition)) named.set(node, at);
  }

  private place(route: PartitionRoute): void {
    const { keyspace } = route.partition;
    let routes = this.byKeyspace.get(keyspace);
    if (routes === undefined) this.byKeyspace.set(keyspace, (routes = new KeyspaceRoutes<PartitionRoute>()));
    for (const { partition } of routes.insert(route)) this.byId.delete(partition.id);
  }
}
