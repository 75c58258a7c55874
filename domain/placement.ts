import { DroverError } from './errors.js';
import { assess } from './migration-trigger.js';
import type { Called } from './migration-trigger.js';
import { compareNames } from './names.js';
import { forecastNodeLoads, peakPerSecond } from './node-load.js';
import type { PartitionLoad } from './node-load.js';
import type { PlacementInput, PlacementNode, PlacementPartition } from './placement-input.js';
import { percent, PlacementReason, reason } from './placement-reasons.js';
import { selectTarget } from './placement-target.js';
import type { RejectedTarget, TargetCandidate, TargetChoice } from './placement-target.js';
import type { PlannedDecision, PlannedMove, PlannedStay } from './planned-decision.js';

const HOUR_MS = 3_600_000;

/**
 * Decides which partitions to move where: "Prediction" and "Candidate Node Selection" of source document 1, "Migration
 * Threshold" and the proximity policy of source document 4.
 *
 * One decision for each partition, moves first, by benefit. In three steps: find the partitions whose score calls for a
 * move; rank them by what the best target they could have would gain; give each its target in that order, counting the
 * moves under way and those picked before it. Pure and deterministic, whatever the order of the input.
 *
 * @throws DroverError `InvalidRequest` if two partitions or two nodes have one name, or a forecast is malformed.
 */
export function planMoves(input: PlacementInput): PlannedDecision[] {
  requireUnique(input.partitions, 'partition');
  requireUnique(input.nodes, 'node');
  const { policy, now } = input;
  const nodes = [...input.nodes].sort((a, b) => compareNames(a.name, b.name));
  const partitions = [...input.partitions].sort((a, b) => compareNames(a.name, b.name));

  const nodeByName = new Map(nodes.map((node) => [node.name, node]));

  const called: Called[] = [];
  const stays: PlannedStay[] = [];
  for (const partition of partitions) {
    const assessed = assess(partition, nodeByName.get(partition.owner), policy, now);
    if (assessed.kind === 'stay') stays.push(assessed);
    else called.push(assessed);
  }

  const nodeLoads = forecastNodeLoads(nodes, partitions.map(loadOf));
  const arrivals = latestArrivals(partitions);
  const choose = (entry: Called): TargetChoice =>
    selectTarget(candidates(entry, nodes, nodeLoads, arrivals, now), policy);
  const ranked = called
    .map((entry) => ({ entry, benefit: (choose(entry).chosen?.gain ?? 0) * entry.requests }))
    .sort((a, b) => b.benefit - a.benefit || compareNames(a.entry.partition.name, b.entry.partition.name));

  const moves: PlannedMove[] = [];
  let movesLeft = policy.maxMovesPerHour - movesInLastHour(partitions, now);
  for (const { entry } of ranked) {
    const { chosen, rejected } = choose(entry);
    if (chosen === undefined) {
      const text =
        rejected.length === 0 ? 'There is no other node.' : 'No other node would do; each is listed with its reason.';
      stays.push({ kind: 'stay', ...entry.findings, whyNot: reason(PlacementReason.NoTarget, text), rejected });
    } else if (movesLeft < 1) {
      const text = `${chosen.node.name} would do, but no more than ${policy.maxMovesPerHour} moves an hour are allowed.`;
      stays.push({ kind: 'stay', ...entry.findings, whyNot: reason(PlacementReason.MovesPerHour, text), rejected });
    } else {
      movesLeft -= 1;
      const load = nodeLoads.get(chosen.node.name);
      if (load !== undefined) nodeLoads.set(chosen.node.name, load + loadOf(entry.partition).peakPerSecond);
      moves.push(move(entry, chosen, rejected));
    }
  }
  moves.sort((a, b) => b.requestsGained - a.requestsGained || compareNames(a.partition, b.partition));
  stays.sort((a, b) => compareNames(a.partition, b.partition));
  return [...moves, ...stays];
}

function candidates(
  { partition, source, byRegion, requests }: Called,
  nodes: readonly PlacementNode[],
  nodeLoads: ReadonlyMap<string, number>,
  arrivals: ReadonlyMap<string, number>,
  now: number,
): TargetCandidate[] {
  const localShare = (region: string): number => (byRegion.get(region) ?? 0) / requests;
  const peak = loadOf(partition).peakPerSecond;
  return nodes
    .filter((node) => node !== source)
    .map((node) => {
      const load = nodeLoads.get(node.name);
      const arrival = arrivals.get(node.name);
      return {
        node,
        gain: localShare(node.region) - localShare(source.region),
        loadShare:
          load === undefined || node.capacity === undefined ? undefined : (load + peak) / node.capacity.opsPerSecond,
        sinceArrivalMs: arrival === undefined ? undefined : now - arrival,
      };
    });
}

function move(
  { findings, why, requests }: Called,
  target: TargetCandidate,
  rejected: readonly RejectedTarget[],
): PlannedMove {
  const { node, gain, loadShare } = target;
  const load =
    loadShare === undefined ? 'its load limit is not known' : `it would carry ${percent(loadShare)} of its capacity`;
  const gained = reason(
    PlacementReason.LocalityGain,
    `At ${node.name} ${percent(gain)} more of ${Math.round(requests)} forecast requests are served in their own region; ${load}.`,
  );
  return {
    kind: 'move',
    ...findings,
    target: node.name,
    gain,
    requestsGained: gain * requests,
    why: [why, gained],
    rejected,
  };
}

function loadOf({ owner, movingTo, windows, observedMs, forecast }: PlacementPartition): PartitionLoad {
  const requests = windows.reduce((sum, window) => sum + window.reads + window.writes, 0);
  const nowPerSecond = observedMs > 0 ? (requests * 1000) / observedMs : 0;
  const peak = forecast === undefined ? nowPerSecond : Math.max(nowPerSecond, peakPerSecond(forecast));
  return { owner, movingTo, nowPerSecond, peakPerSecond: peak };
}

/** When each node last received a partition that is still there. */
function latestArrivals(partitions: readonly PlacementPartition[]): ReadonlyMap<string, number> {
  const arrivals = new Map<string, number>();
  for (const { owner, lastMovedAt } of partitions) {
    if (lastMovedAt !== undefined) arrivals.set(owner, Math.max(lastMovedAt, arrivals.get(owner) ?? -Infinity));
  }
  return arrivals;
}

function movesInLastHour(partitions: readonly PlacementPartition[], now: number): number {
  const underWay = partitions.filter(({ movingTo }) => movingTo !== undefined).length;
  const ended = partitions.filter(({ lastMovedAt }) => lastMovedAt !== undefined && now - lastMovedAt < HOUR_MS).length;
  return underWay + ended;
}

function requireUnique(named: readonly { readonly name: string }[], what: string): void {
  const seen = new Set<string>();
  for (const { name } of named) {
    if (seen.has(name)) throw new DroverError('InvalidRequest', `There are two ${what}s named ${name}.`);
    seen.add(name);
  }
}
