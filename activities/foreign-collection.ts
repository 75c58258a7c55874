import { setAccepted } from '../domain/boundary-step.js';
import { DroverError } from '../domain/errors.js';
import type { NodeName, Partition } from '../domain/partition.js';
import { acceptedBy, collectionOn, isSharedOn } from '../domain/partition.js';
import type { World } from '../domain/step.js';
import { run } from '../domain/step.js';
import type { CollectionState } from '../store/fenced-collection.js';
import { isFencedBy } from '../store/fenced-collection.js';
import { dropGates, makeGates, newGates } from '../store/gates.js';
import type { Dependencies } from './dependencies.js';
import type { PartitionContext } from './move-context.js';
import { confirmAttempt } from './move-context.js';

const TRIES = 20;

/**
 * Closes a collection that somebody has made in the place of a move's own, before the partition leaves the node for good and nobody looks
 * after its fence there any more: a router with an old route might have made it, and would be acknowledged what no partition has.
 *
 * By a gate of its own, as those that the catalog names went with the collection that they were made in.
 *
 * @throws DroverError `Superseded`, `StepUndone` when transactions are in the way
 */
export async function closeForeign(
  { catalog }: Dependencies,
  { db, fence }: PartitionContext,
  partition: Partition,
  node: NodeName,
  { uuid, options }: CollectionState,
  world: Pick<World, 'setAccepted'>,
): Promise<void> {
  const others = isSharedOn(partition, node) ? await catalog.partitions.sharing(partition) : [];
  const isClosed = isFencedBy(options, { ...fence, accepted: acceptedBy([partition, ...others], node) });
  // A view takes no writes of a router.
  if (uuid === undefined || isClosed) return;
  const collection = collectionOn(partition, node);
  const [gate] = newGates(partition.name, partition.attempt) as [string];
  await confirmAttempt(catalog, partition);
  await makeGates(db(node), collection, [gate]);
  // Who has taken over since has dropped the gate, or drops it.
  await confirmAttempt(catalog, partition);
  await run(setAccepted({ ...partition, gates: [gate] }, node), world as World);
  for (let tries = 1; !(await dropGates(db(node), collection, ({ name }) => name === gate)); tries++) {
    if (tries < TRIES) continue;
    throw new DroverError('StepUndone', `transactions do not let the gate of ${collection} on "${node}" be dropped`);
  }
}
