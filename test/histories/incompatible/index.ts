import { sleep } from '@temporalio/workflow';
import type { MigrationInput, MigrationResult } from '../../../workflows/messages.js';
import { migrationWorkflow as today } from '../../../workflows/migration.js';

export { admissionWorkflow, decisionWorkflow, forecastWorkflow } from '../../../workflows/index.js';

/** What must not happen to running migrations: a new step in front of the old ones, without a patch. */
export async function migrationWorkflow(input: MigrationInput): Promise<MigrationResult> {
  await sleep('1s');
  return today(input);
}
