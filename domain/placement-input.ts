import type { AccessWindow } from './access.js';
import type { OwnershipWeights } from './ownership-score.js';
import type { PartitionForecast } from './predicted-score.js';

/** A node as the planner sees it. */
export interface PlacementNode {
  readonly name: string;
  readonly region: string;
  readonly reachable: boolean;
  readonly draining: boolean;
  /** Operations per second now; `undefined` if the node cannot tell, which is not zero. */
  readonly opsPerSecond: number | undefined;
  /** Without a capacity the node has no load limit. */
  readonly capacity?: { readonly opsPerSecond: number } | undefined;
}

/** A partition as the planner sees it. Times are milliseconds since the epoch. */
export interface PlacementPartition {
  readonly name: string;
  /** Name of the node that owns it. */
  readonly owner: string;
  readonly sizeBytes?: number | undefined;
  /** End of its last move. */
  readonly lastMovedAt?: number | undefined;
  /** The node it is moving to, while it does. */
  readonly movingTo?: string | undefined;
  /** Of its ownership score: those of its type. */
  readonly weights: OwnershipWeights;
  /** Its latest windows, all regions: the score window. */
  readonly windows: readonly AccessWindow[];
  /** Time that `windows` cover, in milliseconds. */
  readonly observedMs: number;
  /** `undefined` when the history is too short for a forecast. */
  readonly forecast: PartitionForecast | undefined;
}

export interface PlacementPolicy {
  /** A partition may move when its ownership score is, or is forecast to fall, below this. */
  readonly migrationTrigger: number;
  /** Forecast steps that make up the score window; 1 or more. */
  readonly scoreWindowSteps: number;
  /** Least probability of the score falling below the trigger, in [0, 1]; 0 asks for none. */
  readonly minimumProbability: number;
  /** Least gain in the share of requests that are served in their own region, in [0, 1]. */
  readonly minimumGain: number;
  /** Least requests forecast over the horizon for a move to be worth while. */
  readonly minimumRequests: number;
  /** Forecast load that a target must stay below, as a share of its capacity. */
  readonly maxNodeLoad: number;
  /** A partition stays at least this long where it has moved to, in milliseconds. */
  readonly dwellMs: number;
  /** After a partition arrived, a node is no target for this long: its load does not show the arrival yet. Milliseconds. */
  readonly coolDownMs: number;
  /** Moves that ended within the last hour, those under way and those planned, together. */
  readonly maxMovesPerHour: number;
}

export interface PlacementInput {
  readonly partitions: readonly PlacementPartition[];
  readonly nodes: readonly PlacementNode[];
  readonly policy: PlacementPolicy;
  /** Milliseconds since the epoch. */
  readonly now: number;
}
