import type { AccessWindow } from '../domain/access.js';
import { ownershipWeights } from '../domain/ownership-score.js';
import type { Partition } from '../domain/partition.js';
import type { PlacementInput, PlacementNode, PlacementPartition } from '../domain/placement-input.js';
import { planMoves } from '../domain/placement.js';
import type { PlannedMove, PlannedStay } from '../domain/planned-decision.js';
import type { PartitionForecast } from '../domain/predicted-score.js';
import type { DecisionDocument, DecisionState } from '../store/catalog/decisions.js';
import type { ForecastDocument } from '../store/catalog/forecasts.js';
import type { NodeDocument } from '../store/catalog/nodes.js';
import type { Dependencies, Mode } from './dependencies.js';
import type { KeyspaceForecast } from './forecast-series.js';
import { decidedPartitions } from './open-decisions.js';
import type { ForecastGrid } from './request-history.js';
import { forecastGrid } from './request-history.js';

const HOUR_MS = 3_600_000;

/** The mean forecast has to lie beyond the trigger, which is a probability of one half. */
const MINIMUM_PROBABILITY = 0.5;

/** A decision, as small as a workflow's history wants it. */
export interface PlannedMoveSummary {
  readonly id: string;
  readonly partition: string;
  readonly target: string;
  readonly state: DecisionState | 'planned';
  readonly summary: string;
}

export interface PlanRequest extends KeyspaceForecast {
  readonly mode: Mode;
  /** Plan with fresh figures, and record nothing. */
  readonly dryRun: boolean;
  readonly atMost: number;
}

export interface Plan {
  readonly partitions: number;
  readonly decisions: readonly DecisionDocument[];
  readonly stays: Readonly<Record<string, number>>;
}

export const stateIn = (mode: Mode): DecisionState =>
  (({ observe: 'observed', recommend: 'recommended', automatic: 'approved' }) as const)[mode];

export const summaryOf = (decision: DecisionDocument, dryRun: boolean): PlannedMoveSummary => ({
  id: decision._id,
  partition: decision.partition,
  target: decision.target,
  state: dryRun ? 'planned' : decision.state,
  summary: decision.reasons.map(({ text }) => text).join(' '),
});

/** Decides which partitions of a keyspace to move, from its forecasts. Records nothing but decisions that are dead. */
export async function planFrom(
  dependencies: Dependencies,
  request: PlanRequest,
  nodes: readonly NodeDocument[],
  forecasts: ReadonlyMap<string, readonly ForecastDocument[]>,
  /** Decided by an earlier attempt: it is the plan. */
  recorded: readonly DecisionDocument[],
): Promise<Plan> {
  const { catalog, plan } = dependencies;
  const { keyspace, run, at, mode, dryRun } = request;
  const grid = forecastGrid(dependencies.forecast, at);
  const [all, decided, recent] = await Promise.all([
    catalog.partitions.list(),
    decidedPartitions(dependencies, { keyspace, run, mode, at, record: !dryRun }),
    recentWindows(dependencies, request, grid),
  ]);
  const partitions = all.filter((partition) => partition.keyspace === keyspace);
  const movesLeft = plan.maxMovesPerHour - movesElsewhere(all, keyspace, decided.startedLastHour, at);
  const input: PlacementInput = {
    now: at,
    nodes: nodes.map((node) => placementNode(node, dependencies.clockRate)),
    partitions: partitions.map((partition) => ({
      ...placementPartition(partition, recent.get(partition.name) ?? []),
      weights: ownershipWeights(dependencies.score, keyspace, partition.name),
      observedMs: scoreWindowMs(grid),
      forecast: partitionForecast(forecasts.get(partition.name) ?? []),
    })),
    policy: {
      migrationTrigger: plan.trigger,
      scoreWindowSteps: grid.horizon,
      minimumProbability: MINIMUM_PROBABILITY,
      minimumGain: plan.minimumGain,
      minimumRequests: plan.minimumRequests,
      maxNodeLoad: plan.maxNodeLoad,
      dwellMs: plan.dwell,
      // Only where a load has a limit does it matter that it does not show an arrival yet.
      coolDownMs: nodes.some(({ capacity }) => capacity?.opsPerSecond !== undefined) ? grid.windowMs : 0,
      // What is blocked is planned along, so that its load counts, but takes nobody's place.
      maxMovesPerHour: Math.max(0, movesLeft) + (movesLeft > 0 ? decided.blocked.size : 0),
    },
  };
  const planned = planMoves(input).filter(({ partition }) => request.partitions?.among?.includes(partition) !== false);
  const moves = planned
    .filter((each): each is PlannedMove => each.kind === 'move' && !decided.blocked.has(each.partition))
    .slice(0, Math.max(0, Math.min(movesLeft - movesHere(partitions, at), request.atMost)));
  const stays = countBy(planned.filter((each): each is PlannedStay => each.kind === 'stay').map((s) => s.whyNot.code));
  const alreadyDecided = planned.filter((each) => each.kind === 'move' && decided.blocked.has(each.partition)).length;
  return {
    partitions: request.partitions?.among?.length ?? partitions.length,
    decisions: recorded.length > 0 ? recorded : moves.map((move) => decisionOf(request, move)),
    stays: { ...stays, ...(alreadyDecided > 0 ? { 'already-decided': alreadyDecided } : {}) },
  };
}

/** The score of now covers as much time as the forecast one, so that the two compare. */
const scoreWindowMs = (grid: ForecastGrid): number => grid.horizon * grid.windowMs;

/**
 * The windows that make up the score of now, those of all partitions, as they load the nodes; with the client networks of that time of
 * those partitions that are decided on.
 */
export async function recentWindows(
  { catalog }: Pick<Dependencies, 'catalog'>,
  { keyspace, partitions }: Pick<PlanRequest, 'keyspace' | 'partitions'>,
  grid: ForecastGrid,
): Promise<Map<string, AccessWindow[]>> {
  const from = grid.end - scoreWindowMs(grid);
  const [windows, clients] = await Promise.all([
    catalog.access.windows(keyspace, from, grid.end, grid.windowMs),
    catalog.access.clients(keyspace, from, { range: partitions }),
  ]);
  const byPartition = new Map<string, AccessWindow[]>();
  for (const window of windows) {
    const list = byPartition.get(window.partition);
    if (list !== undefined) list.push(window);
    // Networks are known for the whole time: any one window may carry them.
    else byPartition.set(window.partition, [{ ...window, clients: clients.get(window.partition) ?? [] }]);
  }
  return byPartition;
}

function placementNode({ _id, region, draining, capacity, probe }: NodeDocument, clockRate: number): PlacementNode {
  const limit = capacity?.opsPerSecond;
  return {
    name: _id,
    region,
    reachable: probe?.reachable ?? false,
    draining,
    opsPerSecond: probe?.opsPerSecond === undefined ? undefined : probe.opsPerSecond / clockRate,
    ...(limit === undefined ? {} : { capacity: { opsPerSecond: limit } }),
  };
}

function placementPartition({ name, route, handover, lastMovedAt }: Partition, windows: readonly AccessWindow[]) {
  return {
    name,
    owner: route.source,
    lastMovedAt: lastMovedAt ?? undefined,
    movingTo: handover?.target,
    windows,
  } satisfies Partial<PlacementPartition>;
}

function partitionForecast(documents: readonly ForecastDocument[]): PartitionForecast | undefined {
  const [first] = documents;
  if (first === undefined) return undefined;
  return { start: first.madeAt.getTime(), stepMs: first.windowMs, level: first.level, regions: documents };
}

const isMoving = (partition: Partition, at: number): boolean =>
  partition.handover !== null || (partition.lastMovedAt !== null && at - partition.lastMovedAt < HOUR_MS);

/** Moves of the last hour that the planner can see for itself. */
const movesHere = (partitions: readonly Partition[], at: number): number =>
  partitions.filter((partition) => isMoving(partition, at)).length;

/** Moves of the last hour that it can't: of other keyspaces, about to be claimed, or rolled back. */
function movesElsewhere(all: readonly Partition[], keyspace: string, started: ReadonlySet<string>, at: number): number {
  const moving = all.filter((partition) => isMoving(partition, at));
  const seen = new Set(moving.filter((partition) => partition.keyspace === keyspace).map(({ id }) => id));
  return new Set([...moving.map(({ id }) => id), ...started].filter((id) => !seen.has(id))).size;
}

function decisionOf({ keyspace, run, at, mode }: PlanRequest, move: PlannedMove): DecisionDocument {
  const { score, predictedScore, crossingAt, probability } = move;
  return {
    _id: `${run}/${move.partition}`,
    at: new Date(at),
    keyspace,
    partition: move.partition,
    source: move.source,
    target: move.target,
    mode,
    state: stateIn(mode),
    ...(score === undefined ? {} : { score }),
    ...(predictedScore === undefined ? {} : { predictedScore }),
    ...(crossingAt === undefined ? {} : { crossingAt: new Date(crossingAt) }),
    ...(probability === undefined ? {} : { probability }),
    gain: move.gain,
    reasons: move.why.map(({ code, text }) => ({ code, text })),
    rejected: move.rejected.map(({ node, reason: { code, text } }) => ({ node, code, text })),
  };
}

function countBy(codes: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const code of codes) counts[code] = (counts[code] ?? 0) + 1;
  return counts;
}
