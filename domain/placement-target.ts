import { compareNames } from './names.js';
import type { PlacementNode } from './placement-input.js';
import { decimal, hours, percent, PlacementReason, reason } from './placement-reasons.js';
import type { Reason } from './placement-reasons.js';

/** A node that a partition could move to, with its figures at this point of the plan. */
export interface TargetCandidate {
  readonly node: PlacementNode;
  /** Share of the forecast requests served in their own region at this node minus at the source, in [-1, 1]. */
  readonly gain: number;
  /** Forecast load with the partition, as a share of the capacity; `undefined` if load or capacity is unknown. */
  readonly loadShare: number | undefined;
  /** Time since a partition last arrived here, in milliseconds; `undefined`: none is known. */
  readonly sinceArrivalMs: number | undefined;
}

export interface RejectedTarget {
  readonly node: string;
  readonly gain: number;
  readonly loadShare: number | undefined;
  readonly reason: Reason;
}

export interface TargetLimits {
  readonly maxNodeLoad: number;
  readonly minimumGain: number;
  readonly coolDownMs: number;
}

export interface TargetChoice {
  readonly chosen: TargetCandidate | undefined;
  readonly rejected: readonly RejectedTarget[];
}

type HardGoal = (candidate: TargetCandidate, limits: TargetLimits) => Reason | undefined;

/** What a target must fulfil, in the order in which it is asked for; the first that fails is the reason why not. */
const HARD_GOALS: readonly HardGoal[] = [
  ({ node }) =>
    node.reachable ? undefined : reason(PlacementReason.NodeUnreachable, `${node.name} cannot be reached.`),
  ({ node }) => (node.draining ? reason(PlacementReason.NodeDraining, `${node.name} is being drained.`) : undefined),
  ({ node, sinceArrivalMs }, { coolDownMs }) =>
    sinceArrivalMs !== undefined && sinceArrivalMs < coolDownMs
      ? reason(
          PlacementReason.NodeCoolingDown,
          `${node.name} received a partition ${hours(sinceArrivalMs)} ago; its figures show that after ${hours(coolDownMs)}.`,
        )
      : undefined,
  ({ node, loadShare }, { maxNodeLoad }) => {
    if (node.capacity === undefined) return undefined;
    if (loadShare === undefined) {
      return reason(PlacementReason.LoadUnknown, `The load of ${node.name} is unknown, so its limit cannot be kept.`);
    }
    return loadShare < maxNodeLoad
      ? undefined
      : reason(
          PlacementReason.LoadTooHigh,
          `${node.name} would carry ${percent(loadShare)} of its capacity, the limit is ${percent(maxNodeLoad)}.`,
        );
  },
  ({ node, gain }, { minimumGain }) =>
    gain <= 0 || gain < minimumGain
      ? reason(
          PlacementReason.GainTooSmall,
          `At ${node.name} ${percent(gain)} more of the requests would be local, ${percent(minimumGain)} are asked for.`,
        )
      : undefined,
];

/**
 * `SelectTargetNode` of source document 1: hard goals first, then the soft goals in order: gain in locality (network
 * latency to the clients), load of the target (an unknown load comes last), name.
 */
export function selectTarget(candidates: readonly TargetCandidate[], limits: TargetLimits): TargetChoice {
  const rejected: RejectedTarget[] = [];
  const eligible: TargetCandidate[] = [];
  for (const candidate of candidates) {
    const failed = firstFailure(candidate, limits);
    if (failed === undefined) eligible.push(candidate);
    else rejected.push(reject(candidate, failed));
  }
  const [chosen, ...others] = eligible.sort(bySoftGoals);
  if (chosen !== undefined) rejected.push(...others.map((other) => reject(other, whyBehind(other, chosen))));
  return { chosen, rejected: rejected.sort((a, b) => compareNames(a.node, b.node)) };
}

function firstFailure(candidate: TargetCandidate, limits: TargetLimits): Reason | undefined {
  for (const goal of HARD_GOALS) {
    const failed = goal(candidate, limits);
    if (failed !== undefined) return failed;
  }
  return undefined;
}

/** Two nodes of one region have the same gain, so the load decides between them. */
function bySoftGoals(a: TargetCandidate, b: TargetCandidate): number {
  if (a.gain !== b.gain) return b.gain - a.gain;
  const loadA = a.loadShare ?? Infinity;
  const loadB = b.loadShare ?? Infinity;
  return loadA === loadB ? compareNames(a.node.name, b.node.name) : loadA - loadB;
}

function whyBehind(other: TargetCandidate, chosen: TargetCandidate): Reason {
  if (other.gain < chosen.gain) {
    return reason(
      PlacementReason.LessGain,
      `${percent(other.gain)} more local requests, ${chosen.node.name} offers ${percent(chosen.gain)}.`,
    );
  }
  const load = (share: number | undefined): string => (share === undefined ? 'unknown' : decimal(share));
  return reason(
    PlacementReason.MoreLoad,
    `The same gain, but a load of ${load(other.loadShare)} instead of ${load(chosen.loadShare)} on ${chosen.node.name}.`,
  );
}

const reject = ({ node, gain, loadShare }: TargetCandidate, why: Reason): RejectedTarget => ({
  node: node.name,
  gain,
  loadShare,
  reason: why,
});
