import type { Interval, Token } from './token.js';
import { contains, isEmpty, subtract, union } from './token.js';

export type NodeName = string;

/** A server's logical time (BSON timestamp as one 64-bit integer: seconds << 32 | increment). */
export type ClusterTime = bigint;

/**
 * Who takes the writes of a partition.
 *
 * Tokens below `boundary` belong to `target`, the others to `source`; outside of a cutover the boundary is the
 * partition's low end and the source owns everything. In the interval `fence` nobody may write: it is changing hands.
 */
export interface Route {
  readonly source: NodeName;
  readonly target: NodeName | null;
  readonly boundary: Token;
  readonly fence: Interval | null;
}

/** Towards the target, or (rollback, lower weight) towards the source. */
export type Direction = 'forward' | 'back';

/** Where a hand-over stands. The table of transitions is in handover.ts. */
export type HandoverState =
  | { readonly kind: 'idle' }
  | { readonly kind: 'fencing'; readonly direction: Direction; readonly interval: Interval }
  | {
      readonly kind: 'owned';
      readonly direction: Direction;
      readonly interval: Interval;
      /** Gaining node's time: later than every copied write of the interval, earlier than its first own write. */
      readonly since: ClusterTime;
    }
  | { readonly kind: 'undoing'; readonly direction: Direction; readonly interval: Interval }
  | { readonly kind: 'retiring'; readonly formerSource: NodeName };

/** The migration that holds a partition, and its step record. */
export interface Handover {
  readonly migration: string;
  readonly target: NodeName;
  readonly state: HandoverState;
}

/** A collection that was there before its keyspace was: on its node, partitions share it until they move away. */
export interface SharedCollection {
  readonly node: NodeName;
  readonly collection: string;
}

export interface Partition {
  /** `<keyspace>/<name>` */
  readonly id: string;
  readonly keyspace: string;
  readonly name: string;
  /** One interval per dimension of the keyspace's key; a hashed dimension is an interval of tokens. */
  readonly box: readonly [Interval, ...Interval[]];
  /** Name of the partition's own collection, in the keyspace's database, on every node but that of `shared`. */
  readonly collection: string;
  /** On this node the partition is in a collection together with others. */
  readonly shared?: SharedCollection;
  /** Raised by one with every change of the route. */
  readonly epoch: number;
  /** Raised by every take-over; whoever holds an older number may not change anything any more. */
  readonly attempt: number;
  /**
   * Indexes without which a fence can't be changed: the first is the present attempt's gate, the others wait for the
   * attempts after it. A take-over drops the gates of older attempts, so that these can't open or close a fence.
   */
  readonly gates: readonly string[];
  readonly route: Route;
  readonly handover: Handover | null;
  /** When the partition last changed its owner, milliseconds since the epoch. */
  readonly lastMovedAt: number | null;
}

export const partitionId = (keyspace: string, name: string): string => `${keyspace}/${name}`;

/** Name of the collection that holds the partition on a node, or would hold it there. */
export const collectionOn = ({ collection, shared }: Partition, node: NodeName): string =>
  shared?.node === node ? shared.collection : collection;

/** Whether the partition's collection on a node may hold others, too. */
export const isSharedOn = ({ shared }: Partition, node: NodeName): boolean => shared?.node === node;

export const tokensOf = (partition: Partition): Interval => partition.box[0];

/** The node that takes the writes of `token`, or `null` while it is fenced. */
export function writeOwner(partition: Partition, token: Token): NodeName | null {
  const { route } = partition;
  return route.fence !== null && contains(route.fence, token) ? null : readOwner(partition, token);
}

/** The node that has every acknowledged write of `token`; a fenced token is still read where it was written. */
export function readOwner(partition: Partition, token: Token): NodeName {
  const { route } = partition;
  return route.target !== null && token < route.boundary ? route.target : route.source;
}

/** Which node has every acknowledged write of which tokens: one or two, in the order of the tokens. */
export function sidesOf(partition: Partition): { readonly node: NodeName; readonly tokens: Interval }[] {
  const { low, high } = tokensOf(partition);
  const { source, target, boundary } = partition.route;
  if (target === null) return [{ node: source, tokens: { low, high } }];
  const sides = [
    { node: target, tokens: { low, high: boundary } },
    { node: source, tokens: { low: boundary, high } },
  ];
  return sides.filter(({ tokens }) => !isEmpty(tokens));
}

/** The nodes that a hand-over of the partition works on: where the partition is, and where it goes or came from. */
export function nodesOf({ route, handover }: Partition): NodeName[] {
  const other = handover?.state.kind === 'retiring' ? handover.state.formerSource : handover?.target;
  return other === undefined || other === route.source ? [route.source] : [route.source, other];
}

/**
 * The node on which documents may expire by themselves: the one that owns the whole partition. While it changes hands nobody's
 * may: what the server deletes of its own accord no fence sees, and on a node that does not own it nothing brings it back.
 */
export function expiringNode(partition: Partition): NodeName | null {
  const { route, handover } = partition;
  if (handover === null || handover.state.kind === 'retiring') return route.source;
  if (handover.state.kind !== 'idle') return null;
  if (route.target === null) return route.source;
  return route.boundary === tokensOf(partition).high ? route.target : null;
}

/**
 * The nodes on which documents may expire: where the partition is owned as a whole, and where others are in the collection that it has
 * left for good, as what is still there of it is being removed.
 */
export function expiringNodes(partition: Partition): NodeName[] {
  const state = partition.handover?.state;
  const left = state?.kind === 'retiring' && isSharedOn(partition, state.formerSource) ? [state.formerSource] : [];
  const node = expiringNode(partition);
  return node === null ? left : [node, ...left];
}

/**
 * The nodes on which no other partition in the same collection may be worked on: two validators that are computed side by
 * side know nothing of each other. Who has gates may change a fence, so that a repair without a migration counts, too.
 */
export const lockedNodes = (partition: Partition): NodeName[] =>
  partition.handover === null && partition.gates.length === 0 ? [] : nodesOf(partition);

/** What the validator of one collection on `node` accepts: whatever the partitions in that collection accept there. */
export function acceptedBy(sharing: readonly Partition[], node: NodeName): Interval[] {
  return union(sharing.flatMap((partition) => acceptedTokens(partition, node)));
}

/**
 * The tokens of one partition whose writes `node` has to accept.
 *
 * While an interval is being fenced neither side accepts it. While a step is undone the interval already belongs to
 * the losing side again, although routers go on holding its writes until the step is settled.
 */
export function acceptedTokens(partition: Partition, node: NodeName): Interval[] {
  const { handover } = partition;
  const { low } = tokensOf(partition);
  const fenced = handover?.state.kind === 'fencing' ? handover.state.interval : { low, high: low };
  const owned = sidesOf(partition).filter((side) => side.node === node);
  return subtract(
    owned.map(({ tokens }) => tokens),
    fenced,
  );
}
