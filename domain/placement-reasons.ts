/** Codes of why a move is planned, why a partition stays, and why a node was not chosen as its target. */
export const PlacementReason = {
  // why a move
  /** The ownership score is below the trigger already. */
  ScoreBelowTrigger: 'score-below-trigger',
  /** The ownership score is forecast to fall below the trigger. */
  ScoreWillFall: 'score-will-fall',
  /** More of the forecast requests will be served in their own region. */
  LocalityGain: 'locality-gain',

  // why a partition stays
  TooLittleHistory: 'too-little-history',
  NoRequests: 'no-requests',
  TooFewRequests: 'too-few-requests',
  AlreadyMoving: 'already-moving',
  SourceUnknown: 'source-unknown',
  SourceUnreachable: 'source-unreachable',
  ScoreAboveTrigger: 'score-above-trigger',
  ProbabilityTooLow: 'probability-too-low',
  DwellTime: 'dwell-time',
  NoTarget: 'no-target',
  MovesPerHour: 'moves-per-hour',

  // why not this target
  NodeUnreachable: 'node-unreachable',
  NodeDraining: 'node-draining',
  NodeCoolingDown: 'node-cooling-down',
  LoadUnknown: 'load-unknown',
  LoadTooHigh: 'load-too-high',
  GainTooSmall: 'gain-too-small',
  LessGain: 'less-gain',
  MoreLoad: 'more-load',
} as const;

export type PlacementReason = (typeof PlacementReason)[keyof typeof PlacementReason];

/** A code for programs and a sentence with the numbers for people. */
export interface Reason {
  readonly code: PlacementReason;
  readonly text: string;
}

export const reason = (code: PlacementReason, text: string): Reason => ({ code, text });

/** A share as people read it: 0.4567 is 45.7 %. */
export const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;

/** A score or a probability with two decimals. */
export const decimal = (value: number): string => value.toFixed(2);

export const hours = (milliseconds: number): string => `${(milliseconds / 3_600_000).toFixed(1)} h`;
