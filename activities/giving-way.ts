import type { NodeName } from '../domain/partition.js';
import { giveWay } from '../store/node-pressure.js';
import type { Throttle } from '../store/throttle.js';
import type { Dependencies } from './dependencies.js';
import type { MoveContext } from './move-context.js';

/** A node that the work reads from, or writes to. */
interface WorkedOn {
  readonly node: NodeName;
  readonly writes: boolean;
}

/** Does bulk work of a migration, not at the cost of the applications of these nodes. */
export function givingWay<T>(
  { log }: Dependencies,
  { move: { migration }, client }: Pick<MoveContext, 'move' | 'client'>,
  nodes: readonly WorkedOn[],
  throttle: Throttle,
  work: () => Promise<T>,
): Promise<T> {
  const watched = nodes.map(({ node, writes }) => ({ name: node, client: client(node), ownWrites: writes }));
  const onSlower = (node: string, reason: string) => {
    log.info('a migration gives way', { migration, node, reason });
  };
  return giveWay(watched, throttle, onSlower, work);
}
