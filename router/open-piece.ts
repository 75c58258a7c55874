import type { MongoClient } from 'mongodb';
import type { KeyspaceHandle } from './keyspaces.js';
import type { Copy, Nearest } from './nearest.js';
import { sessionAtCopy } from './nearest.js';
import type { LongRead } from './open-reads.js';
import { ownHandle } from './own-read-concern.js';
import type { OpenPiece, Piece } from './pieces.js';
import type { Reading } from './reading.js';
import { isOfPrimary } from './reading.js';
import type { DroverSession } from './session.js';

interface Opening {
  readonly keyspace: KeyspaceHandle;
  readonly piece: Piece;
  /** When it was looked up who owns what, by `performance.now()`. */
  readonly chosenAt: number;
  /** The piece is counted among those that are read. */
  readonly end: OpenPiece['end'];
  readonly client: MongoClient;
  /** What of the piece belongs to others, and is read here all the same. */
  readonly copies: readonly Copy[];
  readonly nearest: Nearest;
  readonly session: DroverSession | undefined;
  readonly long: LongRead | undefined;
  readonly reading: Reading | undefined;
}

/** A piece with the session in which it is read. */
export async function openPiece(opening: Opening): Promise<Omit<OpenPiece, 'delivered'>> {
  const { keyspace, piece, chosenAt, client, copies, session, long, reading } = opening;
  const { node, routes } = piece;
  const { database } = keyspace;
  const collection = routes[0]!.collection(database, node, client);
  const ofPrimary = session !== undefined && isOfPrimary(collection, reading);
  const answered = await session?.comeAlong(routes, client, { database, ofPrimary });
  if (session !== undefined) long?.afterEach(() => session.readAt(node, routes, chosenAt));
  if (reading?.nearest) for (const route of routes) session?.servedBy(route, node);
  if (copies.length > 0) return { ...piece, ...openCopies(opening), collection: ownHandle(client, collection) };
  if (session === undefined) return { ...piece, collection, session, isSure: always, end: opening.end };
  const own = ownHandle(client, collection, session.snapshotEnabled);
  const end = (failed = false) => {
    if (!failed) answered?.();
    session.readAt(node, routes, chosenAt);
    opening.end(failed);
  };
  return { ...piece, collection: own, session: session.at(client, routes), isSure: always, end };
}

function openCopies({ piece, end, client, copies, nearest, session: ours, long }: Opening) {
  const visibleAt = copies.map((copy) => copy.visibleAt).reduce((a, b) => (a.greaterThan(b) ? a : b));
  const { session, end: giveBack } = sessionAtCopy({ client, visibleAt }, piece.routes, ours);
  const seen = () => copies.forEach(({ owner }) => ours?.readCopyOf(owner));
  long?.afterEach(() => {
    seen();
    nearest.confirm(copies);
  });
  let isUsed = true;
  return {
    session,
    isSure: () => copies.every((copy) => copy.isSure()),
    end: (failed = false) => {
      if (isUsed) {
        seen();
        giveBack();
      }
      isUsed = false;
      end(failed);
    },
  };
}

const always = (): boolean => true;
