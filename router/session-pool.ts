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

const pools = new WeakMap<MongoClient, Idle[]>();

/**
 * A session for one request at a time. They are used again: to open and end one costs the driver a walk over all that it
 * has. The client ends them when it closes.
 */
export function borrowSession(client: MongoClient): ClientSession {
  const pool = pools.get(client);
  for (let idle = pool?.pop(); idle !== undefined; idle = pool!.pop()) {
    if (performance.now() - idle.since < IDLE_MS) return idle.session;
    void idle.session.endSession();
  }
  return client.startSession({ causalConsistency: false });
}

export async function returnSession(client: MongoClient, session: ClientSession): Promise<void> {
  // As the driver does with its own: a request whose end nobody saw may still be under way in it.
  if (session.hasEnded || session.inTransaction() || (session as unknown as Tainted).serverSession.isDirty) {
    await session.endSession();
    return;
  }
  let pool = pools.get(client);
  if (pool === undefined) pools.set(client, (pool = []));
  pool.push({ session, since: performance.now() });
}

/** How many are there to be used again. */
export const idleSessions = (client: MongoClient): number => pools.get(client)?.length ?? 0;
