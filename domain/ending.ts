import { removeGates, shutOut, takeOver } from './boundary-step.js';
import { DroverError } from './errors.js';
import type { Partition } from './partition.js';
import type { Step } from './step.js';
import { advance, perform } from './step.js';

/** The move's point of no return: the target is the owner in the catalog, and no router works by an older route. */
export function* retire(held: Partition, at: number): Step {
  const retiring =
    held.handover?.state.kind === 'retiring' ? held : yield* advance(yield* takeOver(held), { kind: 'retire', at });
  yield* perform<'awaitRouters'>({ do: 'awaitRouters', partition: retiring, patiently: true });
  return retiring;
}

/** After `retire`: the source's copy goes. */
export function* removeOldCopy(retiring: Partition): Step {
  const state = retiring.handover?.state;
  if (state?.kind !== 'retiring') throw new DroverError('Refused', `${retiring.id} is not being retired`);
  return yield* removeCopy(retiring, state.formerSource);
}

/** With everything handed back: takes the target out of the route. */
export function* withdraw(held: Partition): Step {
  const withdrawn = yield* advance(yield* takeOver(held), { kind: 'withdraw' });
  yield* perform<'awaitRouters'>({ do: 'awaitRouters', partition: withdrawn, patiently: true });
  return withdrawn;
}

/** After `withdraw`, or where the target was never published: the copy goes. */
export function* removeShadow(withdrawn: Partition): Step {
  const { route, handover } = withdrawn;
  if (handover?.state.kind !== 'idle' || route.target !== null) {
    throw new DroverError('Refused', `${withdrawn.id}: the copy is still part of the route`);
  }
  return yield* removeCopy(withdrawn, handover.target);
}

/** Replication is shut out before the copy goes: a follower writes past the fence, also into an empty collection. */
function* removeCopy(held: Partition, node: string): Step {
  const taken = yield* shutOut(held);
  yield* perform<'endReplication'>({ do: 'endReplication', partition: taken });
  yield* perform<'closeCopy'>({ do: 'closeCopy', partition: taken, node });
  return yield* removeGates(taken);
}
