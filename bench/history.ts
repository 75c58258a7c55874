import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { migrate, waitForMigration } from '../client/migrations.js';
import { temporalConnectionOptions } from '../config/index.js';
import type { Partition } from '../domain/partition.js';
import { migrationWorkflowId } from '../workflows/messages.js';
import { createBatchActivities } from './batch-activities.js';
import type { copyInBatches } from './batch-workflow.js';
import type { BenchCluster } from './bench-cluster.js';
import { benchCluster } from './bench-cluster.js';
import type { Bench, BenchOptions, Comparison } from './bench.js';
import { comparison } from './bench.js';
import { filledKeyspace } from './filled-keyspace.js';

const AGAINST = 'a step per batch of 1,000';
const COLLECTION = 'orders';
const QUEUE = 'bench-batches';
/** Parts of the documents that were asked for. */
const SHARES = [0.01, 0.1, 1];

interface HistorySize {
  readonly events: number;
  readonly bytes: number;
}

/** How a workflow's history grows with what it moves: a migration's does not. */
export const history: Bench = {
  about: "events and bytes of a migration's workflow history by its size, against a workflow with a step per batch",
  defaults: { documents: 100_000 },
  run: async (options) => {
    const cluster = await benchCluster({ dwell: '0s', soak: '0s' });
    try {
      const results: Comparison[] = [];
      for (const share of SHARES)
        results.push(...(await atSize(cluster, Math.ceil(options.documents * share), options)));
      return results;
    } finally {
      await cluster.stop();
    }
  },
};

async function atSize(cluster: BenchCluster, documents: number, { rounds, say }: BenchOptions): Promise<Comparison[]> {
  const measured: { drover: HistorySize; baseline: HistorySize }[] = [];
  for (let round = 0; round < rounds; round++) {
    const database = `history-${documents}-${round}`;
    const [partition] = await filledKeyspace(cluster, `${database}.${COLLECTION}`, documents);
    const baseline = await byBatches(cluster, database, partition!, documents);
    const drover = await byMigration(cluster, `${database}.${COLLECTION}`, partition!);
    measured.push({ drover, baseline });
    say(`${spoken(documents)} documents: drover ${told(drover)}, ${AGAINST} ${told(baseline)}`);
  }
  const compared = (unit: string, figure: (size: HistorySize) => number) =>
    comparison(
      { case: `history of moving ${spoken(documents)} documents`, against: AGAINST, unit },
      'lower',
      measured.map(({ drover, baseline }) => ({ drover: figure(drover), baseline: figure(baseline) })),
    );
  return [compared('events', ({ events }) => events), compared('kB', ({ bytes }) => bytes / 1000)];
}

/** With the default weights. */
async function byMigration({ control }: BenchCluster, keyspace: string, partition: Partition): Promise<HistorySize> {
  const target = control.nodes.names.find((name) => name !== partition.route.source)!;
  await migrate(control, { keyspace, partition: partition.name, target });
  const { outcome } = await waitForMigration(control, keyspace, partition.name);
  if (outcome !== 'completed') throw new Error(`the migration ended as "${outcome}"`);
  return sizeOf(control, migrationWorkflowId(keyspace, partition.name));
}

async function byBatches(
  { control, configuration, nodes }: BenchCluster,
  database: string,
  { collection, route }: Partition,
  documents: number,
): Promise<HistorySize> {
  installQuietRuntime();
  const connection = await NativeConnection.connect(temporalConnectionOptions(configuration));
  const workflowsPath = fileURLToPath(new URL('./batch-workflow.js', import.meta.url));
  const worker = await Worker.create({
    connection,
    namespace: configuration.temporal.namespace,
    taskQueue: QUEUE,
    workflowBundle: await bundleWorkflowCode({ workflowsPath, logger: new DefaultLogger('ERROR') }),
    activities: createBatchActivities(nodes),
  });
  const workflowId = `batches/${database}`;
  try {
    await worker.runUntil(async () => {
      const temporal = await control.temporal();
      const target = control.nodes.names.find((name) => name !== route.source)!;
      const copied = await temporal.workflow.execute<typeof copyInBatches>('copyInBatches', {
        workflowId,
        taskQueue: QUEUE,
        args: [{ source: route.source, target, database, collection }],
      });
      if (copied !== documents) throw new Error(`${copied} of ${documents} documents were copied`);
    });
  } finally {
    await connection.close();
  }
  return sizeOf(control, workflowId);
}

async function sizeOf(control: BenchCluster['control'], workflowId: string): Promise<HistorySize> {
  const temporal = await control.temporal();
  const { historyLength, historySize } = await temporal.workflow.getHandle(workflowId).describe();
  return { events: historyLength, bytes: historySize! };
}

let installed = false;
function installQuietRuntime(): void {
  if (!installed) Runtime.install({ logger: new DefaultLogger('ERROR') });
  installed = true;
}

const spoken = (value: number): string => value.toLocaleString('en-US');
const told = ({ events, bytes }: HistorySize): string => `${events} events, ${(bytes / 1000).toFixed(1)} kB`;
