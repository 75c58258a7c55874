import { shutOut } from '../domain/boundary-step.js';
import { DroverError } from '../domain/errors.js';
import { isSharedOn } from '../domain/partition.js';
import { run } from '../domain/step.js';
import type { CollectionDefinition } from '../store/collection-definition.js';
import { differentOptions, readDefinition } from '../store/collection-definition.js';
import { createFenced, dropClosed, inspect, isFencedBy, replaceByClosed } from '../store/fenced-collection.js';
import type { Dependencies } from './dependencies.js';
import type { KeptDefinition } from './kept-definition.js';
import type { MoveContext } from './move-context.js';
import { confirmAttempt } from './move-context.js';
import { handoverWorld } from './world.js';

/**
 * A closed empty collection at the target, with the options of the one that is to be copied. Where one is there, from an
 * earlier attempt or from an earlier stay of the partition, it is closed and empty: it stays if its options are the same. Anything
 * else is somebody's, who has made it since the move was claimed: it may have waited for its admission for hours.
 *
 * @param noted what an earlier attempt of this move has noted
 * @throws DroverError `Refused` when there is a collection that is not Drover's, `StepUndone` when it changes at this moment
 */
export async function makeEmptyCopy(
  dependencies: Dependencies,
  context: MoveContext,
  { options }: CollectionDefinition,
  noted: KeptDefinition | undefined,
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
  const closed = { ...fence, accepted: [] };
  const there = await inspect(db, name);
  if (!there.exists) return createFenced(db, name, closed, options);
  const where = `${db.databaseName}.${name} on "${move.target}"`;
  const isNoted = there.uuid !== undefined && there.uuid === noted?.uuids[move.target];
  if (!(there.fenced && there.empty) && !isNoted) {
    throw new DroverError('Refused', `${where} is not Drover's: rename or drop it there first`);
  }
  const found = await readDefinition(db, name);
  const isSame =
    found !== undefined && found.uuid === there.uuid && differentOptions(found.options, options).length === 0;
  if (isSame && isFencedBy(there.options, closed)) return;
  const attempt = `${move.migration}-${taken.attempt}`;
  const confirm = () => confirmAttempt(dependencies.catalog, taken);
  if (await replaceByClosed(db, name, fence, attempt, confirm, { options, replaces: there.uuid })) return;
  throw new DroverError('StepUndone', `somebody has just changed the collection ${where}`);
}
