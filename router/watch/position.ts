import type { Timestamp } from 'mongodb';
import { Binary, BSON, MongoServerError } from 'mongodb';
import { UNPROMOTED } from '../../store/raw-bson.js';

/** How far the change log of a node has been read. */
export interface NodePosition {
  /** The node's own token of the last event; a time where there is none yet: from then on, that moment included. */
  readonly behind: string | Timestamp;
  /** Of the transaction that comes next so many events have been shown. */
  readonly shown: number;
}

/** How far a change stream has got, at all nodes. */
export interface Position {
  readonly nodes: ReadonlyMap<string, NodePosition>;
  /** Markers of hand-overs whose arrival at the other node has not been read yet. */
  readonly sent: ReadonlySet<string>;
  /** Nodes that are not named here have had nothing until then. */
  readonly since: Date;
}

/** The resume token of a change stream over several nodes. */
export interface WatchToken {
  readonly _data: string;
}

interface Stored {
  readonly keyspace: string;
  readonly nodes: readonly { readonly node: string; readonly behind: Binary | Timestamp; readonly shown?: number }[];
  readonly sent?: readonly string[];
  readonly since: Date;
}

export function tokenOf(keyspace: string, { nodes, sent, since }: Position): WatchToken {
  const stored: Stored = {
    keyspace,
    nodes: [...nodes].map(([node, { behind, shown }]) => ({
      node,
      // Half as long: the server writes its tokens in hexadecimal digits.
      behind: typeof behind === 'string' ? new Binary(Buffer.from(behind, 'hex')) : behind,
      ...(shown === 0 ? {} : { shown }),
    })),
    ...(sent.size === 0 ? {} : { sent: [...sent] }),
    since,
  };
  return { _data: Buffer.from(BSON.serialize(stored)).toString('base64url') };
}

/** @throws MongoServerError as a server does, when it is no token of this keyspace's change streams */
export function positionOf(keyspace: string, token: unknown): Position {
  const data: unknown = (token as Partial<WatchToken> | null)?._data;
  if (typeof data !== 'string') {
    throw new MongoServerError({
      code: 40647,
      codeName: 'Location40647',
      message: `Bad resume token: _data of missing or of wrong type. Expected string, got ${BSON.EJSON.stringify(token)}`,
    });
  }
  const stored = storedIn(data);
  if (stored?.keyspace !== keyspace) {
    throw new MongoServerError({
      code: 260,
      codeName: 'InvalidResumeToken',
      message: `the resume token is not one of a change stream of "${keyspace}": begin without one`,
    });
  }
  return {
    nodes: new Map(
      stored.nodes.map(({ node, behind, shown = 0 }) => [node, { behind: read(behind), shown: Number(shown) }]),
    ),
    sent: new Set(stored.sent),
    since: stored.since,
  };
}

const read = (behind: Binary | Timestamp): string | Timestamp =>
  behind instanceof Binary ? Buffer.from(behind.value()).toString('hex').toUpperCase() : behind;

function storedIn(data: string): Stored | undefined {
  try {
    const stored = BSON.deserialize(Buffer.from(data, 'base64url'), UNPROMOTED) as Partial<Stored>;
    const { keyspace, nodes, since } = stored;
    return typeof keyspace === 'string' && Array.isArray(nodes) && since instanceof Date
      ? (stored as Stored)
      : undefined;
  } catch {
    // A server's own token, or no token at all.
    return undefined;
  }
}

/** A server's token begins with the time of its event, after a type byte: two tokens of one time are equal here. */
export const timeOf = (token: string): string => token.slice(2, 18);
