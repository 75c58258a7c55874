import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ControlContext } from '../../client/context.js';
import { openControl } from '../../client/context.js';
import { createKeyspace } from '../../client/keyspaces.js';
import { registerNodes } from '../../client/nodes.js';
import { loadConfiguration } from '../../config/index.js';
import { DroverError } from '../../domain/errors.js';
import type { HandoverState, Partition } from '../../domain/partition.js';
import type { LedgerReport } from '../../examples/ledger.js';
import { Ledger } from '../../examples/ledger.js';
import { storedDocuments } from '../../examples/stored-documents.js';
import type { DroverCollection } from '../../router/index.js';
import { DroverClient } from '../../router/index.js';
import type { Cluster } from '../../temporal-config/dev-cluster.js';
import { startCluster, startWorkerProcess } from '../../temporal-config/dev-cluster.js';
import { partitionFromBson } from '../../store/codec.js';
import { random } from '../../examples/random.js';

export interface Scene {
  readonly cluster: Cluster;
  readonly control: ControlContext;
  readonly keyspace: string;
  partition(name: string): Promise<Partition>;
  /** A node that does not own the partition. */
  otherNode(partition: Partition): string;
  connect(region?: string): Promise<DroverClient>;
  startWorker(): ReturnType<typeof startWorkerProcess>;
  stop(): Promise<void>;
}

export interface SceneOptions {
  readonly partitions?: number;
  readonly workers?: number;
  readonly migration?: Readonly<Record<string, unknown>>;
  readonly policy?: Readonly<Record<string, unknown>>;
  readonly mode?: string;
  readonly mongodArgs?: readonly string[];
}

/** Real servers, a worker, and a keyspace `shop.orders` keyed by `customerId`. */
export async function scene({
  partitions = 4,
  workers = 1,
  migration = {},
  policy = {},
  mode,
  mongodArgs = [],
}: SceneOptions = {}): Promise<Scene> {
  const directory = await mkdtemp(join(tmpdir(), 'drover-e2e-'));
  const cluster = await startCluster({
    directory,
    workers,
    ui: false,
    mongodArgs,
    configuration: {
      ...(mode === undefined ? {} : { mode }),
      policy: { ...policy, migration: { dwell: '100ms', soak: '500ms', ...migration } },
    },
  });
  try {
    const configuration = await loadConfiguration({ path: cluster.config, env: { ...process.env, ...cluster.env } });
    const control = await openControl({ configuration });
    await registerNodes(control.catalog, configuration);
    const keyspace = 'shop.orders';
    await createKeyspace(control, { name: keyspace, key: 'customerId', partitions });
    const clients: DroverClient[] = [];
    let workersStarted = workers;
    return {
      cluster,
      control,
      keyspace,
      partition: (name) => control.catalog.partitions.get(keyspace, name),
      otherNode: ({ route }) => control.nodes.names.find((name) => name !== route.source)!,
      connect: async (region = 'us-east') => {
        const client = await DroverClient.connect(configuration.catalog, {
          region,
          nodes: configuration.nodeUris,
          accessFlushMS: 200,
        });
        clients.push(client);
        return client;
      },
      startWorker: () =>
        startWorkerProcess({
          directory,
          log: join(directory, 'logs', `worker-${workersStarted++}.log`),
          detached: false,
        }),
      stop: async () => {
        await Promise.all(clients.map((client) => client.close()));
        await control.close();
        await cluster.stop();
        await rm(directory, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await cluster.stop();
    throw error;
  }
}

/**
 * Waits for the `nth` step of a partition to reach a state, by the catalog's own push: at the moment it is written. Called
 * before the migration is started.
 */
export async function stepReaches(the: Scene, name: string, kind: HandoverState['kind'], nth = 1): Promise<void> {
  const stream = the.control.catalog.partitions.watch();
  try {
    let steps = 0;
    for await (const event of stream) {
      if (!('fullDocument' in event) || !event.fullDocument) continue;
      const partition = partitionFromBson(event.fullDocument);
      if (partition.name !== name || partition.handover?.state.kind !== kind) continue;
      if (++steps === nth) return;
    }
    throw new Error('the change stream of the catalog has ended');
  } finally {
    await stream.close();
  }
}

export interface Order {
  _id: string;
  customerId: string;
  seq: number;
  note?: string;
}

/** Applications pause between requests; without it a test measures how many fit onto the machine. */
const THINK_MS = 5;

/**
 * Writers that insert, update, replace, upsert, delete and re-insert documents of their own, one operation after the other,
 * until they are told to stop. A seed makes the sequence of operations repeatable.
 */
export class Writers {
  readonly ledger = new Ledger();
  readonly errors: string[] = [];
  longestMs = 0;
  private running = true;
  private readonly done: Promise<unknown>;

  constructor(
    private readonly orders: DroverCollection<Order>,
    options: {
      readonly writers: number;
      readonly documentsEach: number;
      readonly seed: number;
      readonly name?: string;
    },
  ) {
    this.done = Promise.all(
      Array.from({ length: options.writers }, (_, i) =>
        this.write(`${options.name ?? 'w'}${i}`, options.documentsEach, random(options.seed + i)),
      ),
    );
  }

  async stop(): Promise<void> {
    this.running = false;
    await this.done;
  }

  private async write(name: string, documents: number, next: () => number): Promise<void> {
    while (this.running) {
      const n = Math.floor(next() * documents);
      const _id = `${name}-${n}`;
      const customerId = `customer-${n % 97}`;
      const startedAt = performance.now();
      await this.step(_id, customerId, next());
      this.longestMs = Math.max(this.longestMs, performance.now() - startedAt);
      await new Promise((resolve) => setTimeout(resolve, THINK_MS));
    }
  }

  private async step(_id: string, customerId: string, choice: number): Promise<void> {
    const { orders, ledger } = this;
    const filter = { _id, customerId };
    if (!ledger.isSettled(_id)) {
      const found = await orders.findOne(filter).catch(() => undefined);
      if (found === undefined) return;
      ledger.settle(_id, found === null ? null : { seq: found.seq });
    }
    const before = ledger.expected(_id);
    const seq = ++this.sequence;
    const expect = (found: unknown, wanted: unknown) => {
      if (found !== wanted) throw new Error(`${_id}: expected ${String(wanted)}, got ${String(found)}`);
    };
    let error: unknown;
    if (before === null) {
      error =
        choice < 0.6
          ? await ledger.write(_id, customerId, { seq }, () => orders.insertOne({ _id, customerId, seq }))
          : await ledger.write(_id, customerId, { seq }, () =>
              orders.updateOne(filter, { $set: { seq } }, { upsert: true }),
            );
    } else if (choice < 0.5) {
      error = await ledger.write(_id, customerId, { seq }, async () => {
        expect((await orders.updateOne(filter, { $set: { seq } })).matchedCount, 1);
      });
    } else if (choice < 0.7) {
      error = await ledger.write(_id, customerId, { seq }, async () => {
        expect((await orders.replaceOne(filter, { customerId, seq, note: 'replaced' })).matchedCount, 1);
      });
    } else if (choice < 0.85) {
      error = await ledger.write(_id, customerId, null, async () => {
        expect((await orders.deleteOne(filter)).deletedCount, 1);
      });
    } else {
      // What this application wrote last is what it reads.
      const found = await orders.findOne(filter).catch((reason: unknown) => reason);
      if (found instanceof Error) error = found;
      else if ((found as Order | null)?.seq !== before.seq)
        error = new Error(`${_id}: read ${JSON.stringify(found)} after writing seq ${before.seq}`);
    }
    if (error !== undefined) this.errors.push(error instanceof Error ? error.message : 'failed');
  }

  private sequence = 0;

  /** After everything has come to rest: is what is stored what was acknowledged? */
  async check(control: ControlContext, keyspace: string): Promise<LedgerReport> {
    return this.ledger.check(await storedDocuments<Order>(control, keyspace));
  }
}

/** Waits for something to become true, looking every few milliseconds. A worker that has too much to do to answer may yet do so. */
export async function until(
  what: string,
  fulfilled: () => Promise<boolean> | boolean,
  timeoutMs = 30_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  const isFulfilled = async () => {
    try {
      return await fulfilled();
    } catch (error) {
      if (error instanceof DroverError && error.code === 'TimedOut') return false;
      throw error;
    }
  };
  while (!(await isFulfilled())) {
    if (performance.now() > deadline) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
