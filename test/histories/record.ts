import { mkdir, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { WorkflowHandle } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { approveDecision, listDecisions } from '../../client/decisions.js';
import { runForecast } from '../../client/forecasts.js';
import { amendWeights, migrate, migrationProgress, steer, waitForMigration } from '../../client/migrations.js';
import type { AnomalySummary } from '../../workflows/messages.js';
import {
  ADMISSION_WORKFLOW_ID,
  CONTROL_QUEUE,
  decisionWorkflowId,
  migrationWorkflowId,
} from '../../workflows/messages.js';
import type { Order, Scene } from '../e2e/harness.js';
import { scene, until } from '../e2e/harness.js';
import { moveTheLoad } from '../e2e/load-history.js';

/** This runs compiled; the histories stand beside the source. */
const FOLDER = fileURLToPath(new URL('../../../test/histories/', import.meta.url));
const HOUR_MS = 3_600_000;
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** What a machine leaves in a history, which is not for others to see and differs each time. */
const neutral = (text: string): string =>
  text
    .replaceAll(/\d+@[\w.-]+/g, 'recorder')
    .replaceAll(ROOT, '')
    .replaceAll(hostname(), 'recorder');

async function save(name: string, handle: WorkflowHandle): Promise<void> {
  const history = await handle.fetchHistory();
  await writeFile(join(FOLDER, `${name}.json`), `${neutral(historyToJSON(history))}\n`);
  console.log(`${name}.json: ${history.events?.length} events`);
}

/** Real servers and workers, and one migration after the other; each of them is saved as it ended. */
async function record(the: Scene): Promise<void> {
  const temporal = await the.control.temporal();
  const { control, keyspace } = the;
  const start = async (partition: string, options: Partial<Parameters<typeof migrate>[1]>) => {
    const target = the.otherNode(await the.partition(partition));
    await migrate(control, { keyspace, partition, target, requestedBy: 'recorder', ...options });
  };
  const progress = (partition: string) => migrationProgress(control, keyspace, partition);
  const saveMigration = (name: string, partition: string) =>
    save(name, temporal.workflow.getHandle(migrationWorkflowId(keyspace, partition)));

  const orders = (await the.connect()).db('shop').collection<Order>('orders');
  await orders.insertMany(Array.from({ length: 500 }, (_, i) => ({ _id: `o${i}`, customerId: `c${i % 50}`, seq: 0 })));

  await moveTheLoad(the, 'p1');
  await runForecast(control, { keyspace });
  const [decision] = await listDecisions(control, { state: 'recommended' });
  await approveDecision(control, decision!._id, { by: 'recorder' });
  await waitForMigration(control, keyspace, 'p1');
  await save('decision-approved', temporal.workflow.getHandle(decisionWorkflowId(decision!._id)));
  await saveMigration('migration-by-forecast', 'p1');
  for await (const { workflowId, runId } of temporal.workflow.list({ query: 'WorkflowType = "forecastWorkflow"' })) {
    await save('forecast-recommending', temporal.workflow.getHandle(workflowId, runId));
    break;
  }

  await start('p0', { weights: [30, 100] });
  await waitForMigration(control, keyspace, 'p0');
  await saveMigration('migration-completed', 'p0');

  await start('p2', { weights: [50, 100], soak: '1h' });
  await until('the soak', async () => (await progress('p2')).phase === 'soak');
  await steer(control, keyspace, 'p2', 'rollback', { by: 'recorder', reason: 'second thoughts' });
  await waitForMigration(control, keyspace, 'p2');
  await saveMigration('migration-rolled-back', 'p2');

  await start('p3', { weights: [10, 100], approveCutover: true, dwell: '1s' });
  await until('approval', async () => (await progress('p3')).waitingFor === 'approve');
  await amendWeights(control, keyspace, 'p3', [20, 60, 100]);
  await steer(control, keyspace, 'p3', 'approve', { by: 'recorder' });
  await until('the first weight', async () => (await progress('p3')).steps === 1);
  await steer(control, keyspace, 'p3', 'pause', { by: 'recorder' });
  await until('the pause', async () => (await progress('p3')).waitingFor === 'resume');
  await steer(control, keyspace, 'p3', 'resume', { by: 'recorder' });
  await waitForMigration(control, keyspace, 'p3');
  await saveMigration('migration-steered', 'p3');

  await start('p2', { weights: [10, 100], dwell: '1h' });
  await until('the first weight', async () => (await progress('p2')).steps === 1);
  const cancelled = temporal.workflow.getHandle(migrationWorkflowId(keyspace, 'p2'));
  await cancelled.cancel();
  await cancelled.result().catch(() => undefined);
  await saveMigration('migration-cancelled', 'p2');

  // Never ends, and can be replayed up to where it is.
  await save('admission', temporal.workflow.getHandle(ADMISSION_WORKFLOW_ID));
}

/** In the last hour, a partition is used much more than ever before: it is evaluated anew. */
export async function recordAnomaly({ control, keyspace }: Scene): Promise<void> {
  const time = Math.floor(Date.now() / HOUR_MS - 1) * HOUR_MS;
  await control.catalog.access.append([
    {
      ...{ keyspace, partition: 'p0', region: 'us-east', time, reads: 5_000, writes: 0, errors: 0 },
      ...{ latencyMs: { sum: 5_000, max: 2 }, clients: [], tokens: [] },
    },
  ]);
  const temporal = await control.temporal();
  const handle = await temporal.workflow.start('anomalyWorkflow', {
    workflowId: 'anomalies',
    taskQueue: CONTROL_QUEUE,
    args: [],
  });
  const { reevaluations } = (await handle.result()) as AnomalySummary;
  if (reevaluations.length === 0) throw new Error('nothing was evaluated anew');
  await save('anomaly', handle);
}

async function main(): Promise<void> {
  await mkdir(dirname(FOLDER), { recursive: true });
  const the = await scene({
    mode: 'recommend',
    policy: {
      access: { window: '1h' },
      forecast: { every: '1d', window: '1h', history: '7d', horizon: '6h', season: ['1d'] },
      plan: { trigger: 0.6, minimumGain: 0.1, minimumRequests: 10, dwell: '1h' },
    },
  });
  try {
    await record(the);
    await recordAnomaly(the);
  } finally {
    await the.stop();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
