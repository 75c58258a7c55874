import type { AbstractCursor, MongoClient } from 'mongodb';
import pMap from 'p-map';
import { DroverError } from '../domain/errors.js';
import { tokensOf } from '../domain/partition.js';
import { contains, TOKEN_END, TOKEN_MIN } from '../domain/token.js';
import type { NodePool } from '../store/node-pool.js';
import type { AccessRecorder } from './access-recorder.js';
import type { KeyspaceHandle, Keyspaces } from './keyspaces.js';
import type { OpenPiece, Piece, Unit } from './pieces.js';
import { piecesOf, unitsOf } from './pieces.js';
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
  ) {}

  /** For what any node can tell. */
  anyClient(): MongoClient {
    return this.nodes.any();
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

  /** Opens the pieces of a unit by the routes of this moment: to be ended, each. */
  async open(keyspace: KeyspaceHandle, unit: Unit, session?: DroverSession): Promise<OpenPiece[]> {
    const pieces = piecesOf(unit, keyspace.field);
    const inTransaction = session?.inTransaction() === true;
    if (inTransaction) this.join(session, unit, pieces);
    // Before anything else happens: what is being read from is not removed.
    const opening = pieces.map((piece) => ({ piece, ...this.begin(keyspace, piece) }));
    try {
      const clients = await Promise.all(pieces.map(({ node }) => this.nodes.get(node)));
      return opening.map(({ piece, end, endWith }, i): OpenPiece => {
        const client = clients[i]!;
        const collection = piece.routes[0]!.collection(keyspace.database, piece.node, client);
        return { ...piece, collection, session: session?.at(client), end, endWith };
      });
    } catch (error) {
      for (const { end } of opening) end(true);
      throw error;
    }
  }

  /** Asks every piece that a request concerns once. */
  async ask<T>(
    keyspace: KeyspaceHandle,
    units: readonly Unit[],
    session: DroverSession | undefined,
    request: (piece: OpenPiece) => Promise<T>,
  ): Promise<T[]> {
    const askUnit = async (unit: Unit): Promise<T[]> => {
      const pieces = await this.open(keyspace, unit, session);
      try {
        return await pMap(pieces, (piece) => this.ended(piece, request), { concurrency: atOnce(session) });
      } finally {
        for (const { end } of pieces) end(true);
      }
    };
    const answers = await pMap(units, askUnit, { concurrency: atOnce(session) });
    return answers.flat();
  }

  /** Keys that are asked for stay where they are until the transaction ends; what is found besides is of one moment anyway. */
  private join(session: DroverSession, { routes, wanted }: Unit, pieces: readonly Piece[]): void {
    for (const { node } of pieces) session.join(node);
    if (wanted === 'all') return;
    for (const route of routes) {
      for (const token of wanted) if (contains(tokensOf(route.partition), token)) session.hold(route, token);
    }
  }

  private async ended<T>(piece: OpenPiece, request: (piece: OpenPiece) => Promise<T>): Promise<T> {
    let failed = true;
    try {
      const answer = await request(piece);
      failed = false;
      return answer;
    } finally {
      piece.end(failed);
    }
  }

  private begin(keyspace: KeyspaceHandle, { node, routes }: Piece): Pick<OpenPiece, 'end' | 'endWith'> {
    const startedAt = performance.now();
    const reads = routes.map((route) => ({ route, read: route.reads.begin(node) }));
    let counted = false;
    const end = (failed = false) => {
      for (const { route, read } of reads) {
        route.reads.end(read);
        if (!counted) this.count(keyspace, route, node, startedAt, failed);
      }
      counted = true;
    };
    const endWith = (cursor: AbstractCursor) => {
      for (const { route } of reads) route.reads.cursor(node, cursor);
      end();
    };
    return { end, endWith };
  }

  private count(keyspace: KeyspaceHandle, route: PartitionRoute, node: string, startedAt: number, failed: boolean) {
    const ms = performance.now() - startedAt;
    this.recorder.count(keyspace.name, route.partition.name, node, undefined, 'reads', ms, failed);
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
