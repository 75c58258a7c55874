import type { Configuration } from '../config/index.js';
import { DroverError, messageOf } from '../domain/errors.js';
import type { LeftOut } from '../store/copy-conflict.js';
import type { Leftover } from '../store/leftover.js';
import { findLeftovers, findStandstills } from '../store/leftovers.js';
import { missingRights, unsuitable } from '../store/suitability.js';
import type { RepairReport } from '../workflows/messages.js';
import { CONTROL_QUEUE, DATA_QUEUE, REPAIR_WORKFLOW_ID, searchAttributes } from '../workflows/messages.js';
import type { ControlContext } from './context.js';
import { openControl } from './context.js';
import { hasEnded } from './migration-status.js';
import { answered, NO_WORKER } from './worker-answer.js';

export interface Check {
  /** What was looked at, such as `node eu-1`. */
  readonly subject: string;
  readonly ok: boolean;
  /** What was found, and where it is not well, what to do. */
  readonly finding: string;
}

export interface Examination {
  readonly checks: readonly Check[];
  /** True when everything is well. */
  readonly healthy: boolean;
}

/** Looks at everything Drover relies on, and changes nothing. What can't be reached is a finding, too. */
export async function examine(configuration: Configuration): Promise<Examination> {
  const checks: Check[] = [];
  const check = async (subject: string, look: () => Promise<string | readonly Check[]>) => {
    try {
      const found = await look();
      if (typeof found === 'string') checks.push({ subject, ok: true, finding: found });
      else checks.push(...found);
    } catch (error) {
      checks.push({ subject, ok: false, finding: messageOf(error) });
    }
  };
  let control: ControlContext | undefined;
  await check('catalog', async () => {
    control = await openControl({ configuration });
    const [keyspaces, partitions] = await Promise.all([
      control.catalog.keyspaces.list(),
      control.catalog.partitions.list(),
    ]);
    return `${keyspaces.length} keyspaces, ${partitions.length} partitions`;
  });
  if (control === undefined) return { checks, healthy: false };
  const context = control;
  try {
    for (const node of context.nodes.names) await check(`node ${node}`, () => lookAtNode(context, node));
    await check('temporal', () => lookAtTemporal(context));
    await check('workers', () => lookAtWorkers(context));
    await check('steps', () => lookAtSteps(context));
    await check('migrations', () => lookAtMigrations(context));
    await check('documents left out', () => lookAtLeftOut(context));
    for (const node of context.nodes.names) await check(`left-overs on ${node}`, () => lookAtLeftovers(context, node));
  } finally {
    await context.close();
  }
  return { checks, healthy: checks.every(({ ok }) => ok) };
}

async function lookAtNode({ catalog, nodes }: ControlContext, node: string): Promise<string> {
  const client = await nodes.get(node);
  const databases = [...new Set((await catalog.keyspaces.list()).map(({ database }) => database))];
  const why = await unsuitable(client);
  if (why !== undefined) throw new DroverError('Refused', why);
  const missing = await missingRights(client, databases);
  if (missing.length > 0) {
    throw new DroverError('Refused', `its user lacks rights, grant them: ${missing.join('; ')}`);
  }
  return 'reachable, a replica set of a supported version, with the rights that are needed';
}

async function lookAtTemporal(context: ControlContext): Promise<string> {
  const temporal = await context.temporal();
  const { namespace } = context.configuration.temporal;
  const { customAttributes } = await temporal.connection.operatorService.listSearchAttributes({ namespace });
  const missing = Object.values(searchAttributes).filter(({ name }) => customAttributes?.[name] === undefined);
  if (missing.length === 0) return `namespace "${namespace}" has the search attributes`;
  const names = missing.map(({ name }) => `--name ${name} --type Keyword`).join(' ');
  throw new DroverError('Refused', `search attributes are missing: temporal operator search-attribute create ${names}`);
}

async function lookAtWorkers(context: ControlContext): Promise<string> {
  const temporal = await context.temporal();
  const { namespace } = context.configuration.temporal;
  const counts = await Promise.all(
    [CONTROL_QUEUE, DATA_QUEUE].map(async (name) => {
      // 2: activities, which both queues have.
      const { pollers } = await temporal.workflowService.describeTaskQueue({
        namespace,
        taskQueue: { name },
        taskQueueType: 2,
      });
      return { name, workers: pollers?.length ?? 0 };
    }),
  );
  const idle = counts.filter(({ workers }) => workers === 0).map(({ name }) => name);
  if (idle.length > 0)
    throw new DroverError('Refused', `no worker asks for work of ${idle.join(' and ')}: start "drover worker"`);
  return counts.map(({ name, workers }) => `${workers} at ${name}`).join(', ');
}

async function lookAtSteps({ catalog }: ControlContext): Promise<string | Check[]> {
  const still = await findStandstills(catalog);
  if (still.length === 0) return 'none stands still';
  return still.map(({ id, handover }) => ({
    subject: `step of ${id}`,
    ok: false,
    finding: `stands still in state "${handover?.state.kind}"; a worker's janitor, or --repair, brings it to its end`,
  }));
}

async function lookAtMigrations(context: ControlContext): Promise<string | Check[]> {
  const running = await context.catalog.migrations.list({ state: 'running' });
  const left: Check[] = [];
  for (const migration of running) {
    if (!(await hasEnded(context, migration))) continue;
    const { _id, keyspace, partition } = migration;
    left.push({
      subject: `migration of ${keyspace}/${partition}`,
      ok: false,
      finding: `its workflow has ended without finishing it (${_id}); a worker's janitor, or --repair, has it ended`,
    });
  }
  return left.length > 0 ? left : `${running.length} running`;
}

/** That something was not taken over is told for so long after the end of a move; its record tells it for ever. */
const TELL_MS = 7 * 24 * 3600 * 1000;

async function lookAtLeftOut({ catalog }: ControlContext): Promise<string | Check[]> {
  const found = await catalog.migrations.withLeftOut(new Date(Date.now() - TELL_MS));
  if (found.length === 0) return 'none';
  return found.map(({ _id, keyspace, partition, source, leftOut = [] }) => ({
    subject: `documents of ${keyspace}/${partition}`,
    ok: false,
    finding:
      `migration ${_id} met values that must be unique in several documents: ` +
      leftOut.map(({ what, document, fields }) => `${document} (${fields.join(', ')}) was ${WHAT[what]}`).join('; ') +
      `. What was left out is in the collection that was made on "${source}" meanwhile`,
  }));
}

const WHAT: Readonly<Record<LeftOut['what'], string>> = {
  leftOut: 'left out',
  removed: 'removed for a newer one',
};

async function lookAtLeftovers({ catalog, nodes }: ControlContext, node: string): Promise<string | Check[]> {
  const found = await findLeftovers(catalog, nodes, node);
  return found.length === 0 ? 'none' : found.map(checkOf);
}

const checkOf = ({ node, keyspace, collection, what }: Leftover): Check => ({
  subject: `left-over on ${node}`,
  ok: false,
  finding: `${collection} (${keyspace}): ${what}`,
});

/** A recovery that takes longer goes on by itself. */
const RECOVERY_MS = 5 * 60_000;

/**
 * Has a worker clear what is left, and waits until migrations that were left have ended.
 *
 * @throws DroverError `TimedOut` when no worker answers
 */
export async function repair(context: ControlContext): Promise<RepairReport> {
  const temporal = await context.temporal();
  const handle = await temporal.workflow.start('repairWorkflow', {
    workflowId: REPAIR_WORKFLOW_ID,
    taskQueue: CONTROL_QUEUE,
    workflowIdConflictPolicy: 'USE_EXISTING',
  });
  const report = await answered<RepairReport>(temporal, () => handle.result(), NO_WORKER, 60_000);
  for (const workflowId of report.recoveries) {
    const recovery = temporal.workflow.getHandle(workflowId);
    await answered(
      temporal,
      () => recovery.result(),
      `${workflowId} still runs; see "drover migration show"`,
      RECOVERY_MS,
    );
  }
  return report;
}

export type { RepairReport };
