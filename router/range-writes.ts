import type { Collection, Document } from 'mongodb';
import type { Origin } from '../domain/access.js';
import { DroverError } from '../domain/errors.js';
import { grouped } from '../domain/grouped.js';
import type { NodeName } from '../domain/partition.js';
import { collectionOn, sidesOf, tokensOf } from '../domain/partition.js';
import type { Interval } from '../domain/token.js';
import { contains, subtract } from '../domain/token.js';
import { isFenced } from '../store/fenced-collection.js';
import type { NodePool } from '../store/node-pool.js';
import type { AccessRecorder } from './access-recorder.js';
import { allEnded } from './all-ended.js';
import type { Entrance } from './entrance.js';
import type { HeldRequests } from './held-requests.js';
import type { KeyspaceHandle } from './keyspaces.js';
import type { Unit } from './pieces.js';
import { restrictionOf } from './pieces.js';
import { partlyDone, refusedInTheMiddle } from './results.js';
import type { RouteFeed } from './route-feed.js';
import type { KnownRoute, PartitionRoute } from './route-table.js';
import type { Place } from './same-transaction.js';
import { atOnce } from './scatter.js';
import type { DroverSession } from './session.js';
import { changingHands } from './session-transaction.js';

const AGAIN = Symbol('again');

/** What these writes need of the router. */
interface Requests {
  readonly held: HeldRequests;
  deadline(): number;
  timedOut(route: PartitionRoute): DroverError;
  areConfirmed(known: readonly KnownRoute[], deadline: number): Promise<boolean>;
  ofTransaction(error: unknown, routes: readonly PartitionRoute[]): Promise<unknown>;
  originOf(session: DroverSession | undefined): Origin;
  userOf(session: DroverSession | undefined): number | undefined;
}

/** Tokens of a partition that a write has still to reach. */
interface Range {
  readonly route: PartitionRoute;
  readonly tokens: Interval;
}

/** What was sent to a node in one command. */
interface Sent {
  readonly keyspace: KeyspaceHandle;
  readonly node: NodeName;
  readonly ranges: readonly Range[];
  /** By `performance.now()`. */
  readonly startedAt: number;
  readonly failed: boolean;
}

export interface RangeWrite<T> {
  /** Of a part. `restriction`: what it may change there, if that is not everything that matches. */
  readonly perform: (place: Place, restriction: Document | undefined) => Promise<T>;
  /** Whether a part may be sent again. */
  readonly changedNothing: (result: T) => boolean;
  readonly session: DroverSession | undefined;
  /** What it sends to be stored. */
  readonly written: unknown;
}

/**
 * Writes of more than one key: part by part, each at the node that owns it at that moment. As long as it takes its tokens stay
 * where they are; those that are changing hands are waited for. Each part is sent once.
 */
export class RangeWrites {
  constructor(
    private readonly router: Requests,
    private readonly nodes: NodePool,
    private readonly entrance: Entrance,
    private readonly feed: RouteFeed,
    private readonly recorder: AccessRecorder,
  ) {}

  /**
   * @returns the results of all parts
   * @throws DroverError `TimedOut` when a hand-over does not end in time; what the driver throws, when some may have been changed
   */
  async write<T>(keyspace: KeyspaceHandle, units: readonly Unit[], given: RangeWrite<T>): Promise<T[]> {
    const { session } = given;
    const done = { some: false };
    const changedNothing = (result: T): boolean => {
      const nothing = given.changedNothing(result);
      if (!nothing) done.some = true;
      return nothing;
    };
    const request = { ...given, changedNothing };
    if (session !== undefined) await session.ready();
    const user = this.router.userOf(session);
    for (const { wanted } of units) this.recorder.entities?.useAll(user, keyspace.name, wanted);
    if (session?.inTransaction() === true) {
      // All of them, before any of it is done.
      const routes = units.flatMap((unit) => unit.routes);
      session.join(units.flatMap(ownersOf), routes);
    }
    try {
      const parts = await allEnded(units, atOnce(session), (unit, stopped) =>
        session?.inTransaction() === true
          ? this.inTransaction(keyspace, unit, session, request)
          : this.inParts(keyspace, unit, stopped, request),
      );
      return parts.flat();
    } catch (error) {
      // Such an error says that nothing was changed, which is true of its part only.
      throw done.some && error instanceof DroverError ? partlyDone(error) : error;
    }
  }

  private async inParts<T>(
    keyspace: KeyspaceHandle,
    unit: Unit,
    stopped: () => boolean,
    request: RangeWrite<T>,
  ): Promise<T[]> {
    const { session } = request;
    const results: T[] = [];
    let rest = rangesOf(unit);
    let deadline = this.router.deadline();
    while (rest.length > 0 && !stopped()) {
      const next = rest.map(freeAt).find((free) => free !== undefined);
      if (next === undefined) {
        await this.nextChange(rest[0]!, deadline);
        continue;
      }
      const { node } = next;
      const { client, leave } = await this.entrance.comeIn(node, deadline);
      const claimed = claim(rest, next);
      try {
        if (claimed.length === 0) continue;
        const routes = claimed.map(({ route }) => route);
        const sentAt = performance.now();
        const place = (collection: Collection): Place => ({
          client,
          collection,
          session: session?.at(client, routes),
          deadline,
        });
        const result = await this.part(keyspace, unit, node, claimed, place, request);
        session?.wrote(node, sentAt);
        if (result === AGAIN) continue;
        results.push(result);
        rest = rest.flatMap((range) => without(range, claimed));
        deadline = this.router.deadline();
      } finally {
        for (const { route, tokens } of claimed) route.endWrite(tokens);
        leave();
      }
    }
    return results;
  }

  /** @returns `AGAIN` when nothing was changed, and it may be because the part was elsewhere by then */
  private async part<T>(
    keyspace: KeyspaceHandle,
    { wanted }: Unit,
    node: string,
    claimed: readonly Range[],
    placeOf: (collection: Collection) => Place,
    write: RangeWrite<T>,
  ): Promise<T | typeof AGAIN> {
    const isUnbroken = this.lease();
    const known = claimed.map(({ route }) => ({ route, epoch: route.epoch }));
    const place = placeOf(known[0]!.route.collection(keyspace.database, node, this.nodes.peek(node)!));
    const tokens = claimed.map((range) => range.tokens);
    const { restriction } = restrictionOf(keyspace.field, known[0]!.route, node, tokens, wanted);
    const startedAt = performance.now();
    let failed = true;
    try {
      const result = await write.perform(place, restriction);
      failed = false;
      const nothing = write.changedNothing(result);
      if (isUnbroken() || (await this.router.areConfirmed(known, place.deadline))) return result;
      if (nothing) return AGAIN;
      throw refusedInTheMiddle();
    } catch (error) {
      if (!isFenced(error)) throw error;
      await Promise.all(known.map(({ route }) => this.feed.refresh(route.partition)));
      throw refusedInTheMiddle();
    } finally {
      this.count({ keyspace, node, ranges: claimed, startedAt, failed }, write);
    }
  }

  private async inTransaction<T>(
    keyspace: KeyspaceHandle,
    unit: Unit,
    session: DroverSession,
    write: RangeWrite<T>,
  ): Promise<T[]> {
    const results: T[] = [];
    const held = rangesOf(unit).map((range) => ({
      ...range,
      node: isWhole(range) ? session.holdAll(range.route) : session.hold(range.route, range.tokens.low),
    }));
    const isUnbroken = this.lease();
    const known = unit.routes.map((route) => ({ route, epoch: route.epoch }));
    for (const ranges of grouped(held, ({ route, node }) => collectionOn(route.partition, node)).values()) {
      const { node, route } = ranges[0]!;
      const client = this.nodes.peek(node) ?? (await this.nodes.get(node));
      const collection = route.collection(keyspace.database, node, client);
      const tokens = ranges.map((range) => range.tokens);
      const { restriction } = restrictionOf(keyspace.field, route, node, tokens, unit.wanted);
      const place = { client, collection, session: session.at(client, unit.routes), deadline: this.router.deadline() };
      const startedAt = performance.now();
      let failed = true;
      try {
        results.push(await write.perform(place, restriction));
        failed = false;
      } catch (error) {
        throw await this.router.ofTransaction(error, unit.routes);
      } finally {
        this.count({ keyspace, node, ranges, startedAt, failed }, write);
      }
    }
    // Whatever was changed: more of it may be elsewhere.
    if (!isUnbroken() && !(await this.router.areConfirmed(known, this.router.deadline()))) {
      throw changingHands(unit.routes[0]!);
    }
    return results;
  }

  /** A write of each range, and an even part of what was sent. */
  private count<T>(
    { keyspace: { name: keyspace }, node, ranges, startedAt, failed }: Sent,
    { session, written }: RangeWrite<T>,
  ): void {
    const origin = this.router.originOf(session);
    const ms = performance.now() - startedAt;
    const bytes = this.recorder.bytesOf(written) / ranges.length;
    for (const { route } of ranges) {
      const { name: partition } = route.partition;
      this.recorder.count(origin, keyspace, partition, node, undefined, 'writes', ms, failed);
      if (bytes > 0) this.recorder.addBytes({ origin, keyspace, partition, node }, 'written', bytes);
    }
  }

  /** As long as the lease holds, nobody takes over what is claimed. @returns whether it has held all the time since */
  private lease(): () => boolean {
    const held = this.feed.leaseValid();
    const { leaseNumber } = this.feed;
    return () => held && this.feed.leaseValid() && this.feed.leaseNumber === leaseNumber;
  }

  private async nextChange({ route }: Range, deadline: number): Promise<void> {
    if (performance.now() > deadline) throw this.router.timedOut(route);
    await this.router.held.nextChange(route, deadline);
  }
}

const ownersOf = ({ routes, wanted }: Unit): NodeName[] =>
  routes.flatMap((route) => {
    const { partition } = route;
    if (wanted === 'all') return sidesOf(partition).map(({ node }) => node);
    return wanted.filter((token) => contains(tokensOf(partition), token)).map((token) => route.readOwner(token));
  });

/** Of more keys than that, all of their partitions are kept where they are. */
const MOST_TOKENS = 16;

/** What a unit's write has to reach: single tokens, where only a few are wanted. */
function rangesOf({ routes, wanted }: Unit): Range[] {
  return routes.flatMap((route) => {
    const tokens = tokensOf(route.partition);
    if (wanted === 'all' || wanted.length > MOST_TOKENS) return [{ route, tokens }];
    return wanted
      .filter((token) => contains(tokens, token))
      .map((token) => ({ route, tokens: { low: token, high: token + 1n } }));
  });
}

const isWhole = ({ route, tokens }: Range): boolean => tokens === tokensOf(route.partition);

/** A collection at a node. */
interface Collected {
  readonly node: NodeName;
  readonly collection: string;
}

/** Where some of the range may be written now. */
function freeAt({ route, tokens }: Range): Collected | undefined {
  const free = sidesOf(route.partition).find(({ node }) => route.freeAt(node, tokens).length > 0);
  return free && { node: free.node, collection: collectionOn(route.partition, free.node) };
}

/** All that may be written there now: partitions that share a collection at one node have one each at another. */
const claim = (ranges: readonly Range[], { node, collection }: Collected): Range[] =>
  ranges
    .filter(({ route }) => collectionOn(route.partition, node) === collection)
    .flatMap(({ route, tokens }) => route.beginWriteOf(tokens, node).map((each) => ({ route, tokens: each })));

const without = ({ route, tokens }: Range, claimed: readonly Range[]): Range[] =>
  claimed
    .filter((done) => done.route === route)
    .reduce<Interval[]>((left, done) => subtract(left, done.tokens), [tokens])
    .map((each) => ({ route, tokens: each }));
