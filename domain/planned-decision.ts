import type { Reason } from './placement-reasons.js';
import type { RejectedTarget } from './placement-target.js';

/** The figures behind a decision. */
export interface Findings {
  readonly partition: string;
  readonly source: string;
  /** Ownership score now, and over the forecast horizon; `undefined` without requests or without a forecast. */
  readonly score: number | undefined;
  readonly predictedScore: number | undefined;
  /** Start of the first step in which the score lies below the trigger (now, if it does already), since the epoch. */
  readonly crossingAt: number | undefined;
  /** Largest probability within the horizon of the score lying below the trigger, in [0, 1]; 1 if it does already. */
  readonly probability: number | undefined;
}

export interface PlannedMove extends Findings {
  readonly kind: 'move';
  readonly target: string;
  /** Gain in the share of forecast requests served in their own region, in (0, 1]. */
  readonly gain: number;
  /** The same in requests over the forecast horizon: the benefit that moves are ordered by. */
  readonly requestsGained: number;
  readonly why: readonly Reason[];
  readonly rejected: readonly RejectedTarget[];
}

export interface PlannedStay extends Findings {
  readonly kind: 'stay';
  readonly whyNot: Reason;
  /** Targets that were looked at; empty if it did not come to that. */
  readonly rejected: readonly RejectedTarget[];
}

export type PlannedDecision = PlannedMove | PlannedStay;
