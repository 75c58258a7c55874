import type { ClientSession, MongoClient } from 'mongodb';

/** The server forgets sessions that have not been used for half an hour. */
const IDLE_MS = 10 * 60_000;

interface Idle {
  readonly session: ClientSession;
  readonly since: number;
}

/** What the driver keeps in a session but does not declare: whether a request was cut off in it. */
interface Tainted {
  readonly serverSession: { readonly isDirty: boolean };
}

/** Those that order what is done in them (causally consistent) apart from the others. */
const POOLS = { ordered: new WeakMap<MongoClient, Idle[]>(), plain: new WeakMap<MongoClient, Idle[]>() };

const poolsOf = (isOrdered: boolean) => (isOrdered ? POOLS.ordered : POOLS.plain);

/**
 * A session for one request at a time. They are used again: to open and end one costs the driver a walk over all that it
 * has. The client ends them when it closes.
 */
export function borrowSession(client: MongoClient, causalConsistency = false): ClientSession {
  const pool = poolsOf(causalConsistency).get(client);
  for (let idle = pool?.pop(); idle !== undefined; idle = pool!.pop()) {
    if (performance.now() - idle.since < IDLE_MS) return idle.session;
    void idle.session.endSession();
  }
  return client.startSession({ causalConsistency });
}

export function returnSession(client: MongoClient, session: ClientSession): void {
  // As the driver does with its own: a request whose end nobody saw may still be under way in it.
  if (session.hasEnded || session.inTransaction() || (session as unknown as Tainted).serverSession.isDirty) {
    void session.endSession();
    return;
  }
  const pools = poolsOf(session.supports.causalConsistency);
  let pool = pools.get(client);
  if (pool === undefined) pools.set(client, (pool = []));
  const now = performance.now();
  pool.push({ session, since: now });
  // After a rush there are more than are needed: those that are not used lie at the bottom.
  if (now - pool[0]!.since > IDLE_MS) void pool.shift()!.session.endSession();
}

/** A request that is nobody's session's: one that the driver makes for it costs more. */
export async function inBorrowedSession<T>(
  client: MongoClient,
  request: (session: ClientSession) => Promise<T>,
): Promise<T> {
  const session = borrowSession(client);
  try {
    return await request(session);
  } finally {
    returnSession(client, session);
  }
}

/** How many are there to be used again. */
export const idleSessions = (client: MongoClient): number =>
  Object.values(POOLS).reduce((sum, pools) => sum + (pools.get(client)?.length ?? 0), 0);
