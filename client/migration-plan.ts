import type { CopyLimits } from '../domain/copy-limits.js';
import { limitsOf, secondsAtLeast } from '../domain/copy-limits.js';
import { DroverError } from '../domain/errors.js';
import { collectionOn } from '../domain/partition.js';
import { partOn } from '../store/part.js';
import { obstacles } from '../store/preflight.js';
import { checkWeights } from '../domain/weights.js';
import type { MigrationInput } from '../workflows/messages.js';
import type { ControlContext } from './context.js';
import { partitionSize } from './partition-size.js';

/** What a migration would do. */
export interface MigrationPlan extends CopyLimits {
  readonly keyspace: string;
  readonly partition: string;
  readonly source: string;
  readonly sourceRegion: string;
  readonly target: string;
  readonly targetRegion: string;
  readonly documents: number;
  readonly bytes: number;
  readonly weights: readonly number[];
  /** Milliseconds. */
  readonly dwell: number;
  readonly soak: number;
  readonly approveCutover: boolean;
  /** Least time the waits alone take, milliseconds: dwell and soak, and the copy at its limit. */
  readonly atLeastMs: number;
  /** What would keep it from starting now, or make it wait. */
  readonly notes: readonly string[];
}

export type PlannedMigration = Omit<MigrationInput, 'dwell' | 'soak'> & {
  /** Milliseconds. */
  readonly dwell?: number;
  readonly soak?: number;
};

/**
 * Says what a migration would do; starts and changes nothing. The migration checks its request once more, and looks
 * at the collections on both nodes, before it touches anything.
 *
 * @throws DroverError `InvalidRequest` for what the migration would refuse, `Unavailable` when a node does not answer
 */
export async function planMigration(context: ControlContext, input: PlannedMigration): Promise<MigrationPlan> {
  const { catalog, nodes, configuration } = context;
  const policy = configuration.policy.migration;
  const weights = checkWeights(input.weights ?? policy.weights);
  await catalog.keyspaces.get(input.keyspace);
  const partition = await catalog.partitions.get(input.keyspace, input.partition);
  const [source, target] = [await catalog.nodes.get(partition.route.source), await catalog.nodes.get(input.target)];
  if (partition.handover !== null) {
    throw invalid(`${partition.id} is already moving to "${partition.handover.target}"`);
  }
  if (source._id === target._id) throw invalid(`${partition.id} is already on "${target._id}": choose another node`);
  if (target.draining) throw invalid(`node "${target._id}" is being drained: choose another node`);
  const size = (await partitionSize(context, partition)) ?? { documents: 0, bytes: 0 };

  const running = await catalog.migrations.list({ state: 'running' });
  const notes = [
    ...((await catalog.settings.automationStopped())
      ? ['all automation is stopped: the move would be refused until "drover start"']
      : []),
    ...(running.length >= policy.concurrency
      ? [`${running.length} migrations are under way, ${policy.concurrency} may be: it would wait for its turn`]
      : []),
  ];
  const beside = (await catalog.partitions.sharing(partition)).find(({ handover }) => handover !== null);
  if (beside !== undefined) {
    notes.push(`${beside.id} is in the same collection and is moving: the move would be refused until that is over`);
  }
  const limits = limitsOf(input, policy);
  const { database, dimensions } = await catalog.keyspaces.get(input.keyspace);
  const found = await obstacles({
    source: await nodes.get(source._id),
    target: await nodes.get(target._id),
    database,
    collection: collectionOn(partition, source._id),
    part: partOn(dimensions[0].field, partition, source._id),
    limits,
  });
  notes.push(...found.map((obstacle) => `the move would be refused: ${obstacle}`));
  const dwell = input.dwell ?? policy.dwell;
  const soak = input.soak ?? policy.soak;
  // Backfill reads everything once, and verification on both nodes.
  const copyMs = 3_000 * secondsAtLeast(limits, size);
  return {
    keyspace: input.keyspace,
    partition: input.partition,
    source: source._id,
    sourceRegion: source.region,
    target: target._id,
    targetRegion: target.region,
    ...size,
    weights,
    dwell,
    soak,
    ...limits,
    approveCutover: input.approveCutover ?? false,
    atLeastMs: Math.round(copyMs + dwell * (weights.length - 1) + soak),
    notes,
  };
}

const invalid = (message: string) => new DroverError('InvalidRequest', message);
