import { DroverClient } from '../router/index.js';
import { Gate } from './gate.js';
import type { FromLoad, LoadSettings, ToLoad } from './load-messages.js';
import { arrivals, OpenLoop } from './open-loop.js';
import type { Order, Orders } from './orders.js';
import { writes } from './orders.js';
import { seeded } from './random.js';

/**
 * The application, as a process of its own: its event loop is shared with nobody, as in production. Told what to do by
 * the process that started it; ends with it.
 */
interface Application {
  write(request: (orders: Orders) => Promise<void>): Promise<void>;
  close(): Promise<void>;
}

const MOST_FAILURES_TOLD = 5;

class Load {
  private readonly failures: string[] = [];
  private failed = 0;
  private readonly loop: OpenLoop;

  constructor(
    readonly application: Application,
    { documents, rate, seed }: LoadSettings,
  ) {
    const random = seeded(seed);
    const write = writes(documents, random);
    this.loop = new OpenLoop(arrivals(rate, seeded(seed + 1)), async () => {
      try {
        await application.write(write);
      } catch (error) {
        this.failed += 1;
        if (this.failures.length < MOST_FAILURES_TOLD) this.failures.push(String(error));
      }
    });
  }

  async stop(): Promise<FromLoad> {
    const waits = await this.loop.stop();
    await this.application.close();
    return { kind: 'stopped', result: { ...waits, failed: this.failed, failures: this.failures } };
  }
}

async function application(settings: LoadSettings): Promise<Application> {
  const { through, uri, nodes, database, collection } = settings;
  if (through === 'gate') return Gate.connect(uri, database, collection);
  const client = await DroverClient.connect(uri, { region: 'us-east', nodes });
  const orders = client.db(database).collection<Order>(collection);
  return { write: (request) => request(orders as Orders), close: () => client.close() };
}

let load: Load | undefined;

async function handle(message: ToLoad): Promise<FromLoad> {
  if (message.kind === 'start') {
    load = new Load(await application(message.settings), message.settings);
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

process.on('message', (message: ToLoad) => {
  handle(message)
    .catch((error: unknown): FromLoad => ({ kind: 'broken', reason: String(error) }))
    .then((answer) => process.send!(answer))
    .catch(() => process.exit(1));
});
process.on('disconnect', () => process.exit(0));
