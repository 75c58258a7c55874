import { DroverError } from '../domain/errors.js';
import type { NodeName, Partition } from '../domain/partition.js';
import { acceptedBy, collectionOn, isSharedOn, tokensOf } from '../domain/partition.js';
import { overlaps } from '../domain/token.js';
import type { KeyspaceDocument } from '../store/catalog/keyspaces.js';
import { describeClient, watchWriters } from '../store/direct-writers.js';
import { partOf } from '../store/part.js';
import { removePart } from '../store/part-removal.js';
import { Throttle } from '../store/throttle.js';
import type { Dependencies } from './dependencies.js';
import { FigureReporter } from './figures.js';
import { givingWay } from './giving-way.js';
import type { MoveContext } from './move-context.js';
import { confirmAttempt } from './move-context.js';

/** A request is to be answered within half a minute. */
const WATCH_MOST_MS = 20_000;

/**
 * What clients delete past the routers no fence refuses, and so it would not be carried over. Before a partition leaves a
 * collection that was there before Drover, or comes back into it, none may be seen writing there.
 *
 * @throws DroverError `Refused` with who was seen
 */
export async function refuseDirectWriters(
  { nodes, migration: { watchWriters: watchMs } }: Dependencies,
  { database }: KeyspaceDocument,
  partition: Partition,
  involved: readonly NodeName[],
): Promise<void> {
  if (watchMs === 0) return;
  for (const node of involved.filter((each) => isSharedOn(partition, each))) {
    const namespace = `${database}.${collectionOn(partition, node)}`;
    const { writers } = await watchWriters(await nodes.get(node), namespace, Math.min(watchMs, WATCH_MOST_MS));
    if (writers.length === 0) continue;
    throw new DroverError(
      'Refused',
      `clients write to ${namespace} on "${node}" past the router: ${writers.map(describeClient).join('; ')}. Have them use it ` +
        'before anything moves; allowDirectWriters moves all the same, and loses what they delete',
    );
  }
}

/**
 * Takes a partition that has left out of the collection that others are in: it is deleted there a few documents at a time, as
 * slowly as copying would be.
 *
 * @param uuid of the collection, where it is known
 * @throws DroverError `Superseded`, `Refused` when the node owns any of it
 */
export async function removeFromShared(
  dependencies: Dependencies,
  context: MoveContext,
  partition: Partition,
  node: NodeName,
  uuid: string | undefined,
): Promise<void> {
  const { catalog, migration: policy, log } = dependencies;
  const { keyspace, fence, move, client, signal } = context;
  const confirm = async () => {
    const sharing = [partition, ...(await catalog.partitions.sharing(partition))];
    if (acceptedBy(sharing, node).some((owned) => overlaps(owned, tokensOf(partition)))) {
      throw new DroverError('Refused', `"${node}" owns tokens of ${partition.id}: nothing of it is deleted there`);
    }
    await confirmAttempt(catalog, partition);
  };
  const { migration } = move;
  const throttle = Throttle.of(policy);
  // Steps of the protocol beat by themselves: the figure is for commands, and for the janitor, which sees that it goes on.
  const reporter = new FigureReporter(dependencies, migration, () => undefined);
  const removed = await givingWay(dependencies, context, [{ node, writes: true }], throttle, () =>
    removePart({
      client: client(node),
      database: keyspace.database,
      collection: collectionOn(partition, node),
      uuid,
      part: partOf(fence.keyField, partition),
      migration,
      attempt: partition.attempt,
      throttle,
      signal,
      confirm,
      onProgress: (removed) => reporter.tell({ removed }),
    }),
  );
  log.info('a partition was taken out of a shared collection', { migration, partition: partition.id, node, removed });
}
