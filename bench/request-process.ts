import { random } from '../examples/random.js';
import type { DroverCollection } from '../router/index.js';
import { DroverClient } from '../router/index.js';
import { connect } from '../store/connect.js';
import { answering } from './answering.js';
import type { Order } from './orders.js';
import { order } from './orders.js';
import type {
  FromRequests,
  Operation,
  RequestResult,
  RequestSettings,
  RequestSlice,
  ToRequests,
} from './request-messages.js';
import { OPERATIONS } from './request-messages.js';
import { quantile } from './statistics.js';

/** An application that does one thing at a time, as a process of its own: what it costs is what that thing costs. */
const MAX_POOL_SIZE = 64;
const WARM_UP = { concurrency: 32, ms: 600 };
const LIMIT = 20;
const BATCH = 1_000;
/** More than anybody deletes in a second, at one request at a time and at many. */
const TO_DELETE_A_SECOND = { alone: 1_500, together: 4_000 };

/** What is used of Drover's collection; the driver's has the same. */
type Orders = Pick<DroverCollection<Order>, Operation | 'insertMany'>;

class Requests {
  private readonly random = random(7);
  private made = 0;
  private toDelete: Order[] = [];

  private constructor(
    private readonly orders: Orders,
    private readonly documents: number,
    readonly close: () => Promise<void>,
  ) {}

  static async start(settings: RequestSettings): Promise<Requests> {
    const { through, uri, nodes, database, collection, documents } = settings;
    const driver = { maxPoolSize: MAX_POOL_SIZE };
    let requests: Requests;
    if (through === 'driver') {
      const client = await connect(uri, 'node', driver);
      const orders = client.db(database).collection<Order>(collection) as unknown as Orders;
      requests = new Requests(orders, documents, () => client.close());
    } else {
      const recordAccess = through === 'router';
      const client = await DroverClient.connect(uri, {
        region: 'us-east',
        ip: '10.1.2.3',
        nodes,
        driver,
        recordAccess,
      });
      requests = new Requests(client.db(database).collection<Order>(collection), documents, () => client.close());
    }
    // Code is compiled and connections are open in an application that has been up for a while.
    for (const operation of OPERATIONS) await requests.measure({ operation, ...WARM_UP });
    return requests;
  }

  async measure({ operation, concurrency, ms }: RequestSlice): Promise<RequestResult> {
    if (operation === 'deleteOne') await this.prepareDeletes(concurrency, ms);
    const latencies: number[] = [];
    const cpu = process.cpuUsage();
    const begun = performance.now();
    const end = begun + ms;
    const oneAfterAnother = async (): Promise<void> => {
      for (let now = performance.now(); now < end;) {
        if (operation === 'deleteOne' && this.toDelete.length === 0) return;
        await this.request(operation);
        const answered = performance.now();
        latencies.push(answered - now);
        now = answered;
      }
    };
    await Promise.all(Array.from({ length: concurrency }, oneAfterAnother));
    const seconds = (performance.now() - begun) / 1_000;
    const { user, system } = process.cpuUsage(cpu);
    return {
      perSecond: latencies.length / seconds,
      p50: quantile(latencies, 0.5),
      p99: quantile(latencies, 0.99),
      cpuMicros: (user + system) / latencies.length,
    };
  }

  private async request(operation: Operation): Promise<void> {
    const { orders } = this;
    const some = order(Math.floor(this.random() * this.documents));
    const { _id, customerId } = some;
    switch (operation) {
      case 'findOne':
        return this.check((await orders.findOne({ _id, customerId })) !== null);
      case 'insertOne':
        await orders.insertOne({ ...some, _id: this.newId() });
        return;
      case 'updateOne': {
        const { matchedCount } = await orders.updateOne({ _id, customerId }, { $inc: { seq: 1 } });
        return this.check(matchedCount === 1);
      }
      case 'deleteOne': {
        const mine = this.toDelete.pop()!;
        const { deletedCount } = await orders.deleteOne({ _id: mine._id, customerId: mine.customerId });
        return this.check(deletedCount === 1);
      }
      case 'find': {
        const found = await orders.find({}).sort({ _id: -1 }).limit(LIMIT).toArray();
        return this.check(found.length === LIMIT);
      }
    }
  }

  private async prepareDeletes(concurrency: number, ms: number): Promise<void> {
    const aSecond = concurrency === 1 ? TO_DELETE_A_SECOND.alone : TO_DELETE_A_SECOND.together;
    while (this.toDelete.length < (aSecond * ms) / 1_000) {
      const batch = Array.from({ length: BATCH }, () => ({
        ...order(Math.floor(this.random() * this.documents)),
        _id: this.newId(),
      }));
      await this.orders.insertMany(batch, { ordered: false });
      this.toDelete.push(...batch);
    }
  }

  private newId = (): string => `new-${process.pid}-${this.made++}`;

  private check(ok: boolean): void {
    if (!ok) throw new Error('a request did not find what is there');
  }
}

let requests: Requests | undefined;

async function handle(message: ToRequests): Promise<FromRequests> {
  if (message.kind === 'start') {
    requests = await Requests.start(message.settings);
    return { kind: 'started' };
  }
  if (requests === undefined) throw new Error(`"${message.kind}" before "start"`);
  if (message.kind === 'measure') return { kind: 'measured', result: await requests.measure(message.slice) };
  await requests.close();
  return { kind: 'stopped' };
}

answering(handle);
