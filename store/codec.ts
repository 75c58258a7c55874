import type { Document } from 'mongodb';
import { Long, MaxKey, Timestamp } from 'mongodb';
import { collectionOn, lockedNodes } from '../domain/partition.js';
import type { ClusterTime, Handover, HandoverState, Partition } from '../domain/partition.js';
import type { Owned, ReplicationScope } from '../domain/replication.js';
import type { Interval, Token } from '../domain/token.js';
import { TOKEN_END } from '../domain/token.js';

/**
 * How the domain's values are stored. A token is a BSON int64; the end of the token space, which does not fit into one, is
 * MaxKey. Bounds compare in BSON order, so that dimensions of other types fit into the same form.
 */
export const tokenToBson = (token: Token): Long | MaxKey =>
  token >= TOKEN_END ? new MaxKey() : Long.fromBigInt(token);

export function tokenFromBson(value: unknown): Token {
  if (value instanceof MaxKey) return TOKEN_END;
  if (typeof value === 'bigint') return value;
  if (value instanceof Long) return value.toBigInt();
  if (typeof value === 'number' && Number.isInteger(value)) return BigInt(value);
  throw new TypeError(`not a stored token: ${String(value)}`);
}

export const intervalToBson = ({ low, high }: Interval): Document => ({
  low: tokenToBson(low),
  high: tokenToBson(high),
});

export const intervalFromBson = (value: Document): Interval => ({
  low: tokenFromBson(value['low']),
  high: tokenFromBson(value['high']),
});

export const timeToBson = (time: ClusterTime): Timestamp => new Timestamp(time);

export function timeFromBson(value: unknown): ClusterTime {
  if (!(value instanceof Timestamp)) throw new TypeError(`not a stored time: ${String(value)}`);
  return BigInt.asUintN(64, value.toBigInt());
}

export function partitionToBson(partition: Partition): Document {
  const { id, box, route, handover, lastMovedAt, ...rest } = partition;
  return {
    _id: id,
    ...rest,
    box: box.map(intervalToBson),
    route: {
      ...route,
      boundary: tokenToBson(route.boundary),
      fence: route.fence === null ? null : intervalToBson(route.fence),
    },
    handover: handover === null ? null : { ...handover, state: stateToBson(handover.state) },
    lastMovedAt: lastMovedAt === null ? null : new Date(lastMovedAt),
    locks: locks(partition),
  };
}

/**
 * The collections whose validators may be changed for the partition. A unique index on them in the catalog keeps partitions
 * that share a collection apart.
 */
const locks = (partition: Partition): string[] =>
  lockedNodes(partition).map((node) => `${node}/${partition.keyspace.split('.')[0]}.${collectionOn(partition, node)}`);

export function partitionFromBson(document: Document): Partition {
  const { _id, box, route, handover, lastMovedAt, locks: _locks, ...rest } = document;
  return {
    ...(rest as Pick<Partition, 'keyspace' | 'name' | 'collection' | 'shared' | 'epoch' | 'attempt' | 'gates'>),
    id: _id as string,
    box: (box as Document[]).map(intervalFromBson) as [Interval],
    route: {
      source: route.source as string,
      target: route.target as string | null,
      boundary: tokenFromBson(route.boundary),
      fence: route.fence === null ? null : intervalFromBson(route.fence as Document),
    },
    handover:
      handover === null
        ? null
        : { ...(handover as Omit<Handover, 'state'>), state: stateFromBson(handover.state as Document) },
    lastMovedAt: lastMovedAt === null ? null : (lastMovedAt as Date).getTime(),
  };
}

function stateToBson(state: HandoverState): Document {
  switch (state.kind) {
    case 'fencing':
    case 'undoing':
      return { ...state, interval: intervalToBson(state.interval) };
    case 'owned':
      return { ...state, interval: intervalToBson(state.interval), since: timeToBson(state.since) };
    case 'idle':
    case 'retiring':
      return { ...state };
  }
}

function stateFromBson(state: Document): HandoverState {
  if (state['interval'] === undefined) return state as HandoverState;
  const interval = intervalFromBson(state['interval'] as Document);
  const since = state['since'] === undefined ? {} : { since: timeFromBson(state['since']) };
  return { ...state, interval, ...since } as HandoverState;
}

const ownedToBson = (owned: Owned): Document => ({ ...intervalToBson(owned), since: timeToBson(owned.since) });

const ownedFromBson = (value: Document): Owned => ({ ...intervalFromBson(value), since: timeFromBson(value['since']) });

export const scopeToBson = (scope: ReplicationScope): Document => ({
  ...scope,
  owned: scope.owned.map(ownedToBson),
  before: scope.before.map(ownedToBson),
});

export const scopeFromBson = (value: Document): ReplicationScope => ({
  owned: (value['owned'] as Document[]).map(ownedFromBson),
  before: (value['before'] as Document[]).map(ownedFromBson),
  handedOver: value['handedOver'] as number,
  received: value['received'] as number,
});
