import ms from 'ms';
import type { CopyLimits } from '../domain/copy-limits.js';
import { isLimit, LEAST_LIMITS, limitsOf } from '../domain/copy-limits.js';
import { DroverError } from '../domain/errors.js';
import { checkWeights } from '../domain/weights.js';
import type { KeyspaceDocument } from '../store/catalog/keyspaces.js';
import { fenceOf } from '../store/catalog/keyspaces.js';
import { collectionOn, isSharedOn } from '../domain/partition.js';
import type { Partition } from '../domain/partition.js';
import { unsupported } from '../store/collection-support.js';
import { inspect } from '../store/fenced-collection.js';
import { hasTokenIndex, isEmptyPart, partOf, partOn } from '../store/part.js';
import { obstacles } from '../store/preflight.js';
import type { MigrationInput } from '../workflows/messages.js';
import type { Dependencies, MovePlan } from './dependencies.js';
import { refuseDirectWriters } from './shared-collection.js';

export interface ClaimRequest {
  readonly input: MigrationInput;
  readonly migration: string;
  readonly workflowId: string;
  readonly runId: string;
}

/** Everything that can be known to be wrong with a move before anything is touched. */
export async function checkMove(dependencies: Dependencies, input: MigrationInput, migration?: string) {
  const { catalog, nodes } = dependencies;
  for (const name of ['keyspace', 'partition', 'target'] as const) {
    if (typeof input?.[name] !== 'string' || input[name] === '') {
      throw invalid(`the input needs "${name}", such as {"keyspace":"shop.orders","partition":"p3","target":"eu-1"}`);
    }
  }
  const weights = input.weights ?? dependencies.migration.weights;
  if (!Array.isArray(weights)) throw invalid('"weights" must be a list of numbers');
  checkWeights(weights as number[]);
  const dwellMs = duration('dwell', input.dwell, dependencies.migration.dwell);
  const soakMs = duration('soak', input.soak, dependencies.migration.soak);
  const limits = checkLimits(limitsOf(input, dependencies.migration));

  const keyspace = await catalog.keyspaces.get(input.keyspace);
  const partition = await catalog.partitions.get(input.keyspace, input.partition);
  const target = await catalog.nodes.get(input.target);
  if (target._id === partition.route.source && partition.handover === null) {
    throw invalid(`${partition.id} is already on "${target._id}": choose another node`);
  }
  if (partition.handover !== null && partition.handover.migration !== migration) {
    const running = await catalog.migrations.find(partition.handover.migration);
    throw invalid(
      `${partition.id} is already moving to "${partition.handover.target}" (workflow ${running?.workflowId ?? partition.handover.migration}): ` +
        'wait for its end, or roll it back',
    );
  }
  if (target.draining) throw invalid(`node "${target._id}" is being drained: choose another node`);
  for (const node of [partition.route.source, target._id]) {
    try {
      await (await nodes.get(node)).db('admin').command({ ping: 1 });
    } catch (error) {
      throw invalid(
        `node "${node}" can't be reached, so nothing was begun: ${error instanceof Error ? error.message : ''}`,
      );
    }
  }
  await checkCollections(dependencies, keyspace, partition, target._id);
  // Of a partition that is claimed already, by a repeated attempt, the copy may have been begun.
  if (partition.handover === null) {
    const found = await obstacles({
      source: await nodes.get(partition.route.source),
      target: await nodes.get(target._id),
      database: keyspace.database,
      collection: collectionOn(partition, partition.route.source),
      part: partOn(fenceOf(keyspace).keyField, partition, partition.route.source),
      limits,
    });
    if (found.length > 0) throw invalid(`${partition.id} can't be moved to "${target._id}": ${found.join('; ')}`);
  }
  return { keyspace, partition, weights, dwellMs, soakMs, limits };
}

function checkLimits(limits: CopyLimits): CopyLimits {
  for (const [name, value] of Object.entries(limits) as [keyof CopyLimits, unknown][]) {
    if (typeof value === 'number' && isLimit(name, value)) continue;
    throw invalid(`"${name}" must be a number of at least ${LEAST_LIMITS[name]}, or 0 for no limit`);
  }
  return limits;
}

async function checkCollections(
  { nodes }: Dependencies,
  keyspace: KeyspaceDocument,
  partition: Partition,
  target: string,
) {
  const at = async (node: string) =>
    inspect((await nodes.get(node)).db(keyspace.database), collectionOn(partition, node));
  const from = partition.route.source;
  const [source, copy] = await Promise.all([at(from), at(target)]);
  const where = (node: string) => `${keyspace.database}.${collectionOn(partition, node)} on "${node}"`;
  const reason = unsupported(source);
  if (reason !== undefined) throw invalid(`${where(from)} can't be moved: it ${reason}`);
  if (!source.fenced) {
    throw invalid(
      `${where(from)} has lost its fence (its validator was changed from outside): nothing moves until it is set right`,
    );
  }
  if (partition.handover !== null) return;
  const { keyField } = fenceOf(keyspace);
  for (const node of [from, target].filter((each) => isSharedOn(partition, each))) {
    const documents = (await nodes.get(node)).db(keyspace.database).collection(collectionOn(partition, node));
    if (await hasTokenIndex(documents, keyField)) continue;
    throw invalid(`${where(node)} has lost its index {"${keyField}": "hashed"}: create it first`);
  }
  if (isSharedOn(partition, target)) {
    const documents = (await nodes.get(target)).db(keyspace.database).collection(collectionOn(partition, target));
    if (!copy.fenced)
      throw invalid(`${where(target)} is gone, or has lost its fence: nothing moves there until it is set right`);
    if (await isEmptyPart(documents, partOf(keyField, partition))) return;
    throw invalid(
      `${where(target)} has documents of ${partition.id}, which is not there: find out where they come from`,
    );
  }
  // Left by an earlier stay of the partition: closed, empty, and the name was never free.
  if (copy.exists && !(copy.fenced && copy.empty)) {
    throw invalid(`${where(target)} already exists and is not Drover's: rename or drop it there first`);
  }
}

/**
 * Validates a move and takes the partition for it, by compare-and-set: whoever asks, by whatever workflow id, there is
 * one migration per partition. A repeated attempt finds its own claim.
 *
 * @throws DroverError `InvalidRequest`, `Refused` when automation is stopped
 */
export async function claimMove(dependencies: Dependencies, request: ClaimRequest): Promise<MovePlan> {
  const { catalog } = dependencies;
  const { input, migration, workflowId, runId } = request;
  const checked = await checkMove(dependencies, input, migration);
  if (await catalog.settings.automationStopped()) {
    throw new DroverError('Refused', 'all automation is stopped: "drover start" lets moves begin again');
  }
  const { keyspace, partition, weights, dwellMs, soakMs, limits } = checked;
  const allowDirectWriters = input.allowDirectWriters === true;
  if (partition.handover === null && !allowDirectWriters) {
    await refuseDirectWriters(dependencies, keyspace, partition, [partition.route.source, input.target]);
  }
  const plan: MovePlan = {
    migration,
    keyspace: input.keyspace,
    partition: input.partition,
    source: partition.route.source,
    target: input.target,
    weights,
    dwellMs,
    soakMs,
    ...limits,
    ...(allowDirectWriters ? { allowDirectWriters } : {}),
  };
  // Before the claim: whoever finds the claim finds out whose it is.
  await catalog.migrations.insert({
    _id: migration,
    keyspace: input.keyspace,
    partition: input.partition,
    source: plan.source,
    target: plan.target,
    workflowId,
    runId,
    requestedBy: input.requestedBy ?? 'unknown',
    ...(input.decision === undefined ? {} : { decision: input.decision }),
    ...(input.reason === undefined ? {} : { reason: input.reason }),
    state: 'running',
    phase: 'validate',
    weight: 0,
    weights: [...weights],
    startedAt: new Date(),
    documents: 0,
    bytes: 0,
    steps: [],
  });
  if (partition.handover === null) {
    try {
      await catalog.partitions.advance(partition, { kind: 'claim', migration, target: input.target });
    } catch (error) {
      const { handover } = await catalog.partitions.get(input.keyspace, input.partition);
      // Another attempt of this claim may have been the faster one; then it is ours all the same.
      if (handover?.migration !== migration) {
        // Whether this one comes through yet is not known after any other error: its record tells whose it is.
        if (!(error instanceof DroverError)) throw error;
        await catalog.migrations.remove(migration);
        if (error.code === 'Superseded') throw invalid(`${partition.id} has just been taken by another migration`);
        throw error;
      }
    }
  }
  if (input.decision !== undefined) {
    await catalog.decisions.update(input.decision, { state: 'started', workflowId });
  }
  return plan;
}

const invalid = (message: string) => new DroverError('InvalidRequest', message);

function duration(name: string, value: number | string | undefined, fallback: number): number {
  if (value === undefined) return fallback;
  const parsed = typeof value === 'number' ? value : ms(value as ms.StringValue);
  if (typeof parsed !== 'number' || !Number.isFinite(parsed) || parsed < 0) {
    throw invalid(
      `"${name}" must be a duration such as "30s", or a number of milliseconds; got ${JSON.stringify(value)}`,
    );
  }
  return parsed;
}
