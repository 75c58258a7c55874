import { shutOut } from '../domain/boundary-step.js';
import { DroverError } from '../domain/errors.js';
import { isSharedOn } from '../domain/partition.js';
import { run } from '../domain/step.js';
import type { CollectionDefinition } from '../store/collection-definition.js';
import { differentOptions, readDefinition } from '../store/collection-definition.js';
import { createFenced, dropClosed, inspect, replaceByClosed } from '../store/fenced-collection.js';
import type { Dependencies } from './dependencies.js';
import type { MoveContext } from './move-context.js';
import { confirmAttempt } from './move-context.js';
import { handoverWorld } from './world.js';

/**
 * A closed empty collection at the target, with the options of the one that is to be copied. Where one is there, from an
 * earlier attempt or from an earlier stay of the partition, it is closed and empty: it stays if its options are the same.
 */
export async function makeEmptyCopy(
  dependencies: Dependencies,
  context: MoveContext,
  { options }: CollectionDefinition,
): Promise<void> {
  const { move, fence } = context;
  const [db, name] = [context.db(move.target), context.names.target];
  if (isSharedOn(context.partition, move.target)) {
    // It is there, and accepts nothing of this partition. One that is made by its first index would have no fence.
    if ((await inspect(db, name)).fenced) return;
    throw new DroverError('Refused', `${name} on "${move.target}" has lost its fence`);
  }
  // Whoever was to put a closed collection in the place of what is there comes too late from here on.
  const taken = await run(shutOut(context.partition), handoverWorld(dependencies, context));
  await dropClosed(db, name);
  const there = await readDefinition(db, name);
  if (there === undefined) return createFenced(db, name, { ...fence, accepted: [] }, options);
  if (differentOptions(there.options, options).length === 0) return;
  const attempt = `${move.migration}-${taken.attempt}`;
  await replaceByClosed(db, name, fence, attempt, () => confirmAttempt(dependencies.catalog, taken), { options });
}
