import {
  isCancellation,
  ParentClosePolicy,
  setCurrentDetails,
  startChild,
  TemporalFailure,
  workflowInfo,
} from '@temporalio/workflow';
import type { ForecastBeginning } from '../activities/forecast.js';
import { control, looking } from './activity-proxies.js';
import { decisionWorkflow } from './decision.js';
import { describeFailure } from './failure.js';
import type { ForecastInput, ForecastSummary, MigrationInput } from './messages.js';
import { CONTROL_QUEUE, decisionWorkflowId, searchAttributes } from './messages.js';
import { startMigration } from './start-migration.js';

/** More moves than could ever be admitted between two forecasts; and a bound on the history. */
const MOST_DECISIONS = 200;

const NOTHING: ForecastSummary = { mode: '', partitions: 0, forecasts: 0, decisions: [], stays: {} };

type Keyspace = ForecastBeginning['keyspaces'][number];
type Decided = ForecastSummary['decisions'][number];

/**
 * Looks at the load, foresees it, decides what should move, and (in the modes that allow it) has it moved.
 *
 *     begin -> probe the nodes -> per keyspace: forecast -> plan -> observe | recommend | start migrations
 *
 * Short: what it starts goes on without it. What it found is in the catalog, not in this history.
 */
export async function forecastWorkflow(input: ForecastInput = {}): Promise<ForecastSummary> {
  const dryRun = input.dryRun === true;
  const only = input.partitions === undefined ? {} : { partitions: { among: input.partitions } };
  const { mode, at, stopped, keyspaces, expireAfterMs } = await control.beginForecast({
    ...(input.keyspace === undefined ? {} : { keyspace: input.keyspace }),
    ...(input.partitions === undefined ? {} : { partitions: input.partitions }),
  });
  if (stopped && !dryRun) return { ...NOTHING, mode, note: 'all automation is stopped: nothing was forecast' };
  if (!dryRun) await control.probeNodes();

  let summary: ForecastSummary = { ...NOTHING, mode };
  const failures: TemporalFailure[] = [];
  for (const each of keyspaces) {
    try {
      summary = add(summary, await evaluate(each));
    } catch (error) {
      // One keyspace that can't be forecast is no reason for not looking at the others.
      if (!(error instanceof TemporalFailure) || isCancellation(error)) throw error;
      failures.push(error);
      summary = add(summary, { ...NOTHING, note: `${each.keyspace} was not forecast: ${describeFailure(error)}` });
    }
    show(summary);
  }
  if (failures.length > 0 && failures.length === keyspaces.length) throw failures[0]!;
  return summary;

  async function evaluate({ keyspace, mode: mayDo, batches }: Keyspace): Promise<ForecastSummary> {
    // Keyspaces have partitions of the same names: the run is named after both.
    const request = { keyspace, run: `${workflowInfo().runId}/${keyspace}`, at, ...only };
    if (!dryRun && batches === undefined) await looking.forecastKeyspace(request);
    if (!dryRun && batches !== undefined) {
      await eachOf(batches, (partitions) => looking.forecastKeyspace({ ...request, partitions }));
    }
    const plan = await looking.planKeyspace({ ...request, mode: mayDo, dryRun, atMost: MOST_DECISIONS });
    const planned = plan.decisions.map((decision): Decided => ({ ...decision, keyspace }));
    const acts = !dryRun && mayDo !== 'observe' && planned.length > 0;
    // Stopped while the forecast was made: what was decided is not carried out.
    const halted = acts && (await control.automationStopped());
    const decisions: Decided[] = [];
    for (const decision of planned) {
      if (!acts) decisions.push(decision);
      else if (halted) decisions.push(await refuse(decision, 'all automation was stopped meanwhile'));
      else if (mayDo === 'recommend') decisions.push(await recommend(decision, expireAfterMs));
      else decisions.push(await carryOut(decision));
    }
    const { partitions, forecasts, stays } = plan;
    const note = 'all automation was stopped meanwhile: nothing was started';
    return { mode, partitions, forecasts, decisions, stays, ...(halted ? { note } : {}) };
  }
}

/** So many batches at once, on all workers together. */
const BATCHES_AT_ONCE = 8;

async function eachOf<Batch>(batches: readonly Batch[], run: (batch: Batch) => Promise<unknown>): Promise<void> {
  const waiting = [...batches];
  const one = async (): Promise<void> => {
    for (let batch = waiting.shift(); batch !== undefined; batch = waiting.shift()) await run(batch);
  };
  await Promise.all(Array.from({ length: BATCHES_AT_ONCE }, one));
}

/** The decision waits for a person's answer, as a workflow of its own. */
async function recommend(decision: Decided, expireAfterMs: number): Promise<Decided> {
  await startChild(decisionWorkflow, {
    workflowId: decisionWorkflowId(decision.id),
    taskQueue: CONTROL_QUEUE,
    parentClosePolicy: ParentClosePolicy.ABANDON,
    args: [{ decision: decision.id, migration: migrationOf(decision), expireAfterMs }],
    typedSearchAttributes: [
      { key: searchAttributes.keyspace, value: decision.keyspace },
      { key: searchAttributes.partition, value: decision.partition },
      { key: searchAttributes.target, value: decision.target },
    ],
    staticSummary: `${decision.keyspace} ${decision.partition} to ${decision.target}?`,
    staticDetails: decision.summary,
  });
  return decision;
}

async function carryOut(decision: Decided): Promise<Decided> {
  const started = await startMigration(migrationOf(decision));
  if ('refused' in started) return refuse(decision, started.refused);
  // `started` in the catalog is written by the migration, once it has claimed its partition.
  return { ...decision, state: 'started' };
}

async function refuse(decision: Decided, note: string): Promise<Decided> {
  await control.recordDecision({ id: decision.id, state: 'refused', note });
  return { ...decision, state: 'refused' };
}

const migrationOf = ({ id, keyspace, partition, target, summary }: Decided): MigrationInput => ({
  keyspace,
  partition,
  target,
  decision: id,
  reason: summary,
  requestedBy: 'forecast',
});

function sum(a: Readonly<Record<string, number>>, b: Readonly<Record<string, number>>): Record<string, number> {
  const total: Record<string, number> = { ...a };
  for (const [code, count] of Object.entries(b)) total[code] = (total[code] ?? 0) + count;
  return total;
}

function add(a: ForecastSummary, b: ForecastSummary): ForecastSummary {
  const notes = [...new Set([a.note, b.note].filter((note) => note !== undefined))];
  return {
    mode: a.mode,
    partitions: a.partitions + b.partitions,
    forecasts: a.forecasts + b.forecasts,
    decisions: [...a.decisions, ...b.decisions],
    stays: sum(a.stays, b.stays),
    ...(notes.length > 0 ? { note: notes.join('; ') } : {}),
  };
}

/** What the Temporal UI shows on top of the workflow. */
function show({ mode, partitions, forecasts, decisions, note }: ForecastSummary): void {
  setCurrentDetails(
    [
      `Mode **${mode}**: ${forecasts} forecasts of ${partitions} partitions, ${decisions.length} decisions`,
      ...(note === undefined ? [] : [note]),
      ...decisions
        .slice(0, 20)
        .map(
          ({ keyspace, partition, target, state, summary }) =>
            `- ${keyspace} **${partition}** to ${target} (${state}): ${summary}`,
        ),
    ].join('\n'),
  );
}
