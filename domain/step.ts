import type { HandoverEvent } from './handover.js';
import type { ClusterTime, Direction, NodeName, Partition } from './partition.js';
import type { BoundaryMarker } from './replication.js';

/**
 * What the protocol asks of the world, one thing at a time. Activities do it on real servers; tests do it in a model in
 * which everything that can go wrong does, in every order.
 *
 * Anything may fail, or succeed although it seems to have failed; what an effect says of itself holds only when it
 * returns. `Superseded` means that another attempt has taken over: this one must stop.
 */
export type Effect =
  /** One compare-and-set in the catalog, by majority. Throws `Superseded` when the entry is no longer as given. */
  | { readonly do: 'advance'; readonly partition: Partition; readonly event: HandoverEvent }
  /**
   * Drops every gate of the partition on its nodes that is not among `partition.gates`, but none that a later attempt has
   * made: who comes late would bring that one to a stop in the middle of its step. Of a partition that a migration holds,
   * also every gate of other partitions in the collection: a repair of one of them may still be on its way.
   */
  | { readonly do: 'dropGates'; readonly partition: Partition }
  /** Makes gates with new names on all nodes of the partition. */
  | { readonly do: 'makeGates'; readonly partition: Partition }
  /**
   * Makes the gate of this attempt, the first one of the entry, on those of the partition's nodes where it is missing. Throws
   * `Superseded` when the attempt, looked at after that, is not the one of the catalog any more.
   */
  | { readonly do: 'makeMissingGate'; readonly partition: Partition }
  /** Waits until all routers have acknowledged the epoch, or have lost their lease. Patiently: where nobody waits for it. */
  | { readonly do: 'awaitRouters'; readonly partition: Partition; readonly patiently: boolean }
  /**
   * Waits for long transactions and index builds on the partition's nodes, which no fence could be changed past, and ends
   * transactions of routers that are gone.
   */
  | { readonly do: 'awaitTransactions'; readonly partition: Partition }
  /** Tells whether a direction of replication is close behind, and the servers are quick: a good moment for a step. */
  | { readonly do: 'awaitReplication'; readonly direction: Direction }
  /**
   * Makes the node's collection accept what the partition's entry says, through the attempt's gate. Other partitions in the
   * collection are read anew: what was read before the gates were made may be from before the lock.
   */
  | { readonly do: 'setAccepted'; readonly partition: Partition; readonly node: NodeName }
  /** Writes a marker at the direction's origin, and waits until it has been applied at its destination. */
  | { readonly do: 'passMarker'; readonly direction: Direction; readonly marker: BoundaryMarker }
  | { readonly do: 'readTime'; readonly node: NodeName }
  | { readonly do: 'takeBack'; readonly direction: Direction; readonly begun: number; readonly undone: number }
  | {
      readonly do: 'receive';
      readonly direction: Direction;
      readonly owned: BoundaryMarker;
      readonly since: ClusterTime;
    }
  /** Removes what replication of the migration keeps on the nodes: it can't write any more. */
  | { readonly do: 'endReplication'; readonly partition: Partition }
  /** Puts a closed empty collection in the place of the node's copy, where there is one. */
  | { readonly do: 'closeCopy'; readonly partition: Partition; readonly node: NodeName };

export interface Outcomes {
  readonly advance: Partition;
  readonly dropGates: void;
  readonly makeGates: readonly string[];
  readonly makeMissingGate: void;
  readonly awaitRouters: void;
  readonly awaitTransactions: void;
  readonly awaitReplication: boolean;
  /** False when a transaction was in the way: for certain nothing was changed. */
  readonly setAccepted: boolean;
  readonly passMarker: void;
  readonly readTime: ClusterTime;
  readonly takeBack: void;
  readonly receive: void;
  readonly endReplication: void;
  readonly closeCopy: void;
}

type EffectOf<K extends Effect['do']> = Extract<Effect, { readonly do: K }>;

/** A part of the protocol: asks for effects, takes their outcomes, ends with the partition as it then is. */
export type Step<T = Partition> = Generator<Effect, T, unknown>;

/** How effects are done. */
export type World = { readonly [K in Effect['do']]: (effect: EffectOf<K>) => Promise<Outcomes[K]> };

export function* perform<K extends Effect['do']>(effect: EffectOf<K>): Step<Outcomes[K]> {
  return (yield effect) as Outcomes[K];
}

export const advance = (partition: Partition, event: HandoverEvent): Step =>
  perform<'advance'>({ do: 'advance', partition, event });

/** Runs a step to its end. */
export async function run<T>(step: Step<T>, world: World): Promise<T> {
  let next = step.next();
  while (next.done !== true) {
    const effect = next.value;
    try {
      next = step.next(await (world[effect.do] as (effect: Effect) => Promise<unknown>)(effect));
    } catch (error) {
      next = step.throw(error);
    }
  }
  return next.value;
}
