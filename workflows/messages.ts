import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import type { Admission, Place } from '../domain/admission.js';

/** Task queues: decisions and steering; and bulk work, best run close to the nodes. */
export const CONTROL_QUEUE = 'drover-control';
export const DATA_QUEUE = 'drover-data';

export const ADMISSION_WORKFLOW_ID = 'drover-admission';
export const REPAIR_WORKFLOW_ID = 'drover-repair';
export const FORECAST_SCHEDULE_ID = 'drover-forecast';
export const ANOMALY_SCHEDULE_ID = 'drover-anomalies';
/**
 * Of some partitions of one keyspace after the window that ended then, milliseconds of Drover's time.
 *
 * @param partitions digest of their names: those of the same window may be too many for one evaluation. None in looks of
 *   earlier versions, which are replayed
 */
export const reevaluationWorkflowId = (keyspace: string, windowEnd: number, partitions?: string): string =>
  `forecast/anomaly/${keyspace}/${new Date(windowEnd).toISOString()}${partitions === undefined ? '' : `/${partitions}`}`;
/** Temporal adds the time to it, as the schedule starts one run after the other. */
export const FORECAST_WORKFLOW_ID = 'forecast';
export const migrationWorkflowId = (keyspace: string, partition: string): string =>
  `migration/${keyspace}/${partition}`;
export const decisionWorkflowId = (decision: string): string => `decision/${decision}`;

export const searchAttributes = {
  keyspace: defineSearchAttributeKey('DroverKeyspace', SearchAttributeType.KEYWORD),
  partition: defineSearchAttributeKey('DroverPartition', SearchAttributeType.KEYWORD),
  source: defineSearchAttributeKey('DroverSource', SearchAttributeType.KEYWORD),
  target: defineSearchAttributeKey('DroverTarget', SearchAttributeType.KEYWORD),
  phase: defineSearchAttributeKey('DroverPhase', SearchAttributeType.KEYWORD),
};

/** Input of `migrationWorkflow`: plain JSON, so that it can be typed into the Temporal CLI or UI. */
export interface MigrationInput {
  readonly keyspace: string;
  readonly partition: string;
  /** Name of the node to move to. */
  readonly target: string;
  /** Percent of the partition's load, strictly rising to 100. Default: policy. */
  readonly weights?: readonly number[];
  /** Time between two weights: milliseconds, or a duration such as `30s`. Default: policy. */
  readonly dwell?: number | string;
  /** Time at 100 percent in which rollback stays possible. Default: policy. */
  readonly soak?: number | string;
  /** Megabytes (10^6 bytes) a second that backfill and verification may read; 0 = no limit. Default: policy. */
  readonly maxMegabytesPerSecond?: number;
  /** The same in documents; the tighter limit binds. */
  readonly maxDocumentsPerSecond?: number;
  /** Wait for `approve` before the first weight. */
  readonly approveCutover?: boolean;
  /**
   * Of a keyspace that was adopted: move although clients are seen that write past the routers. What these delete is not carried
   * over.
   */
  readonly allowDirectWriters?: boolean;
  /** Who asks, for the record. */
  readonly requestedBy?: string;
  readonly reason?: string;
  /** Id of the decision that this move carries out. */
  readonly decision?: string;
}

/** Input of `recoveryWorkflow`, which ends a migration that its own workflow has left. */
export interface RecoveryInput {
  readonly migration: string;
  readonly keyspace: string;
  readonly partition: string;
  readonly target: string;
}

/** What `repairWorkflow` did, in sentences. */
export interface RepairReport {
  readonly repaired: string[];
  readonly failed: string[];
  /** Workflows that end migrations which were left; they go on by themselves. */
  readonly recoveries: string[];
}

export const MigrationPhase = {
  validate: 'validate',
  admission: 'admission',
  shadow: 'shadow',
  backfill: 'backfill',
  replicate: 'replicate',
  verify: 'verify',
  approval: 'approval',
  cutover: 'cutover',
  soak: 'soak',
  retire: 'retire',
  rollback: 'rollback',
  completed: 'completed',
  rolledBack: 'rolledBack',
} as const;
export type MigrationPhase = (typeof MigrationPhase)[keyof typeof MigrationPhase];

/**
 * What the workflow itself knows. How far a long activity is stands in its heartbeat (`temporal workflow describe`) and in
 * the catalog (`drover migration show`): told to the workflow, it would make the history grow.
 */
export interface MigrationProgress {
  readonly migration: string;
  readonly keyspace: string;
  readonly partition: string;
  readonly source: string;
  readonly target: string;
  readonly phase: MigrationPhase;
  /** When the phase began, milliseconds since 1970. */
  readonly phaseSince: number;
  /** Until when it stays at its present weight, or in its soak, if nothing happens; milliseconds since 1970. */
  readonly until?: number;
  /** The target's share of the load now, in percent. */
  readonly weight: number;
  /** Weights still to come. */
  readonly weights: readonly number[];
  readonly paused: boolean;
  /** What it waits for, if anything. */
  readonly waitingFor?: string;
  readonly documents: number;
  readonly bytes: number;
  /** Documents compared by the verification. */
  readonly compared: number;
  /** Boundary steps done, and the longest and latest write pause of one, milliseconds. */
  readonly steps: number;
  readonly pauseMsMax: number;
  readonly pauseMsLast: number;
  /** Why it rolls back, if it does. */
  readonly reason?: string;
}

export interface MigrationResult {
  readonly migration: string;
  readonly outcome: 'completed' | 'rolledBack';
  readonly documents: number;
  readonly bytes: number;
  readonly pauseMsMax: number;
  readonly reason?: string;
}

/** All updates return the progress after them. `by` is for the record. */
export interface SteeringRequest {
  readonly by?: string;
  readonly reason?: string;
}
export interface AmendWeights extends SteeringRequest {
  readonly weights: readonly number[];
}

export const pause = defineUpdate<MigrationProgress, [SteeringRequest | undefined]>('pause');
export const resume = defineUpdate<MigrationProgress, [SteeringRequest | undefined]>('resume');
export const approve = defineUpdate<MigrationProgress, [SteeringRequest | undefined]>('approve');
export const amendWeights = defineUpdate<MigrationProgress, [AmendWeights]>('amendWeights');
export const rollback = defineUpdate<MigrationProgress, [SteeringRequest | undefined]>('rollback');
export const abort = defineUpdate<MigrationProgress, [SteeringRequest | undefined]>('abort');
export const progress = defineQuery<MigrationProgress>('progress');

/** Between a migration and the admission workflow. Moves by hand have a higher priority than those by forecast. */
export type PlaceRequest = Place;
export const requestPlace = defineSignal<[PlaceRequest]>('requestPlace');
export const releasePlace = defineSignal<[{ readonly workflowId: string; readonly runId: string }]>('releasePlace');
export const admitted = defineSignal('admitted');

export type AdmissionInput = Partial<Admission>;
export const admissionState = defineQuery<Admission>('admissionState');

export interface ForecastInput {
  /** Only this keyspace; all of them when absent. */
  readonly keyspace?: string;
  /** Only these partitions of it. */
  readonly partitions?: readonly string[];
  /** Plan and print, record nothing, start nothing. */
  readonly dryRun?: boolean;
}

export interface ForecastSummary {
  readonly mode: string;
  readonly partitions: number;
  readonly forecasts: number;
  readonly decisions: readonly {
    readonly id: string;
    readonly keyspace: string;
    readonly partition: string;
    readonly target: string;
    /** That of the decision in the catalog; `planned` in a dry run. */
    readonly state: string;
    /** Why, in a sentence or two. */
    readonly summary: string;
  }[];
  /** How many partitions stay where they are, by the code of the reason. */
  readonly stays: Readonly<Record<string, number>>;
  /** What was not done, and why. */
  readonly note?: string;
}

/** What a look for anomalies found, and had evaluated anew. */
export interface AnomalySummary {
  readonly found: number;
  readonly reevaluations: readonly {
    readonly keyspace: string;
    readonly partitions: readonly string[];
    readonly workflowId: string;
  }[];
  readonly note?: string;
}

/** A decision that waits for approval. */
export interface DecisionInput {
  readonly decision: string;
  readonly migration: MigrationInput;
  readonly expireAfterMs: number;
}
export interface DecisionRequest {
  readonly by?: string;
  readonly reason?: string;
}
export interface DecisionResult {
  readonly decision: string;
  readonly state: 'started' | 'refused' | 'rejected' | 'expired';
  /** Of the migration, where it was started. */
  readonly workflowId?: string;
  readonly note?: string;
}
/** Returns the workflow id of the migration. */
export const approveDecision = defineUpdate<string, [DecisionRequest | undefined]>('approve');
/** Returns the state of the decision. */
export const rejectDecision = defineUpdate<string, [DecisionRequest | undefined]>('reject');
