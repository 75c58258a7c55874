import type { CountDocumentsOptions, Document, EstimatedDocumentCountOptions, Filter } from 'mongodb';
import { collectionOn } from '../domain/partition.js';
import type { KeyspaceHandle } from './keyspaces.js';
import type { OpenPiece, Piece, Unit } from './pieces.js';
import { isOnePiece, piecesOf, sessionOf, within } from './pieces.js';
import { readingOf } from './reading.js';
import type { Scatter } from './scatter.js';
import type { Routed } from './session.js';

const totalOf = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0);

/** As the driver counts, within the skip and the limit of all of it. */
export async function countDocuments(
  scatter: Scatter,
  keyspace: KeyspaceHandle,
  units: readonly Unit[],
  filter: Filter<Document>,
  { session, ...options }: Routed<CountDocumentsOptions> = {},
): Promise<number> {
  const { skip = 0, limit = Infinity, ...others } = options;
  const isApart = !isOnePiece(units, keyspace.field) && isCount(skip, 0) && (limit === Infinity || isCount(limit, 1));
  // A skip or limit that makes no sense is for the nodes to refuse.
  const ofPieces = !isApart ? options : { ...others, ...(limit === Infinity ? {} : { limit: skip + limit }) };
  const count = (piece: OpenPiece) =>
    piece.collection.countDocuments(within(filter, piece), { ...ofPieces, ...sessionOf(piece) });
  const counts = await scatter.ask(keyspace, units, session, count, readingOf(options, false));
  return isApart ? Math.min(Math.max(0, totalOf(counts) - skip), limit) : totalOf(counts);
}

const isCount = (value: number, least: number): boolean => Number.isSafeInteger(value) && value >= least;

/**
 * From what the servers know without looking: collections as a whole. Where a partition changes hands both nodes have all of
 * its documents, and the source's are counted.
 */
export async function estimatedDocumentCount(
  scatter: Scatter,
  keyspace: KeyspaceHandle,
  { session, ...options }: Routed<EstimatedDocumentCountOptions> = {},
): Promise<number> {
  await session?.ready();
  const units = scatter.units(keyspace, 'all');
  const unitOf = new Map(units.flatMap((unit) => unit.routes.map((route) => [route, unit])));
  const namesOf = new Map<Unit, ReadonlySet<string>>();
  const count = (piece: OpenPiece) => {
    // Copies of a partition are in one unit, whose pieces are opened together.
    const unit = unitOf.get(piece.routes[0]!)!;
    let names = namesOf.get(unit);
    if (names === undefined) namesOf.set(unit, (names = new Set(piecesOf(unit, keyspace.field).map(nameOf))));
    const here = { node: piece.node, collection: piece.collection.collectionName, routes: piece.routes };
    const settings = { ...options, ...sessionOf(piece) };
    return isCounted(here, names) ? piece.collection.estimatedDocumentCount(settings) : Promise.resolve(0);
  };
  const counts = await scatter.ask(keyspace, units, session, count, readingOf(options, false));
  return totalOf(counts);
}

/** Not a copy that is counted elsewhere. */
function isCounted(piece: Omit<Piece, 'restriction'>, names: ReadonlySet<string>): boolean {
  return piece.routes.some(({ partition }) => {
    const { source } = partition.route;
    const atSource = nameOf({ node: source, collection: collectionOn(partition, source) });
    return atSource === nameOf(piece) || !names.has(atSource);
  });
}

const nameOf = ({ node, collection }: Pick<Piece, 'node' | 'collection'>): string => `${node} ${collection}`;
