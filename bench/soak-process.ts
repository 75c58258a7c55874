import type { MongoClient } from 'mongodb';
import { random } from '../examples/random.js';
import type { DroverCollection } from '../router/index.js';
import { DroverClient } from '../router/index.js';
import type { Router } from '../router/router.js';
import { idleSessions } from '../router/session-pool.js';
import type { NodePool } from '../store/node-pool.js';
import { answering } from './answering.js';
import type { Order } from './orders.js';
import { order } from './orders.js';
import type { Census, FromSoak, SoakSettings, ToSoak } from './soak-messages.js';

/** An application that uses all that a router has, and now and then pauses to look what it still holds. */
const MOST_FAILURES_TOLD = 5;

/** What of the client is looked into. */
interface Inside {
  readonly nodes: NodePool;
  readonly router: Router;
}

class Soak {
  private readonly random = random(11);
  private requests = 0;
  private failed = 0;
  private failures: string[] = [];
  private made = 0;
  private ended = false;
  private pause: Promise<void> | undefined;
  private working = 0;

  private constructor(
    private readonly client: DroverClient,
    private readonly settings: SoakSettings,
  ) {}

  static async start(settings: SoakSettings): Promise<Soak> {
    const { uri, nodes, concurrency } = settings;
    const client = await DroverClient.connect(uri, {
      region: 'us-east',
      ip: '10.1.2.3',
      nodes,
      driver: { maxPoolSize: concurrency },
    });
    const soak = new Soak(client, settings);
    for (let i = 0; i < concurrency; i++) void soak.work();
    return soak;
  }

  async census(): Promise<Census> {
    let goOn!: () => void;
    this.pause = new Promise((resolve) => (goOn = resolve));
    while (this.working > 0) await new Promise((resolve) => setTimeout(resolve, 5));
    try {
      globalThis.gc!();
      return await this.look();
    } finally {
      this.pause = undefined;
      goOn();
    }
  }

  async stop(): Promise<void> {
    this.ended = true;
    await this.census();
    await this.client.close();
  }

  private async look(): Promise<Census> {
    const { nodes, router } = this.client as unknown as Inside;
    const { database, collection } = this.settings;
    const keyspace = await router.keyspaces.get(`${database}.${collection}`);
    const drivers = nodes.names.flatMap((name) => nodes.peek(name) ?? []);
    const sum = (of: (driver: MongoClient) => number) => drivers.reduce((total, driver) => total + of(driver), 0);
    const routes = router.routesOf(keyspace, 'all').map(({ route }) => {
      const { kept } = route as unknown as {
        kept?: { usage: Record<string, { size?: number; reads?: Set<unknown> }> | undefined };
      };
      if (!Object.hasOwn(route, 'kept')) throw new Error('a route keeps what is under way somewhere else by now');
      const { reads, collections: _, ...others } = kept?.usage ?? {};
      return (reads?.reads?.size ?? 0) + Object.values(others).reduce((total, { size = 0 }) => total + size, 0);
    });
    const { heapUsed, rss } = process.memoryUsage();
    const status = this.client.status();
    return {
      requests: this.requests,
      failed: this.failed,
      heapMb: heapUsed / 1_000_000,
      rssMb: rss / 1_000_000,
      listeners: sum((driver) => driver.eventNames().reduce((total, name) => total + driver.listenerCount(name), 0)),
      sessions: sum(idleSessions),
      handles: process.getActiveResourcesInfo().length,
      underWay: routes.reduce((total, size) => total + size, 0),
      waiting: status.heldRequests + status.accessRecords.waiting,
      failures: this.failures.splice(0),
    };
  }

  private async work(): Promise<void> {
    const { database, collection } = this.settings;
    const orders = this.client.db(database).collection<Order>(collection);
    while (!this.ended) {
      this.working += 1;
      try {
        await this.some(orders);
      } catch (error) {
        this.failed += 1;
        if (this.failures.length < MOST_FAILURES_TOLD) this.failures.push(String(error));
      } finally {
        this.working -= 1;
      }
      this.requests += 1;
      await this.pause;
    }
  }

  private async some(orders: DroverCollection<Order>): Promise<void> {
    const { _id, customerId } = order(Math.floor(this.random() * this.settings.documents));
    const kind = Math.floor(this.random() * 12);
    if (kind < 4) {
      await orders.findOne({ _id, customerId });
    } else if (kind < 7) {
      await orders.updateOne({ _id, customerId }, { $inc: { seq: 1 } });
    } else if (kind === 7) {
      const mine = { ...order(0), _id: `s${process.pid}-${this.made++}`, customerId };
      await orders.insertOne(mine);
      await orders.deleteOne({ _id: mine._id, customerId });
    } else if (kind === 8) {
      await orders.insertOne({ ...order(0), _id, customerId }).catch((error: { code?: number }) => {
        if (error.code !== 11_000) throw error as Error;
      });
    } else if (kind === 9) {
      // Begun and not read to its end.
      await using cursor = orders.find({}, { batchSize: 5 }).sort({ _id: 1 });
      await cursor.next();
    } else if (kind === 10) {
      await orders.updateOne({ _id }, { $inc: { seq: 1 } });
    } else {
      await using session = this.client.startSession();
      await session.withTransaction(async () => {
        await orders.updateOne({ _id, customerId }, { $inc: { seq: 1 } }, { session });
        await orders.findOne({ _id, customerId }, { session });
      });
    }
  }
}

let soak: Soak | undefined;

async function handle(message: ToSoak): Promise<FromSoak> {
  if (message.kind === 'start') {
    soak = await Soak.start(message.settings);
    return { kind: 'started' };
  }
  if (soak === undefined) throw new Error(`"${message.kind}" before "start"`);
  if (message.kind === 'census') return { kind: 'counted', census: await soak.census() };
  await soak.stop();
  return { kind: 'stopped' };
}

answering(handle);
