import type { ClientSession, Collection, Document } from 'mongodb';
import { grouped } from '../domain/grouped.js';
import type { NodeName } from '../domain/partition.js';
import { collectionOn, isSharedOn, sidesOf, tokensOf } from '../domain/partition.js';
import type { Interval } from '../domain/token.js';
import { contains, TOKEN_END, TOKEN_MIN, union } from '../domain/token.js';
import { filterOf } from '../store/part.js';
import type { PartitionRoute } from './route-table.js';
import type { Wanted } from './wanted.js';
import { tokensWithin } from './wanted.js';

/** Partitions that may be in one collection somewhere: where their documents are is looked up for all of them at once. */
export interface Unit {
  readonly routes: readonly PartitionRoute[];
  readonly wanted: Wanted;
}

/** A collection at a node, and which of its documents are meant there. */
export interface Piece {
  readonly node: NodeName;
  readonly collection: string;
  readonly routes: readonly PartitionRoute[];
  /** Leaves out those that are here, but belong to another node at this moment. */
  readonly restriction?: Document;
}

/** A piece that is being read from: the copy there stays until it is ended. */
export interface OpenPiece extends Omit<Piece, 'collection'> {
  readonly collection: Collection;
  readonly session: ClientSession | undefined;
  /** Whether what was read is as good as promised: a copy that is not the owner's may have been removed meanwhile. */
  readonly isSure: () => boolean;
  /** To be told of the documents that were read, for the access records. */
  readonly delivered: (documents: readonly unknown[]) => void;
  readonly end: (failed?: boolean) => void;
}

/** @param routes of all partitions that hold what is wanted */
export function unitsOf(routes: readonly PartitionRoute[], wanted: Wanted): Unit[] {
  const units = grouped(routes, ({ partition: { id, shared } }) =>
    shared === undefined ? id : `${shared.node} ${shared.collection}`,
  );
  return [...units.values()].map((each) => ({ routes: each, wanted }));
}

/** Which tokens of a partition are read at which node. */
export type SidesAt = (route: PartitionRoute) => { readonly node: NodeName; readonly tokens: Interval }[];

const atOwners: SidesAt = ({ partition }) => sidesOf(partition);

/** Where each wanted document of a unit is read at this moment: it may be on two nodes, but is in one piece only. */
export function piecesOf({ routes, wanted }: Unit, keyField: string, sidesAt = atOwners): Piece[] {
  const pieces = new Map<string, { node: NodeName; collection: string; routes: PartitionRoute[]; owned: Interval[] }>();
  for (const route of routes) {
    const { partition } = route;
    for (const { node, tokens } of sidesAt(route)) {
      if (!concerns(tokens, wanted)) continue;
      const collection = collectionOn(partition, node);
      const name = `${node} ${collection}`;
      let piece = pieces.get(name);
      if (piece === undefined) pieces.set(name, (piece = { node, collection, routes: [], owned: [] }));
      piece.routes.push(route);
      piece.owned.push(tokens);
    }
  }
  return [...pieces.values()].map(({ owned, ...piece }) => ({
    ...piece,
    ...restrictionOf(keyField, piece.routes[0]!, piece.node, owned, wanted),
  }));
}

/** @param owned tokens that are meant, of all partitions that are in the route's collection at the node */
export function restrictionOf(
  keyField: string,
  { partition }: PartitionRoute,
  node: NodeName,
  owned: readonly Interval[],
  wanted: Wanted,
): Pick<Piece, 'restriction'> {
  const all = isSharedOn(partition, node) ? { low: TOKEN_MIN, high: TOKEN_END } : tokensOf(partition);
  const intervals = union(owned);
  if (holdsNoOthers(intervals, all, wanted)) return {};
  const restrictions = intervals.map((tokens) => filterOf({ keyField, tokens }));
  return { restriction: restrictions.length === 1 ? restrictions[0]! : { $or: restrictions } };
}

/** Whether nothing that is wanted can be in a collection with these tokens but what is owned there. */
function holdsNoOthers(owned: readonly Interval[], all: Interval, wanted: Wanted): boolean {
  if (wanted === 'all') return owned.length === 1 && owned[0]!.low === all.low && owned[0]!.high === all.high;
  return tokensWithin(wanted, all).every((token) => owned.some((interval) => contains(interval, token)));
}

const concerns = (tokens: Interval, wanted: Wanted): boolean =>
  wanted === 'all' || tokensWithin(wanted, tokens).length > 0;

/** The application's filter, for one piece. */
export const within = (
  filter: Document | undefined,
  { restriction }: { readonly restriction?: Document | undefined },
): Document => (restriction === undefined ? (filter ?? {}) : { $and: [filter ?? {}, restriction] });

/** Whether a request needs nothing merged. */
export const isOnePiece = (units: readonly Unit[], keyField: string): boolean =>
  units.length === 1 && piecesOf(units[0]!, keyField).length === 1;

/** The options of the driver for the session of a piece. */
export const sessionOf = ({ session }: OpenPiece) => (session === undefined ? {} : { session });
