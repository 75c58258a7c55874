import { shutOut } from '../domain/boundary-step.js';
import { run } from '../domain/step.js';
import type { CollectionDefinition } from '../store/collection-definition.js';
import { differentOptions, readDefinition } from '../store/collection-definition.js';
import { createFenced, dropClosed, replaceByClosed } from '../store/fenced-collection.js';
import type { Dependencies } from './dependencies.js';
import type { MoveContext } from './move-context.js';
import { confirmAttempt, handoverWorld } from './world.js';

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
  const [db, name] = [context.db(move.target), context.partition.collection];
  // Whoever was to put a closed collection in the place of what is there comes too late from here on.
  const taken = await run(shutOut(context.partition), handoverWorld(dependencies, context));
  await dropClosed(db, name);
  const there = await readDefinition(db, name);
  if (there === undefined) return createFenced(db, name, { ...fence, accepted: [] }, options);
  if (differentOptions(there.options, options).length === 0) return;
  const attempt = `${move.migration}-${taken.attempt}`;
  await replaceByClosed(db, name, fence, attempt, () => confirmAttempt(dependencies.catalog, taken), options);
}
