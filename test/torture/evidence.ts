import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ControlContext } from '../../client/context.js';
import { listMigrations } from '../../client/migrations.js';
import { partitionToBson } from '../../store/codec.js';
import { KEYSPACE } from './operations.js';

/** What servers know and would be gone with them: written beside the histories when a migration is stuck. */
export async function keepEvidence(control: ControlContext, directory: string): Promise<void> {
  const partitions = (await control.catalog.partitions.list(KEYSPACE)).map(partitionToBson);
  const catalog = { partitions, migrations: await listMigrations(control) };
  await write(join(directory, 'catalog.json'), catalog);
  const { workflow } = await control.temporal();
  for await (const { workflowId, runId } of workflow.list({ query: 'ExecutionStatus = "Running"' })) {
    const handle = workflow.getHandle(workflowId, runId);
    const [{ raw }, history] = [await handle.describe(), await handle.fetchHistory()];
    const { pendingActivities, pendingWorkflowTask } = raw;
    const file = join(directory, `workflow-${workflowId.replaceAll('/', '-')}.json`);
    await write(file, { pendingActivities, pendingWorkflowTask, history });
  }
}

async function write(path: string, value: unknown): Promise<void> {
  const text = (_: string, each: unknown) => (typeof each === 'bigint' ? String(each) : each);
  await writeFile(path, JSON.stringify(value, text, 2));
}
