import { WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import { nanoid } from 'nanoid';
import { removeGates, restoreFences, restoreLostFences, shutOut, takeOver } from '../domain/boundary-step.js';
import { retire } from '../domain/ending.js';
import { DroverError, messageOf } from '../domain/errors.js';
import type { Partition } from '../domain/partition.js';
import { collectionOn, nodesOf } from '../domain/partition.js';
import type { Step, World } from '../domain/step.js';
import { run } from '../domain/step.js';
import type { Catalog } from '../store/catalog/catalog.js';
import { fenceOf } from '../store/catalog/keyspaces.js';
import type { MigrationDocument } from '../store/catalog/migrations.js';
import { removeReplication } from '../store/checkpoint.js';
import { dropIfExists, inspect, replaceByClosed } from '../store/fenced-collection.js';
import { dropGates, gatesOf, indexBuilds, parseGate } from '../store/gates.js';
import type { Leftover } from '../store/leftover.js';
import { findLeftovers, findStandstills } from '../store/leftovers.js';
import type { RepairReport } from '../workflows/messages.js';
import { CONTROL_QUEUE, migrationWorkflowId } from '../workflows/messages.js';
import { restoreExpiry } from './expiry.js';
import type { Dependencies } from './dependencies.js';
import { withHeartbeat } from './heartbeat.js';
import { completeMove, hasEnded } from './lifecycle.js';
import { openHandover, openPartition } from './move-context.js';
import { fencingWorld, handoverWorld } from './world.js';

/** Brings a step that nobody goes on with to one of its two ends; a migration that is being retired is completed. */
export async function settle(dependencies: Dependencies, partition: Partition, signal?: AbortSignal): Promise<void> {
  const context = await openHandover(dependencies, partition, signal);
  if (partition.handover?.state.kind !== 'retiring') {
    await run(takeOver(partition), handoverWorld(dependencies, context));
    return;
  }
  await run(retire(partition, dependencies.now()), handoverWorld(dependencies, context));
  await completeMove(dependencies, context);
}

/**
 * Hands a migration whose workflow has ended without finishing it (terminated, failed) to a workflow that does: back to
 * where the partition was, or on to the end when it was being retired.
 *
 * @returns the workflow's id, or null when the migration's own workflow runs, or another one has taken it already
 */
export async function recover(
  { temporal }: Dependencies,
  { _id: migration, keyspace, partition, target, workflowId, runId }: MigrationDocument,
): Promise<string | null> {
  if (!(await hasEnded(temporal, { workflowId, runId }))) return null;
  const recovery = migrationWorkflowId(keyspace, partition);
  try {
    await temporal.workflow.start('recoveryWorkflow', {
      workflowId: recovery,
      taskQueue: CONTROL_QUEUE,
      args: [{ migration, keyspace, partition, target }],
    });
    return recovery;
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) return null;
    throw error;
  }
}

export function createRepairActivities(dependencies: Dependencies) {
  const { catalog, nodes } = dependencies;
  return {
    /** Does at once, and thoroughly, what the janitor does by and by. */
    repair: (): Promise<RepairReport> =>
      withHeartbeat(async () => {
        const report: RepairReport = { repaired: [], failed: [], recoveries: [] };
        const attempt = async (what: string, work: () => Promise<void>) => {
          try {
            await work();
            report.repaired.push(what);
          } catch (error) {
            report.failed.push(`${what}: ${messageOf(error)}`);
          }
        };
        for (const partition of await findStandstills(catalog)) {
          await attempt(`${partition.id}: a step that nobody went on with`, async () => {
            await refuseWhileGatesAreMade(dependencies, partition);
            await settle(dependencies, partition);
          });
        }
        for (const migration of await catalog.migrations.list({ state: 'running' })) {
          const workflowId = await recover(dependencies, migration);
          if (workflowId !== null) report.recoveries.push(workflowId);
        }
        for (const partition of await catalog.partitions.gatedInVain()) {
          await attempt(`${partition.id}: gates of a repair that was interrupted`, () =>
            openGates(dependencies, partition),
          );
        }
        for (const node of nodes.names) {
          try {
            for (const leftover of await findLeftovers(catalog, nodes, node)) {
              await attempt(describe(leftover), () => clear(dependencies, leftover));
            }
          } catch (error) {
            report.failed.push(`node "${node}": ${messageOf(error)}`);
          }
        }
        return report;
      }),
  };
}

export type RepairActivities = ReturnType<typeof createRepairActivities>;

const describe = ({ node, keyspace, collection, what }: Leftover): string =>
  `${collection} of ${keyspace} on ${node}: ${what}`;

/**
 * Puts right what {@link findLeftovers} has found.
 *
 * @throws DroverError `Refused` for what a person has to decide (a collection that is gone), and while gates are being made
 */
export async function clear(dependencies: Dependencies, leftover: Leftover): Promise<void> {
  const { catalog, nodes } = dependencies;
  const { kind, node, collection } = leftover;
  const keyspace = await catalog.keyspaces.get(leftover.keyspace);
  const db = (await nodes.get(node)).db(keyspace.database);
  switch (kind) {
    case 'fence':
    case 'gates': {
      const partition = await catalog.partitions.get(leftover.keyspace, leftover.partition!);
      await refuseWhileGatesAreMade(dependencies, partition);
      if (nodesOf(partition).includes(node)) {
        const step = kind === 'gates' ? clearGates : (await hasLostGates(dependencies, partition)) ? restoreLostFences : restoreFences; // prettier-ignore
        return onPartition(dependencies, partition, step);
      }
      // Nothing of the partition is on this node.
      if (kind === 'gates') return void (await dropGates(db, collection, () => true));
      throw new DroverError('Refused', `${leftover.what}: rename or drop it if it is not needed`);
    }
    case 'copy': {
      const stillForeign = async () => {
        const now = await catalog.partitions.get(leftover.keyspace, leftover.partition!);
        if (nodesOf(now).includes(node)) throw new DroverError('Superseded', `${now.id} is moving to ${node}`);
      };
      const replaces = leftover.uuid;
      if (await replaceByClosed(db, collection, fenceOf(keyspace), nanoid(), stillForeign, { replaces })) return;
      throw new DroverError('StepUndone', `${collection} on "${node}" was replaced by somebody meanwhile: look again`);
    }
    case 'expiry': {
      const partition = await catalog.partitions.get(leftover.keyspace, leftover.partition!);
      return restoreExpiry(dependencies, await openPartition(dependencies, partition), node);
    }
    case 'replication':
      await refuseWhileRunning(catalog, leftover);
      return removeReplication(db, leftover.migration!);
    case 'temporary':
      await refuseWhileRunning(catalog, leftover);
      return dropIfExists(db, collection);
    case 'foreign':
      throw new DroverError('Refused', `${db.databaseName}.${collection} on "${node}": ${leftover.what}`);
    case 'missing':
      throw new DroverError(
        'Refused',
        `${db.databaseName}.${collection} on "${node}" is gone: restore it from a backup`,
      );
  }
}

/** It may have begun while the left-overs were looked for. */
async function refuseWhileRunning(catalog: Catalog, { migration }: Leftover): Promise<void> {
  if ((await catalog.migrations.find(migration!))?.state !== 'running') return;
  throw new DroverError('Superseded', `migration ${migration!} has begun meanwhile`);
}

/**
 * Whether gates are being made for a partition. Who is at it must not be taken over: that would begin anew, and then be
 * taken over itself.
 */
export async function awaitsGates({ catalog, nodes }: Dependencies, partition: Partition): Promise<boolean> {
  const { database } = await catalog.keyspaces.get(partition.keyspace);
  for (const node of nodesOf(partition)) {
    const builds = await indexBuilds((await nodes.get(node)).db(database), collectionOn(partition, node));
    if (builds.some((index) => parseGate(index)?.partition === partition.name)) return true;
  }
  return false;
}

/** Gates go with a collection that somebody drops: another one of its name has none that would let its fence be set. */
async function hasLostGates({ catalog, nodes }: Dependencies, partition: Partition): Promise<boolean> {
  const { database } = await catalog.keyspaces.get(partition.keyspace);
  // Those of a repair that did not come to its end are cleared before anything else.
  if (partition.handover === null) return false;
  const missing: boolean[] = [];
  for (const node of nodesOf(partition)) {
    const [db, collection] = [(await nodes.get(node)).db(database), collectionOn(partition, node)];
    // Making gates would make the collection as well, without a fence.
    if (!(await inspect(db, collection)).exists) return false;
    const there = (await gatesOf(db, collection)).map(({ name }) => name);
    missing.push(partition.gates.some((gate) => !there.includes(gate)));
  }
  return missing.includes(true);
}

async function refuseWhileGatesAreMade(dependencies: Dependencies, partition: Partition): Promise<void> {
  if (!(await awaitsGates(dependencies, partition))) return;
  throw new DroverError('Refused', 'its gates are being made, for which a large collection is read: look again later');
}

/** The gates of a repair that did not come to its end: they keep others from the collection. */
export const openGates = (dependencies: Dependencies, partition: Partition): Promise<void> =>
  onPartition(dependencies, partition, clearGates);

function* clearGates(partition: Partition): Step {
  const taken = yield* shutOut(partition);
  return taken.handover === null ? yield* removeGates(taken) : taken;
}

async function onPartition(
  dependencies: Dependencies,
  partition: Partition,
  step: (partition: Partition) => Step,
): Promise<void> {
  const world: Partial<World> =
    partition.handover === null
      ? fencingWorld(dependencies, await openPartition(dependencies, partition))
      : handoverWorld(dependencies, await openHandover(dependencies, partition));
  await run(step(partition), world as World);
}
