import type { Client } from '@temporalio/client';
import type { Logger } from '@temporalio/common';
import type { CopyLimits } from '../domain/copy-limits.js';
import type { OwnershipPolicy } from '../domain/ownership-score.js';
import type { WatchPolicy } from '../domain/watch.js';
import type { Catalog } from '../store/catalog/catalog.js';
import type { NodePool } from '../store/node-pool.js';
import type { MigrationPhase } from '../workflows/messages.js';

/** Defaults of a move; all times in milliseconds. */
export interface MigrationPolicy extends CopyLimits {
  readonly concurrency: number;
  readonly perNode: number;
  readonly weights: readonly number[];
  readonly dwell: number;
  readonly soak: number;
  /** How long a boundary step may keep writes waiting for routers or replication before it is undone. */
  readonly stepTimeout: number;
  /** Whether a copy gets indexes that are not unique after its documents, or before. */
  readonly secondaryIndexes: 'after' | 'before';
  /** What to do when indexes or options of the collection are changed while it moves: make the change, or roll back. */
  readonly onDefinitionChange: 'copy' | 'stop';
  /** How long clients that write past the routers are looked for, milliseconds. */
  readonly watchWriters: number;
  readonly rollbackWhen: WatchPolicy;
}

/** What Drover may do by itself. */
export type Mode = 'observe' | 'recommend' | 'automatic';

/** How long access history is kept, lengths of Drover's time in milliseconds. */
export interface AccessPolicy {
  readonly window: number;
  readonly keep: { readonly records: number; readonly windows: number; readonly hours: number };
}

/** How the load is measured and foreseen; lengths of Drover's time in milliseconds. */
export interface ForecastPolicy {
  /** Time between two runs. */
  readonly every: number;
  /** Length of one step. */
  readonly window: number;
  readonly history: number;
  readonly horizon: number;
  readonly season: readonly number[];
  /** Coverage of the prediction intervals, in (0, 1). */
  readonly level: number;
  /** Names of the models in the race; the seasonal naive always takes part. */
  readonly models: readonly string[];
}

/** What makes a move worth while; lengths of Drover's time in milliseconds. */
export interface PlanPolicy {
  readonly trigger: number;
  readonly minimumGain: number;
  readonly minimumRequests: number;
  readonly dwell: number;
  readonly maxMovesPerHour: number;
  readonly maxNodeLoad: number;
}

/** How anomalies of the load are found; lengths of Drover's time in milliseconds. */
export interface AnomalyPolicy {
  /** Length of one window. */
  readonly window: number;
  readonly history: number;
  /** Least time between two re-evaluations of one partition. */
  readonly coolDown: number;
}

export interface DecisionPolicy {
  /** Real time in which a person may answer, milliseconds. */
  readonly expireAfter: number;
}

/** What activities are made from; tests pass the same. */
export interface Dependencies {
  readonly catalog: Catalog;
  readonly nodes: NodePool;
  readonly temporal: Client;
  readonly migration: MigrationPolicy;
  readonly mode: Mode;
  readonly access: AccessPolicy;
  readonly score: OwnershipPolicy;
  readonly forecast: ForecastPolicy;
  readonly plan: PlanPolicy;
  readonly anomalies: AnomalyPolicy;
  readonly decisions: DecisionPolicy;
  /** Drover's time, milliseconds; scaled in replays. */
  readonly now: () => number;
  /** Seconds of Drover's time per real second: loads are measured in real time, forecast in Drover's. */
  readonly clockRate: number;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
}

/** Everything later steps need to know of a move: small, and the same in every step. */
export interface Move {
  readonly migration: string;
  readonly keyspace: string;
  readonly partition: string;
  readonly source: string;
  readonly target: string;
  /** The phase that begins with an activity: it notes that in the catalog. */
  readonly phase?: MigrationPhase;
}

export interface MovePlan extends Move, CopyLimits {
  readonly weights: readonly number[];
  readonly dwellMs: number;
  readonly soakMs: number;
  readonly allowDirectWriters?: boolean;
}
