import { DroverClient } from '../router/index.js';
import { answering } from './answering.js';
import { Gate } from './gate.js';
import type { FromLoad, LoadSettings, ToLoad } from './load-messages.js';
import { arrivals, OpenLoop } from './open-loop.js';
import type { Order, Orders } from './orders.js';
import { writes } from './orders.js';
import { random } from '../examples/random.js';

/**
 * The application, as a process of its own: its event loop is shared with nobody, as in production. Told what to do by
 * the process that started it; ends with it.
 */
interface Application {
  write(request: (orders: Orders) => Promise<void>): Promise<void>;
  close(): Promise<void>;
}

const MOST_FAILURES_TOLD = 5;
/** An application that has been up for a while has its connections open and its code compiled. */
const WARM_UP = { concurrency: 32, writes: 3_200 };

class Load {
  private readonly failures: string[] = [];
  private failed = 0;
  private readonly loop: OpenLoop;

  private constructor(
    readonly application: Application,
    write: (orders: Orders) => Promise<void>,
    { rate, seed }: LoadSettings,
  ) {
    this.loop = new OpenLoop(arrivals(rate, random(seed + 1)), async () => {
      try {
        await application.write(write);
      } catch (error) {
        this.failed += 1;
        if (this.failures.length < MOST_FAILURES_TOLD) this.failures.push(String(error));
      }
    });
  }

  static async start(settings: LoadSettings): Promise<Load> {
    const connected = await connect(settings);
    const write = writes(settings.documents, random(settings.seed));
    const { concurrency, writes: total } = WARM_UP;
    const some = async () => {
      for (let n = 0; n < total / concurrency; n++) await connected.write(write);
    };
    await Promise.all(Array.from({ length: concurrency }, some));
    return new Load(connected, write, settings);
  }

  async stop(): Promise<FromLoad> {
    const waits = await this.loop.stop();
    await this.application.close();
    return { kind: 'stopped', result: { ...waits, failed: this.failed, failures: this.failures } };
  }
}

async function connect(settings: LoadSettings): Promise<Application> {
  const { through, uri, nodes, database, collection } = settings;
  if (through === 'gate') return Gate.connect(uri, database, collection);
  const client = await DroverClient.connect(uri, { region: 'us-east', nodes, driver: { maxPoolSize: 32 } });
  const orders = client.db(database).collection<Order>(collection);
  return { write: (request) => request(orders), close: () => client.close() };
}

let load: Load | undefined;

async function handle(message: ToLoad): Promise<FromLoad> {
  if (message.kind === 'start') {
    load = await Load.start(message.settings);
    return { kind: 'started' };
  }
  if (load === undefined) throw new Error(`"${message.kind}" before "start"`);
  if (message.kind === 'stop') return load.stop();
  if (!(load.application instanceof Gate)) throw new Error('a router needs no gate');
  if (message.kind === 'closeGate') {
    await load.application.shut();
    return { kind: 'closed' };
  }
  await load.application.openAt(message.uri);
  return { kind: 'opened' };
}

answering(handle);
