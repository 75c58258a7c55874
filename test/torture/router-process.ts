import { setTimeout as sleep } from 'node:timers/promises';
import { DroverClient } from '../../router/index.js';
import { random } from '../../examples/random.js';
import { HistoryWriter } from './history.js';
import type { RouterOrder, RouterProcessInput, RouterReport } from './router-input.js';
import { INPUT_VARIABLE } from './router-input.js';
import { chooseOperation, KEYSPACE, perform } from './operations.js';
import type { TortureDocument } from './operations.js';

async function connect({ catalog, nodes }: RouterProcessInput): Promise<DroverClient> {
  for (;;) {
    try {
      return await DroverClient.connect(catalog, {
        region: 'us-east',
        nodes,
        accessFlushMS: 500,
        onProblem: (problem, error) => console.error(new Date().toISOString(), problem, String(error)),
      });
    } catch (error) {
      // An application that starts while a server is away tries again.
      console.error(new Date().toISOString(), 'connecting', String(error));
      await sleep(300);
    }
  }
}

/**
 * An application as a process of its own: several writers, each with one request after the other, until it is told to
 * stop or is killed. Everything it asks and is told goes into its history.
 */
async function run(input: RouterProcessInput): Promise<void> {
  const order = { paused: false, stopped: false };
  const report = (what: RouterReport) => process.send?.(what);
  let busy = 0;
  const whenQuiet = () => {
    if (busy === 0 && (order.paused || order.stopped)) report('quiet');
  };
  process.on('message', (message: RouterOrder) => {
    if (message === 'stop') order.stopped = true;
    else order.paused = message === 'pause';
    whenQuiet();
  });
  process.on('disconnect', () => process.exit(1));

  const client = await connect(input);
  report('connected');
  const [database, collection] = KEYSPACE.split('.') as [string, string];
  const orders = client.db(database).collection<TortureDocument>(collection);
  const history = new HistoryWriter(input.history, input.name);

  const write = async (documents: readonly string[], next: () => number) => {
    while (!order.stopped) {
      await sleep(input.thinkMs * (0.5 + next()));
      if (order.paused || order.stopped) continue;
      busy += 1;
      const document = documents[Math.floor(next() * documents.length)]!;
      const id = history.nextId();
      const operation = chooseOperation(input.mix, id, next);
      history.begin(id, document, operation);
      history.end(id, await perform(orders, document, operation));
      busy -= 1;
      whenQuiet();
    }
  };
  await Promise.all(input.writers.map((documents, i) => write(documents, random(input.seed + i))));
  await client.close();
  process.disconnect();
}

await run(JSON.parse(process.env[INPUT_VARIABLE]!) as RouterProcessInput);
