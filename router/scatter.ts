import type { Db, MongoClient } from 'mongodb';
import type { Origin } from '../domain/access.js';
import { DroverError } from '../domain/errors.js';
import type { NodeName } from '../domain/partition.js';
import { tokensOf } from '../domain/partition.js';
import { contains, TOKEN_END, TOKEN_MIN } from '../domain/token.js';
import type { NodePool } from '../store/node-pool.js';
import type { AccessRecorder } from './access-recorder.js';
import { allEnded } from './all-ended.js';
import type { KeyspaceHandle, Keyspaces } from './keyspaces.js';
import type { KnownCollections } from './known-collections.js';
import type { Copy, Nearest } from './nearest.js';
import type { ObservedRequests } from './observed-requests.js';
import { openPiece } from './open-piece.js';
import type { LongRead } from './open-reads.js';
import type { OpenPiece, Piece, Unit } from './pieces.js';
import { piecesOf, unitsOf } from './pieces.js';
import type { ReadCheck } from './read-check.js';
import { isNothing } from './read-check.js';
import type { Reading } from './reading.js';
import type { PartitionRoute, RouteTable } from './route-table.js';
import type { DroverSession } from './session.js';
import type { Wanted } from './wanted.js';

/** Pieces that one request reads from at once. */
export const PARALLEL = 16;

/** Finds all pieces that a request concerns, and opens them for reading: each document is in one of them. */
export class Scatter {
  constructor(
    readonly keyspaces: Keyspaces,
    private readonly table: RouteTable,
    private readonly nodes: NodePool,
    private readonly recorder: AccessRecorder,
    private readonly nearest: Nearest,
    private readonly origin: Origin,
    readonly check: ReadCheck,
    readonly observed: ObservedRequests,
  ) {}

  /** For what any node can tell. */
  anyClient(): MongoClient {
    return this.nodes.any();
  }

  /** Nodes that have a part of a keyspace, as far as this client knows. */
  nodesInUse(keyspace: string): ReadonlySet<NodeName> {
    return this.table.nodes(keyspace);
  }

  /** Nodes that have got a part of a keyspace since, by `performance.now()`, or may have; they may have lost it again. */
  nodesNamedSince(keyspace: string, time: number): NodeName[] {
    return this.table.nodesNamedSince(keyspace, time);
  }

  collectionsOf(keyspace: string): KnownCollections {
    return this.table.collectionsOf(keyspace);
  }

  get connectedNodes(): readonly NodeName[] {
    return this.nodes.names;
  }

  /** @throws DroverError `Unavailable` when one does not answer, `InvalidConfiguration` when no address of it is known */
  async connected(nodes: Iterable<NodeName>): Promise<ReadonlyMap<NodeName, MongoClient>> {
    const clients = [...nodes].map(async (node) => [node, await this.nodes.get(node)] as const);
    return new Map(await Promise.all(clients));
  }

  /**
   * The partitions that a request concerns.
   *
   * @throws DroverError `Unavailable` when not all routes are known
   */
  units(keyspace: KeyspaceHandle, wanted: Wanted): Unit[] {
    const { name } = keyspace;
    if (wanted !== 'all') {
      const routes = new Set(wanted.map((token) => this.table.find(name, token) ?? notCovered(name)));
      return unitsOf([...routes], wanted);
    }
    const routes = this.table.all(name);
    let covered = TOKEN_MIN;
    for (const { partition } of routes) {
      if (tokensOf(partition).low !== covered) notCovered(name);
      covered = tokensOf(partition).high;
    }
    if (covered !== TOKEN_END) notCovered(name);
    return unitsOf(routes, wanted);
  }

  /**
   * Opens the pieces of a unit by the routes of this moment: to be ended, each.
   *
   * @param long of a request that reads through cursors
   * @param reading what is known of the read; nothing of it goes to a copy unless it says so
   */
  async open(
    keyspace: KeyspaceHandle,
    unit: Unit,
    session?: DroverSession,
    long?: LongRead,
    reading?: Reading,
  ): Promise<OpenPiece[]> {
    const user = (session?.origin ?? this.origin).user ?? session?.user;
    this.recorder.entities?.useAll(user, keyspace.name, unit.wanted);
    const copies: Copy[] = [];
    const chosenAt = performance.now();
    const wanted = reading?.nearest;
    const pieces = wanted
      ? piecesOf(unit, keyspace.field, (route) =>
          this.nearest.sidesOf(keyspace, route, wanted, session, (copy) => copies.push(copy)),
        )
      : piecesOf(unit, keyspace.field);
    if (session?.inTransaction() === true) this.join(session, unit, pieces);
    // Before anything else happens: what is being read from is not removed.
    const opening = pieces.map((piece) => ({ piece, end: this.begin(keyspace, piece, session, long) }));
    session?.use(pieces.flatMap(({ routes }) => routes));
    const opened: OpenPiece[] = [];
    const { nearest } = this;
    try {
      for (const { piece, end } of opening) {
        const client = this.nodes.peek(piece.node) ?? (await this.nodes.get(piece.node));
        const read = copies.filter(({ node }) => node === piece.node);
        const how = { keyspace, piece, chosenAt, end, client, copies: read, nearest, session, long, reading };
        opened.push({ ...(await openPiece(how)), delivered: this.delivery(keyspace, piece, session) });
      }
      return opened;
    } catch (error) {
      for (const { end } of [...opened, ...opening]) end(true);
      throw error;
    }
  }

  /** The database at one of the nodes that hold what is wanted: to work there on what all of them have sent. */
  async merging(keyspace: KeyspaceHandle, units: readonly Unit[]): Promise<Db> {
    const pieces = units.flatMap((unit) => piecesOf(unit, keyspace.field));
    const { node } = pieces[Math.floor(Math.random() * pieces.length)]!;
    return (await this.nodes.get(node)).db(keyspace.database);
  }

  /** Asks every piece that a request concerns once. */
  async ask<T>(
    keyspace: KeyspaceHandle,
    units: readonly Unit[],
    session: DroverSession | undefined,
    request: (piece: OpenPiece) => Promise<T>,
    reading?: Reading,
  ): Promise<T[]> {
    const askUnit = async (unit: Unit, by = reading): Promise<T[]> => {
      const lease = this.check.begin();
      const known = unit.routes.map((route) => ({ route, epoch: route.epoch }));
      const pieces = await this.open(keyspace, unit, session, undefined, by);
      try {
        const answers = await allEnded(pieces, atOnce(session), (piece) => ended(piece, request));
        const nothingAt = () =>
          pieces.filter((_, i) => isNothing(answers[i])).map(({ node, routes }) => ({ keyspace, node, routes }));
        const isSure = this.check.isSure(lease) || (await this.check.confirm(known, nothingAt));
        if (isSure && pieces.every((piece) => piece.isSure())) return answers;
      } finally {
        for (const { end } of pieces) end(true);
      }
      if (unit.routes.some((route) => this.table.route(route.partition.id) !== route)) notCovered(keyspace.name);
      return askUnit(unit, { ...by, nearest: false });
    };
    return (await allEnded(units, atOnce(session), (unit) => askUnit(unit))).flat();
  }

  /** Keys that are asked for stay where they are until the transaction ends; what is found besides is of one moment anyway. */
  private join(session: DroverSession, { routes, wanted }: Unit, pieces: readonly Piece[]): void {
    session.join(
      pieces.map(({ node }) => node),
      routes,
    );
    if (wanted === 'all') return;
    for (const route of routes) {
      for (const token of wanted) if (contains(tokensOf(route.partition), token)) session.hold(route, token);
    }
  }

  private begin(
    keyspace: KeyspaceHandle,
    { node, routes }: Piece,
    session?: DroverSession,
    long?: LongRead,
  ): OpenPiece['end'] {
    const startedAt = performance.now();
    const reads = routes.map((route) => ({ route, read: route.reads.begin(node, long) }));
    let over = false;
    return (failed = false) => {
      if (over) return;
      over = true;
      for (const { route, read } of reads) {
        route.reads.end(read);
        this.count(keyspace, route, node, startedAt, failed, session?.origin ?? this.origin);
      }
    };
  }

  /** Partitions that are in one collection have even parts. */
  private delivery(
    { name: keyspace }: KeyspaceHandle,
    { node, routes }: Piece,
    session: DroverSession | undefined,
  ): OpenPiece['delivered'] {
    return (documents) => {
      const bytes = this.recorder.bytesOf(documents);
      if (bytes === 0) return;
      const origin = session?.origin ?? this.origin;
      for (const { partition } of routes) {
        this.recorder.addBytes({ origin, keyspace, partition: partition.name, node }, 'read', bytes / routes.length);
      }
    };
  }

  private count(
    keyspace: KeyspaceHandle,
    route: PartitionRoute,
    node: string,
    startedAt: number,
    failed: boolean,
    origin: Origin,
  ) {
    const ms = performance.now() - startedAt;
    this.recorder.count(origin, keyspace.name, route.partition.name, node, undefined, 'reads', ms, failed);
  }
}

async function ended<T>(piece: OpenPiece, request: (piece: OpenPiece) => Promise<T>): Promise<T> {
  let failed = true;
  try {
    const answer = await request(piece);
    failed = false;
    return answer;
  } finally {
    piece.end(failed);
  }
}

/** One request of a session after the other, as with the driver. */
export const atOnce = (session: DroverSession | undefined): number => (session === undefined ? PARALLEL : 1);

function notCovered(keyspace: string): never {
  throw new DroverError(
    'Unavailable',
    `not all partitions of "${keyspace}" are known to this client: repeat the request in a moment`,
  );
}
