import { WorkflowNotFoundError } from '@temporalio/client';
import type { DecisionDocument, DecisionState } from '../store/catalog/decisions.js';
import { decisionWorkflowId } from '../workflows/messages.js';
import type { Dependencies, Mode } from './dependencies.js';

/** More than this were never decided within a dwell time. */
const MOST = 10_000;

export interface DecidedPartitions {
  /** Partitions of the keyspace that get no decision now: one waits for its answer, or was given not long ago. */
  readonly blocked: ReadonlySet<string>;
  /** `<keyspace>/<partition>` of what was started, or is about to be, within the last hour of Drover's time. */
  readonly startedLastHour: ReadonlySet<string>;
}

const HOUR_MS = 3_600_000;

/**
 * What has been decided already. An answer stands for the dwell time: what was rejected is not recommended again the
 * next minute, and a move that was rolled back not tried again at once.
 */
export async function decidedPartitions(
  dependencies: Dependencies,
  {
    keyspace,
    run,
    mode,
    at,
    record,
  }: {
    readonly keyspace: string;
    readonly run: string;
    readonly mode: Mode;
    readonly at: number;
    readonly record: boolean;
  },
): Promise<DecidedPartitions> {
  const { catalog, plan } = dependencies;
  const since = async (state: DecisionState, ms: number) =>
    (await catalog.decisions.list({ state }, MOST)).filter((decision) => at - decision.at.getTime() < ms);
  const longest = Math.max(plan.dwell, HOUR_MS);
  const begun = (await Promise.all((['started', 'approved'] as const).map((state) => since(state, longest)))).flat();
  const silenced: readonly DecisionState[] = mode === 'observe' ? ['rejected', 'observed'] : ['rejected'];
  const answered = (await Promise.all(silenced.map((state) => since(state, plan.dwell)))).flat();
  const open = await waiting(dependencies, keyspace, run, record);
  const within = (ms: number) => (decision: DecisionDocument) => at - decision.at.getTime() < ms;
  return {
    blocked: new Set(
      [...begun.filter(within(plan.dwell)), ...answered, ...open]
        .filter((decision) => decision.keyspace === keyspace)
        .map(({ partition }) => partition),
    ),
    startedLastHour: new Set(begun.filter(within(HOUR_MS)).map((each) => `${each.keyspace}/${each.partition}`)),
  };
}

/** Decisions that wait for an answer. One whose workflow was ended from outside would wait for ever: it has expired. */
async function waiting(
  { catalog, temporal }: Dependencies,
  keyspace: string,
  run: string,
  record: boolean,
): Promise<DecisionDocument[]> {
  const recommended = await catalog.decisions.list({ state: 'recommended', keyspace }, MOST);
  const alive: DecisionDocument[] = [];
  for (const decision of recommended) {
    // Of this run's own, none has its workflow yet.
    const own = decision._id.startsWith(`${run}/`);
    if (own || (await isRunning(temporal, decisionWorkflowId(decision._id)))) {
      alive.push(decision);
      continue;
    }
    // The workflow records its end before it ends: only what is still open now was left behind.
    if (record && (await catalog.decisions.get(decision._id)).state === 'recommended') {
      await catalog.decisions.update(decision._id, { state: 'expired', note: 'nothing waits for the answer any more' });
    }
  }
  return alive;
}

async function isRunning(temporal: Dependencies['temporal'], workflowId: string): Promise<boolean> {
  try {
    return (await temporal.workflow.getHandle(workflowId).describe()).status.name === 'RUNNING';
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}
