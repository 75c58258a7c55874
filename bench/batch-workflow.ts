import { proxyActivities } from '@temporalio/workflow';
import type { BatchActivities, BatchInput } from './batch-activities.js';

const { copyBatch } = proxyActivities<BatchActivities>({ startToCloseTimeout: '1m' });

/** What one writes first: a step of the workflow for each batch. @returns documents copied */
export async function copyInBatches(input: Omit<BatchInput, 'after'>): Promise<number> {
  let documents = 0;
  for (let after: string | null = null; ;) {
    const batch: Awaited<ReturnType<typeof copyBatch>> = await copyBatch({ ...input, after });
    documents += batch.documents;
    if (batch.last === null) return documents;
    after = batch.last;
  }
}
