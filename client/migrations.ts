import type { WorkflowHandle } from '@temporalio/client';
import {
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
} from '@temporalio/client';
import { DroverError } from '../domain/errors.js';
import type { MigrationDocument } from '../store/catalog/migrations.js';
import type {
  AmendWeights,
  MigrationInput,
  MigrationProgress,
  MigrationResult,
  SteeringRequest,
} from '../workflows/messages.js';
import * as messages from '../workflows/messages.js';
import { CONTROL_QUEUE, migrationWorkflowId } from '../workflows/messages.js';
import type { ControlContext } from './context.js';
import { clearPausedByStop } from './paused-by-stop.js';
import { answered, NO_WORKER } from './worker-answer.js';
import { failureOf } from './workflow-failure.js';

/** A validation may have to wait for servers that do not answer. */
const VALIDATION_MS = 60_000;

/**
 * Starts a migration and waits until its request has been checked: from then on it is under way.
 *
 * @returns the id of the workflow
 * @throws DroverError `InvalidRequest` or `Refused`, and nothing was touched; `TimedOut` when no worker takes it
 * @example
 * await migrate(context, { keyspace: 'shop.orders', partition: 'p3', target: 'eu-1', soak: '1h' });
 */
export async function migrate(context: ControlContext, input: MigrationInput): Promise<string> {
  const workflowId = migrationWorkflowId(input.keyspace, input.partition);
  const temporal = await context.temporal();
  try {
    const handle = await temporal.workflow.start('migrationWorkflow', {
      workflowId,
      taskQueue: CONTROL_QUEUE,
      args: [input],
      staticSummary: `${input.keyspace} ${input.partition} to ${input.target}`,
    });
    const late =
      `the move was handed to Temporal (workflow ${workflowId}), but ${NO_WORKER} It begins as soon as one does; ` +
      `"temporal workflow cancel --workflow-id ${workflowId}" takes it back`;
    await answered(temporal, () => begun(handle), late, VALIDATION_MS);
    return workflowId;
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) {
      throw new DroverError(
        'InvalidRequest',
        `${input.keyspace}/${input.partition} is already moving (workflow ${workflowId}); ` +
          `"drover migration show ${input.keyspace} ${input.partition}" shows how far it is`,
      );
    }
    throw error;
  }
}

/** Ends when the migration has claimed its partition, or throws what its validation said. */
async function begun(handle: WorkflowHandle): Promise<void> {
  for (;;) {
    const { status } = await handle.describe();
    if (status.name !== 'RUNNING') {
      await result(handle);
      return;
    }
    const state = await handle.query<MigrationProgress>(messages.progress.name);
    if (state.migration !== '') return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/**
 * @param timeoutMs how long to wait; without it, until the migration ends
 * @throws DroverError `InvalidRequest` when there is no such migration, `TimedOut` (it goes on), or with the code of
 * the failure that it was rolled back for
 */
export async function waitForMigration(
  context: ControlContext,
  keyspace: string,
  partition: string,
  timeoutMs?: number,
): Promise<MigrationResult> {
  const temporal = await context.temporal();
  const handle = temporal.workflow.getHandle(migrationWorkflowId(keyspace, partition));
  try {
    if (timeoutMs === undefined) return await result(handle);
    const late = `${keyspace}/${partition} is still moving, and goes on; "drover migration show ${keyspace} ${partition}" follows it`;
    return await answered(temporal, () => result(handle), late, timeoutMs);
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) throw notMoving(keyspace, partition);
    throw error;
  }
}

async function result(handle: WorkflowHandle): Promise<MigrationResult> {
  try {
    return (await handle.result()) as MigrationResult;
  } catch (error) {
    if (error instanceof WorkflowFailedError) throw failureOf(error.cause);
    throw error;
  }
}

export type SteeringVerb = 'pause' | 'resume' | 'approve' | 'rollback' | 'abort';

/** @throws DroverError `InvalidRequest` when there is nothing to steer, or the migration refuses */
export async function steer(
  context: ControlContext,
  keyspace: string,
  partition: string,
  verb: SteeringVerb,
  request: SteeringRequest = {},
): Promise<MigrationProgress> {
  const state = await updateMigration(context, keyspace, partition, verb, request);
  // From now on a person has the say, and `start` leaves it alone.
  if (verb === 'pause' || verb === 'resume') await clearPausedByStop(context.catalog, state.migration);
  return state;
}

/** @throws DroverError `InvalidRequest` when the weights don't rise strictly to 100 from where the migration stands */
export function amendWeights(
  context: ControlContext,
  keyspace: string,
  partition: string,
  weights: readonly number[],
  request: SteeringRequest = {},
): Promise<MigrationProgress> {
  return updateMigration(context, keyspace, partition, 'amendWeights', { ...request, weights });
}

/** Sends an update to a migration's workflow. @throws DroverError what it refuses, `TimedOut` when no worker answers */
export async function updateMigration(
  context: ControlContext,
  keyspace: string,
  partition: string,
  name: SteeringVerb | 'amendWeights',
  request: SteeringRequest | AmendWeights,
): Promise<MigrationProgress> {
  const temporal = await context.temporal();
  const handle = temporal.workflow.getHandle(migrationWorkflowId(keyspace, partition));
  try {
    const late = `${keyspace}/${partition} has not said whether it will ${spoken(name)}: ${NO_WORKER}`;
    const ask = () => handle.executeUpdate<MigrationProgress, [unknown]>(name, { args: [request] });
    return await answered(temporal, ask, late);
  } catch (error) {
    if (error instanceof WorkflowUpdateFailedError) throw failureOf(error.cause);
    if (error instanceof WorkflowNotFoundError) throw notMoving(keyspace, partition);
    throw error;
  }
}

const spoken = (name: SteeringVerb | 'amendWeights'): string =>
  name === 'amendWeights' ? 'take the weights' : name === 'rollback' ? 'roll back' : name;

/** @throws DroverError `InvalidRequest` when no migration of the partition is known to Temporal */
export async function migrationProgress(
  context: ControlContext,
  keyspace: string,
  partition: string,
): Promise<MigrationProgress> {
  const temporal = await context.temporal();
  const handle = temporal.workflow.getHandle(migrationWorkflowId(keyspace, partition));
  try {
    const ask = () => handle.query<MigrationProgress>(messages.progress.name);
    return await answered(temporal, ask, NO_WORKER);
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) throw notMoving(keyspace, partition);
    throw error;
  }
}

const LISTED = 200;

/** The newest of the catalog's records, newest first. */
export const listMigrations = (
  { catalog }: ControlContext,
  filter: { keyspace?: string; partition?: string; state?: MigrationDocument['state'] } = {},
): Promise<MigrationDocument[]> => catalog.migrations.list(filter, LISTED);

const notMoving = (keyspace: string, partition: string) =>
  new DroverError(
    'InvalidRequest',
    `no migration of ${keyspace}/${partition} is under way; "drover migration list" shows them`,
  );
