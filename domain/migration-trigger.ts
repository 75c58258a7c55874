import { ownershipMetrics, ownershipScore } from './ownership-score.js';
import type { PlacementNode, PlacementPartition, PlacementPolicy } from './placement-input.js';
import { decimal, hours, PlacementReason, reason } from './placement-reasons.js';
import type { Reason } from './placement-reasons.js';
import type { Findings, PlannedStay } from './planned-decision.js';
import { forecastRequestsByRegion, predictedOwnershipScore, scoreCrossing } from './predicted-score.js';

/** A partition whose score calls for a move. */
export interface Called {
  readonly kind: 'called';
  readonly partition: PlacementPartition;
  readonly source: PlacementNode;
  readonly findings: Findings;
  readonly why: Reason;
  /** Forecast requests over the horizon, by region and in all. */
  readonly byRegion: ReadonlyMap<string, number>;
  readonly requests: number;
}

/** Does the score of this partition, now or as forecast, call for a move, and may it move at all? */
export function assess(
  partition: PlacementPartition,
  source: PlacementNode | undefined,
  policy: PlacementPolicy,
  now: number,
): Called | PlannedStay {
  const { forecast, weights } = partition;
  const metrics = source && ownershipMetrics(partition.windows, source.region);
  const score = metrics && ownershipScore(metrics, weights);
  let findings: Findings = {
    partition: partition.name,
    source: partition.owner,
    score,
    predictedScore: undefined,
    crossingAt: undefined,
    probability: undefined,
  };
  const stay = (code: PlacementReason, text: string): PlannedStay => ({
    kind: 'stay',
    ...findings,
    whyNot: reason(code, text),
    rejected: [],
  });

  if (partition.movingTo !== undefined) {
    return stay(PlacementReason.AlreadyMoving, `It is moving to ${partition.movingTo}.`);
  }
  if (source === undefined)
    return stay(PlacementReason.SourceUnknown, `Its owner ${partition.owner} is not a known node.`);
  if (!source.reachable) return stay(PlacementReason.SourceUnreachable, `Its owner ${source.name} cannot be reached.`);
  if (forecast === undefined || forecast.regions.length === 0) {
    return stay(PlacementReason.TooLittleHistory, 'Its history is too short for a forecast.');
  }
  if (metrics === undefined || score === undefined) {
    return stay(PlacementReason.NoRequests, 'It had no requests in the score window, so it has no score.');
  }

  const crossing = scoreCrossing({
    ...{ forecast, metrics, weights, observed: partition.windows },
    primaryRegion: source.region,
    trigger: policy.migrationTrigger,
    scoreWindowSteps: policy.scoreWindowSteps,
  });
  const belowNow = score < policy.migrationTrigger;
  const crossingAt = belowNow
    ? now
    : crossing.firstStep === undefined
      ? undefined
      : forecast.start + crossing.firstStep * forecast.stepMs;
  const probability = belowNow ? 1 : crossing.largestProbability;
  const predictedScore = predictedOwnershipScore(forecast, source.region, metrics, weights);
  findings = { ...findings, predictedScore, crossingAt, probability };

  const byRegion = forecastRequestsByRegion(forecast);
  const requests = [...byRegion.values()].reduce((sum, value) => sum + value, 0);
  if (requests < policy.minimumRequests || requests <= 0) {
    return stay(
      PlacementReason.TooFewRequests,
      `${Math.round(requests)} requests are forecast, a move is worth while from ${policy.minimumRequests}.`,
    );
  }
  const trigger = decimal(policy.migrationTrigger);
  if (crossingAt === undefined) {
    return stay(
      PlacementReason.ScoreAboveTrigger,
      `Its score is ${decimal(score)} and not forecast to fall below ${trigger} (probability ${decimal(probability)}).`,
    );
  }
  if (probability < policy.minimumProbability) {
    return stay(
      PlacementReason.ProbabilityTooLow,
      `Its score falls below ${trigger} with probability ${decimal(probability)}, ${decimal(policy.minimumProbability)} is asked for.`,
    );
  }
  const sinceMove = partition.lastMovedAt === undefined ? Infinity : now - partition.lastMovedAt;
  if (sinceMove < policy.dwellMs) {
    return stay(
      PlacementReason.DwellTime,
      `It moved ${hours(sinceMove)} ago and stays at least ${hours(policy.dwellMs)}.`,
    );
  }
  const why = belowNow
    ? reason(PlacementReason.ScoreBelowTrigger, `Its score is ${decimal(score)}, below ${trigger}.`)
    : reason(
        PlacementReason.ScoreWillFall,
        `Its score of ${decimal(score)} is forecast to fall below ${trigger} in ${hours(Math.max(0, crossingAt - now))} (probability ${decimal(probability)}).`,
      );
  return { kind: 'called', partition, source, findings, why, byRegion, requests };
}
