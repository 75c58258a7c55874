import { choiceKeptForMs } from '../domain/choice-renewal.js';
import { definedOf } from '../domain/defined.js';
import { DroverError } from '../domain/errors.js';
import type { ForecastRetention } from '../domain/forecast-retention.js';
import { forecastRetention } from '../domain/forecast-retention.js';
import { compareNames } from '../domain/names.js';
import type { DecisionState } from '../store/catalog/decisions.js';
import type { ForecastDocument } from '../store/catalog/forecasts.js';
import type { ModelChoiceDocument } from '../store/catalog/model-choices.js';
import type { NodeDocument, NodeProbe } from '../store/catalog/nodes.js';
import type { PartitionRange } from '../store/catalog/partition-range.js';
import { probeByName } from '../store/node-status.js';
import { recordCounts } from './counted-sizes.js';
import type { Dependencies, Mode } from './dependencies.js';
import type { KeyspaceForecast } from './forecast-series.js';
import { scoreDueForecasts } from './forecast-scoring.js';
import { forecastSeriesOf, storedForecasts } from './forecast-series.js';
import { withHeartbeat } from './heartbeat.js';
import { recordSizes } from './partition-sizes.js';
import type { PlannedMoveSummary, PlanRequest } from './plan.js';
import { planFrom, stateIn, summaryOf } from './plan.js';
import { forecastGrid } from './request-history.js';

/** Forecasts are written in batches of this size. */
const BATCH = 100;

/** A week of five-minute windows of so many partitions, used from three regions, is 25 MB. */
const PARTITIONS_PER_ACTIVITY = 500;

export interface ForecastRequest {
  readonly keyspace?: string;
  readonly partitions?: readonly string[];
}

export interface ForecastBeginning {
  /** Drover's time that the whole run speaks of, milliseconds. */
  readonly at: number;
  readonly mode: Mode;
  readonly stopped: boolean;
  readonly keyspaces: readonly {
    readonly keyspace: string;
    readonly mode: Mode;
    /** What to forecast in one activity each; absent where that is all of it. */
    readonly batches?: readonly PartitionRange[];
  }[];
  readonly expireAfterMs: number;
}

export interface ForecastCounts {
  readonly series: number;
  readonly forecasts: number;
  readonly tooShort: number;
  /** Their models failed, or did not come back. */
  readonly failed: number;
}

export interface PlanResult {
  readonly partitions: number;
  readonly forecasts: number;
  readonly decisions: readonly PlannedMoveSummary[];
  readonly stays: Readonly<Record<string, number>>;
}

/** Activities of a forecast, in the order in which it runs them. Each may be repeated. */
export function createForecastActivities(dependencies: Dependencies) {
  const { catalog } = dependencies;
  const retention = retentionOf(dependencies);

  /** The latest findings about all nodes; the catalog knows nothing of them yet. */
  async function look(): Promise<(NodeDocument & { probe: NodeProbe })[]> {
    const nodes = await catalog.nodes.list();
    return Promise.all(
      nodes.map(async (node) => ({ ...node, probe: await probeByName(dependencies.nodes, node._id, node.probe) })),
    );
  }

  /** Forecasts without recording them, for a dry run. */
  async function forecastNow(request: KeyspaceForecast, signal: AbortSignal) {
    const forecasts = new Map<string, ForecastDocument[]>();
    for await (const result of forecastSeriesOf(dependencies, request, signal)) {
      if (result.kind === 'tooShort' || result.kind === 'failed') continue;
      const { partition } = result.document;
      forecasts.set(partition, [...(forecasts.get(partition) ?? []), result.document]);
    }
    return forecasts;
  }

  /** Ranges of partitions, by name, that one activity each forecasts, on whichever worker is free. */
  async function batchesOf(keyspace: string): Promise<PartitionRange[]> {
    const names = (await catalog.partitions.list(keyspace)).map(({ name }) => name).sort(compareNames);
    return Array.from({ length: Math.ceil(names.length / PARTITIONS_PER_ACTIVITY) }, (_, batch) => {
      const first = batch * PARTITIONS_PER_ACTIVITY;
      return { first: names[first]!, last: names[Math.min(names.length, first + PARTITIONS_PER_ACTIVITY) - 1]! };
    });
  }

  const recordedForecasts = ({ keyspace, at, partitions = {} }: KeyspaceForecast) =>
    storedForecasts(catalog, dependencies.forecast, keyspace, partitions, forecastGrid(dependencies.forecast, at));

  /** Nothing of them can have been answered yet: their workflows start after the plan. */
  async function recordedDecisions({ keyspace, run, mode, atMost }: PlanRequest) {
    const newest = await catalog.decisions.list({ keyspace, state: stateIn(mode) }, atMost);
    return newest.filter(({ _id }) => _id.startsWith(`${run}/`));
  }

  return {
    /** @throws DroverError `InvalidRequest` when there is no such keyspace or partition */
    beginForecast: async ({ keyspace, partitions }: ForecastRequest): Promise<ForecastBeginning> => {
      if (partitions !== undefined) {
        if (keyspace === undefined)
          throw new DroverError('InvalidRequest', 'partitions belong to a keyspace: name that, too');
        for (const partition of partitions) await catalog.partitions.get(keyspace, partition);
      }
      const keyspaces =
        keyspace === undefined ? await catalog.keyspaces.list() : [await catalog.keyspaces.get(keyspace)];
      const { mode } = dependencies;
      return {
        at: dependencies.now(),
        mode,
        stopped: await catalog.settings.automationStopped(),
        // One mode for all; a keyspace's own will come in here.
        keyspaces: await Promise.all(
          keyspaces.map(async ({ _id: keyspace }) => {
            const batches = partitions === undefined ? await batchesOf(keyspace) : [];
            return { keyspace, mode, ...(batches.length > 1 ? { batches } : {}) };
          }),
        ),
        expireAfterMs: dependencies.decisions.expireAfter,
      };
    },

    /** Asks all nodes at once how they are. One that does not answer is a finding, too. */
    probeNodes: async (): Promise<{ readonly nodes: number; readonly unreachable: number }> => {
      const nodes = await look();
      await Promise.all(
        nodes.map(async ({ _id, probe: found }) => {
          await catalog.nodes.recordProbe(_id, found);
          await keepReading(dependencies, _id, found);
        }),
      );
      return { nodes: nodes.length, unreachable: nodes.filter((node) => !node.probe.reachable).length };
    },

    forecastKeyspace: (request: KeyspaceForecast): Promise<ForecastCounts> =>
      withHeartbeat(async (report, signal) => {
        const counts = { made: 0, stored: 0, tooShort: 0, failed: 0 };
        let failure: string | undefined;
        await recordSizes(dependencies, request, signal);
        await recordCounts(dependencies, signal);
        await scoreDueForecasts(dependencies, request, signal);
        const batch: ForecastDocument[] = [];
        const choices: ModelChoiceDocument[] = [];
        const store = async () => {
          await catalog.modelChoices.record(choices.splice(0), retention.choicesMs);
          await catalog.forecasts.insert(batch.splice(0), retention.forecastsMs);
        };
        for await (const result of forecastSeriesOf(dependencies, request, signal)) {
          counts[result.kind] += 1;
          if (result.kind === 'made') {
            batch.push(result.document);
            if (result.newChoice !== undefined) choices.push(result.newChoice);
          }
          if (result.kind === 'failed') failure ??= `${result.partition} from ${result.region}: ${result.message}`;
          if (batch.length >= BATCH) await store();
          report(counts);
        }
        await store();
        const forecasts = counts.made + counts.stored;
        const { tooShort, failed } = counts;
        if (failed > 0) dependencies.log.warn('series could not be forecast', { ...request, failed, failure });
        return { series: forecasts + tooShort + failed, forecasts, tooShort, failed };
      }),

    /** Decides on the forecasts of this run, and records what was decided on what. */
    planKeyspace: (request: PlanRequest): Promise<PlanResult> =>
      withHeartbeat(async (_report, signal) => {
        const { dryRun } = request;
        const nodes = dryRun ? await look() : await catalog.nodes.list();
        const forecasts = dryRun ? await forecastNow(request, signal) : await recordedForecasts(request);
        // What an earlier attempt recorded holds, and is not decided a second time.
        const recorded = dryRun ? [] : await recordedDecisions(request);
        const plan = await planFrom(dependencies, request, nodes, forecasts, recorded);
        if (!dryRun) {
          await catalog.decisions.insert(plan.decisions);
          const decidedOn = plan.decisions.flatMap(({ partition }) => forecasts.get(partition) ?? []);
          await catalog.forecasts.markDecided(
            decidedOn.map(({ _id }) => _id),
            retention.decidedMs,
          );
        }
        return {
          partitions: plan.partitions,
          forecasts: [...forecasts.values()].reduce((sum, { length }) => sum + length, 0),
          decisions: plan.decisions.map((decision) => summaryOf(decision, dryRun)),
          stays: plan.stays,
        };
      }),

    automationStopped: (): Promise<boolean> => catalog.settings.automationStopped(),

    /** What became of a decision. */
    recordDecision: async ({ id, state, workflowId, by, note }: DecisionRecord): Promise<void> => {
      await catalog.decisions.update(id, {
        state,
        ...(workflowId === undefined ? {} : { workflowId }),
        ...(by === undefined ? {} : { decidedBy: by }),
        ...(note === undefined ? {} : { note }),
      });
    },
  };
}

export interface DecisionRecord {
  readonly id: string;
  readonly state: DecisionState;
  readonly workflowId?: string;
  readonly by?: string;
  readonly note?: string;
}

export type ForecastActivities = ReturnType<typeof createForecastActivities>;

const retentionOf = ({ forecast, access, clockRate }: Dependencies): ForecastRetention =>
  forecastRetention({
    horizonMs: forecast.horizon,
    choiceKeptForMs: choiceKeptForMs(forecast.season),
    historyKeptForMs: access.keep.hours,
    clockRate,
  });

/** For forecasts of the node. A node that can't be reached, or does not tell its counters, says nothing. */
async function keepReading(
  { catalog, access, forecast, clockRate, now }: Dependencies,
  node: string,
  { counters, connections, queued }: NodeProbe,
): Promise<void> {
  if (counters === undefined) return;
  const { host, uptimeMs, operations, cpuMicros, latencies = {} } = counters;
  const timed = [latencies.reads, latencies.writes].filter((each) => each !== undefined);
  const reading = {
    ...{ time: now(), host, uptimeMs, operations },
    ...definedOf({ cpuMs: cpuMicros === undefined ? undefined : cpuMicros / 1000, connections, queued }),
    ...(timed.length === 0
      ? {}
      : {
          latencyUs: timed.reduce((sum, { micros }) => sum + micros, 0),
          timed: timed.reduce((sum, { ops }) => sum + ops, 0),
        }),
  };
  await catalog.nodeReadings.record(node, reading, {
    windowMs: forecast.window,
    keepMs: access.keep.hours / clockRate,
  });
}
