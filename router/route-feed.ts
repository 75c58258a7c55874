import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { LEASE_MS, LEASE_RENEW_MS, leaseEnd } from '../domain/lease.js';
import type { Partition } from '../domain/partition.js';
import { tokensOf } from '../domain/partition.js';
import type { Catalog } from '../store/catalog/catalog.js';
import { partitionFromBson } from '../store/codec.js';
import type { Entrance } from './entrance.js';
import type { PartitionRoute, RouteTable } from './route-table.js';

const RECONNECT_MS = 250;
const ACKNOWLEDGE_AGAIN_MS = 2_000;
const TRY_MS = 1_000;
/** So many renewals without an answer, and the catalog is taken to be away. */
const UNANSWERED = 3;

interface Moment {
  readonly now: number;
  readonly date: number;
}

const moment = (): Moment => ({ now: performance.now(), date: Date.now() });

/**
 * Keeps the route table up to date: registers the router, reads all routes, then takes every change as the catalog
 * pushes it, and acknowledges those of partitions that are changing hands.
 *
 * Without the catalog the router goes on with the routes it has; the nodes' fences refuse what is no longer right. What
 * no fence sees rests on the lease: while it is valid, no token has changed hands without this router's acknowledgement.
 */
export class RouteFeed {
  private readonly registration;
  private closed = false;
  private stream: ReturnType<Catalog['partitions']['watch']> | undefined;
  private renewal: NodeJS.Timeout | undefined;
  private reminder: NodeJS.Timeout | undefined;
  /** Epochs of held partitions that were acknowledged. */
  private readonly acknowledged = new Map<string, number>();
  /** Confirmations of routes, by partition. */
  private readonly underWay = new Map<string, Promise<boolean>>();
  private readonly queued = new Map<string, Promise<boolean>>();
  private running: Promise<void> = Promise.resolve();
  /** When the catalog last answered, by `performance.now()`. */
  private answeredAt = -Infinity;
  private changedAt = performance.now();
  /** End of the lease, by `performance.now()`. */
  private leasedUntil = -Infinity;
  /** The same by the computer's clock: the other one stands still on some systems while the computer sleeps. */
  private leasedUntilDate = -Infinity;
  private leases = 0;
  /** Renewals since the catalog last answered one. */
  private unanswered = 0;
  /** One that somebody waits for. */
  private awaited: Promise<void> | undefined;

  constructor(
    readonly id: string,
    private readonly catalog: Catalog,
    private readonly table: RouteTable,
    private readonly entrance: Entrance,
    region: string,
    private readonly onProblem: (problem: string, error: unknown) => void,
  ) {
    this.registration = { _id: this.id, region, host: hostname(), pid: process.pid, startedAt: new Date() };
  }

  async start(): Promise<void> {
    const sentAt = moment();
    // Registered before any route is read: from here on a hand-over waits for this router.
    await this.catalog.routers.register(this.registration);
    this.renewal = setInterval(() => void this.tryToRenew(), LEASE_RENEW_MS);
    this.renewal.unref();
    this.reminder = setInterval(() => {
      this.acknowledgeAgain().catch((error: unknown) => this.onProblem('acknowledging a route again', error));
    }, ACKNOWLEDGE_AGAIN_MS);
    this.reminder.unref();
    await this.open();
    this.holdSince(sentAt);
    this.running = this.follow();
  }

  /** Whether the routes can be relied on at this moment. */
  leaseValid(): boolean {
    return performance.now() < this.leasedUntil && Date.now() < this.leasedUntilDate;
  }

  /**
   * Waits until the lease holds, if need be by one renewal for all who wait.
   *
   * @returns whether it does; false as soon as the catalog is known to be away
   */
  async regained(): Promise<boolean> {
    const deadline = performance.now() + LEASE_MS;
    while (!this.leaseValid()) {
      if (this.closed || this.unanswered >= UNANSWERED || performance.now() > deadline) return false;
      this.awaited ??= this.tryToRenew().finally(() => (this.awaited = undefined));
      await Promise.race([this.awaited, delay(LEASE_RENEW_MS, undefined, { ref: false })]);
    }
    return true;
  }

  private holdSince(sentAt: Moment): void {
    this.leasedUntil = leaseEnd(sentAt.now);
    this.leasedUntilDate = leaseEnd(sentAt.date);
  }

  /** How long ago the catalog answered, and how long a route last was new here, milliseconds. */
  get age(): { readonly answer: number; readonly change: number } {
    const now = performance.now();
    return { answer: now - this.answeredAt, change: now - this.changedAt };
  }

  /** Differs from an earlier one when the lease has run out since: also when it holds again. */
  get leaseNumber(): number {
    return this.leases;
  }

  private async tryToRenew(): Promise<void> {
    try {
      await this.renew();
    } catch (error) {
      this.onProblem('renewing the registration', error);
    }
  }

  private async renew(): Promise<void> {
    const sentAt = moment();
    this.unanswered += 1;
    const registered = await this.catalog.routers.renew(this.id);
    this.unanswered = 0;
    this.answeredAt = performance.now();
    // Tokens may have changed hands meanwhile: the lease counts again only when all routes have been read.
    if (!registered || !this.leaseValid()) await this.registerAgain();
    else if (leaseEnd(sentAt.now) > this.leasedUntil) this.holdSince(sentAt);
  }

  private async registerAgain(): Promise<void> {
    const sentAt = moment();
    // A renewal that succeeds while the routes are still being read must not prolong the old lease.
    this.leasedUntil = -Infinity;
    await this.catalog.routers.register(this.registration);
    const partitions = await this.catalog.partitions.list();
    if (this.table.load(partitions).length > 0) this.changedAt = performance.now();
    // Also routes that were known: their acknowledgement may have been lost with the catalog.
    for (const partition of partitions) if (partition.handover !== null) void this.acknowledge(partition);
    // While the lease was lost nobody has waited for what is read at nodes that have no part in it any more.
    for (const { id, route } of partitions) this.table.route(id)?.reads.giveUpElsewhere([route.source, route.target]);
    this.leases += 1;
    this.holdSince(sentAt);
  }

  /** Reads the routes of a keyspace that was not there before. */
  async reload(keyspace: string): Promise<void> {
    this.take(await this.catalog.partitions.list(keyspace));
  }

  /** Reads one route again; without the catalog it stays as it is. @returns whether it was read */
  async refresh({ keyspace, name }: Partition, level?: 'linearizable'): Promise<boolean> {
    try {
      this.take([await this.catalog.partitions.get(keyspace, name, level)]);
      return true;
    } catch (error) {
      this.onProblem('reading a route again', error);
      return false;
    }
  }

  /**
   * As {@link refresh}, but no primary of the catalog answers that has been replaced and does not know it yet. Those who ask
   * while an answer is under way share the next one: it has to be from after they asked.
   */
  confirm(partition: Partition): Promise<boolean> {
    const { id } = partition;
    const queued = this.queued.get(id) ?? this.confirmAfter(this.underWay.get(id), partition);
    this.queued.set(id, queued);
    return queued;
  }

  private async confirmAfter(before: Promise<boolean> | undefined, partition: Partition): Promise<boolean> {
    await before;
    this.queued.delete(partition.id);
    const answer = this.refresh(partition, 'linearizable');
    this.underWay.set(partition.id, answer);
    try {
      return await answer;
    } finally {
      if (this.underWay.get(partition.id) === answer) this.underWay.delete(partition.id);
    }
  }

  async close(): Promise<void> {
    this.closed = true;
    clearInterval(this.renewal);
    clearInterval(this.reminder);
    await this.stream?.close();
    await this.running;
    await this.catalog.routers.leave(this.id).catch((error: unknown) => this.onProblem('leaving', error));
  }

  private async open(): Promise<void> {
    const { partitions, changes } = await this.catalog.partitions.listAndWatch();
    this.answeredAt = performance.now();
    this.stream = changes;
    this.take(partitions);
  }

  private async follow(): Promise<void> {
    while (!this.closed) {
      try {
        for await (const event of this.stream!) {
          if ('fullDocument' in event && event.fullDocument) this.take([partitionFromBson(event.fullDocument)]);
        }
      } catch (error) {
        if (this.closed) return;
        this.onProblem('following the routes', error);
      }
      await this.reopen();
    }
  }

  private async reopen(): Promise<void> {
    while (!this.closed) {
      try {
        await new Promise((resolve) => setTimeout(resolve, RECONNECT_MS));
        await this.stream?.close();
        await this.open();
        return;
      } catch (error) {
        if (this.closed) return;
        this.onProblem('reading the routes again', error);
      }
    }
  }

  private take(partitions: readonly Partition[]): void {
    const taken = this.table.load(partitions);
    if (taken.length > 0) this.changedAt = performance.now();
    for (const partition of taken) if (partition.handover !== null) void this.acknowledge(partition);
  }

  /** Tells the mover that nothing by an older route is under way here any more. Repeated until a newer route is known. */
  private async acknowledge({ id, epoch, route: { fence, source, target } }: Partition): Promise<void> {
    const route = this.table.route(id)!;
    if (fence === null) await this.tryAsRequest(route, source);
    else await route.drain(fence);
    await route.reads.only([source, target]);
    while (!this.closed && route.epoch === epoch) {
      try {
        await this.catalog.routers.acknowledge(this.id, id, epoch);
        this.acknowledged.set(id, epoch);
        return;
      } catch (error) {
        if (this.closed) return;
        this.onProblem('acknowledging a route', error);
        await new Promise((resolve) => setTimeout(resolve, RECONNECT_MS));
      }
    }
  }

  /**
   * Before a step holds writes up it should be known how long they take as it is: what is under way is waited for, and one more
   * request is queued, within limits.
   */
  private async tryAsRequest(route: PartitionRoute, node: string): Promise<void> {
    const tried = async () => {
      const { leave } = await this.entrance.comeIn(node, performance.now() + TRY_MS);
      leave();
      await route.drain(tokensOf(route.partition));
    };
    const inVain = new Promise<void>((resolve) => setTimeout(resolve, TRY_MS).unref());
    const onProblem = (error: unknown) => this.onProblem(`waiting for a turn at node "${node}"`, error);
    await Promise.race([tried().catch(onProblem), inVain]);
  }

  /** The catalog may lose an acknowledgement when its primary changes: the next step would wait for it in vain. */
  private async acknowledgeAgain(): Promise<void> {
    for (const [id, epoch] of this.acknowledged) {
      const route = this.table.route(id);
      if (route?.epoch !== epoch || route.partition.handover === null) this.acknowledged.delete(id);
      else await this.catalog.routers.acknowledge(this.id, id, epoch);
    }
  }
}
