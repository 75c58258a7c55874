import { setTimeout as sleep } from 'node:timers/promises';
import { WorkflowNotFoundError } from '@temporalio/client';
import { DroverError } from '../domain/errors.js';
import type { BoundaryStepRecord, MigrationDocument, MigrationState } from '../store/catalog/migrations.js';
import type { MigrationProgress } from '../workflows/messages.js';
import type { ControlContext } from './context.js';
import type { MigrationFigures } from './migration-figures.js';
import { migrationFigures } from './migration-figures.js';
import { migrationProgress } from './migrations.js';
import { partitionSize } from './partition-size.js';

/** A migration as its workflow and the catalog's record tell it together. */
export interface MigrationStatus extends MigrationFigures {
  readonly id: string;
  readonly workflowId: string;
  readonly keyspace: string;
  readonly partition: string;
  readonly source: string;
  readonly target: string;
  readonly state: MigrationState;
  readonly phase: string;
  /** The target's share of the load now, in percent. */
  readonly weight: number;
  /** Weights still to come. */
  readonly weights: readonly number[];
  readonly paused: boolean;
  /** What it waits for: `resume`, `approve`. */
  readonly waitingFor?: string;
  /** Documents and bytes copied so far. */
  readonly documents: number;
  readonly bytes: number;
  /** Documents in the partition when this was asked; absent when its node can't be reached. */
  readonly documentsTotal?: number;
  /** Documents compared by the verification. */
  readonly compared: number;
  readonly steps: readonly BoundaryStepRecord[];
  /** Longest write pause of a step, milliseconds. */
  readonly pauseMsMax: number;
  readonly requestedBy: string;
  readonly reason?: string;
  readonly decision?: string;
  /** Why it is being or was rolled back. */
  readonly error?: string;
  readonly startedAt: Date;
  readonly endedAt?: Date;
  /** Why the workflow could not be asked; then the catalog alone speaks. */
  readonly unconfirmed?: string;
  /** The workflow was ended from outside before the migration was over: until a worker has another one end it. */
  readonly abandoned?: true;
}

/**
 * The newest migration of a partition.
 *
 * @throws DroverError `InvalidRequest` when there never was one
 */
export async function migrationStatus(
  context: ControlContext,
  keyspace: string,
  partition: string,
): Promise<MigrationStatus> {
  const record = await newestRecord(context, keyspace, partition);
  if (record.state !== 'running') return merged(record, undefined);
  const size = await partitionSize(context, await context.catalog.partitions.get(keyspace, partition));
  const total = size === undefined ? {} : { documentsTotal: size.documents };
  try {
    if (await hasEnded(context, record)) {
      // A migration ends in the catalog before its workflow does.
      const now = (await context.catalog.migrations.find(record._id))!;
      return now.state === 'running' ? { ...merged(now, undefined), abandoned: true } : merged(now, undefined);
    }
    const progress = await migrationProgress(context, keyspace, partition);
    return { ...merged(record, progress.migration === record._id ? progress : undefined), ...total };
  } catch (error) {
    // At three in the morning half of the truth is better than none, as long as it says so.
    return { ...merged(record, undefined), ...total, unconfirmed: error instanceof Error ? error.message : '' };
  }
}

/** Whether the migration's workflow is over, however it ended. */
export async function hasEnded(context: ControlContext, { workflowId, runId }: MigrationDocument): Promise<boolean> {
  const temporal = await context.temporal();
  try {
    const { status } = await temporal.workflow.getHandle(workflowId, runId).describe();
    return status.name !== 'RUNNING';
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return true;
    throw error;
  }
}

/** The status again and again until the migration has ended; the last one is of its end. */
export async function* followMigration(
  context: ControlContext,
  keyspace: string,
  partition: string,
  everyMs = 500,
): AsyncGenerator<MigrationStatus, void> {
  const { id } = await migrationStatus(context, keyspace, partition);
  for (;;) {
    const status = await migrationStatus(context, keyspace, partition);
    // Another one has begun: how this one ended stands in its own record.
    if (status.id !== id) {
      yield merged((await context.catalog.migrations.find(id))!, undefined);
      return;
    }
    yield status;
    if (status.state !== 'running' || status.abandoned) return;
    await sleep(everyMs);
  }
}

async function newestRecord(context: ControlContext, keyspace: string, partition: string): Promise<MigrationDocument> {
  await context.catalog.partitions.get(keyspace, partition);
  const [newest] = await context.catalog.migrations.list({ keyspace, partition }, 1);
  if (newest !== undefined) return newest;
  throw new DroverError(
    'InvalidRequest',
    `${keyspace}/${partition} has never moved; "drover migration list" shows migrations`,
  );
}

/** The workflow knows what it waits for; the record has counts that grow while an activity runs. */
function merged(record: MigrationDocument, progress: MigrationProgress | undefined): MigrationStatus {
  const { _id: id, steps, reason, decision, error, endedAt } = record;
  const { compared = 0 } = record;
  const why = progress?.reason ?? error;
  const next = record.weights.filter((weight) => weight > record.weight);
  return {
    id,
    workflowId: record.workflowId,
    keyspace: record.keyspace,
    partition: record.partition,
    source: record.source,
    target: record.target,
    state: record.state,
    phase: progress?.phase ?? record.phase,
    weight: progress?.weight ?? record.weight,
    weights: progress?.weights ?? (record.state === 'running' ? next : []),
    paused: progress?.paused ?? false,
    ...(progress?.waitingFor === undefined ? {} : { waitingFor: progress.waitingFor }),
    documents: Math.max(record.documents, progress?.documents ?? 0),
    bytes: Math.max(record.bytes, progress?.bytes ?? 0),
    compared: Math.max(compared, progress?.compared ?? 0),
    ...(record.state === 'running' ? migrationFigures(record, progress, Date.now()) : {}),
    steps,
    pauseMsMax: Math.max(0, ...steps.map((step) => step.pauseMs)),
    requestedBy: record.requestedBy,
    ...(reason === undefined ? {} : { reason }),
    ...(decision === undefined ? {} : { decision }),
    ...(why === undefined ? {} : { error: why }),
    startedAt: record.startedAt,
    ...(endedAt === undefined ? {} : { endedAt }),
  };
}
