import { setTimeout as delay } from 'node:timers/promises';
import type { Document, MongoClient } from 'mongodb';
import { routerOfApp } from './catalog/routers.js';

/** A client of a node that is neither a router nor another part of Drover. */
export interface OutsideClient {
  /** What it calls itself (`appName` of its connection string); empty when it does not. */
  readonly appName: string;
  /** Its address, without the port. */
  readonly address: string;
  /** `name@database`; empty where the server asks for no user. */
  readonly user: string;
}

export interface OutsideWriter extends OutsideClient {
  /** What was seen, such as `insert`. */
  readonly writes: readonly string[];
}

export interface OutsideWrites {
  /** Who was seen writing. A write that takes a millisecond is seen only by chance. */
  readonly writers: readonly OutsideWriter[];
  /** How many writes of anybody the server counted, routers included: none is missed. */
  readonly counted: number;
  /** Other clients that are connected, and could write. */
  readonly connected: readonly OutsideClient[];
}

/** By its name at the servers every part of Drover but a router. */
export const DROVER_APP = 'drover';

const LOOK_MS = 5;
const WRITING_COMMANDS = ['insert', 'update', 'delete', 'findAndModify', 'findandmodify', 'bulkWrite'];

/**
 * Watches who writes to a collection past the routers.
 *
 * The server tells of what is under way at the moment of the look (`$currentOp`), with the client's own name for itself, its
 * address and its user; who writes once in a while may not be seen. How many writes there were it counts exactly, but not by whom.
 */
export async function watchWriters(
  client: MongoClient,
  namespace: string,
  forMs: number,
  signal?: AbortSignal,
): Promise<OutsideWrites> {
  const before = await writesOf(client, namespace);
  const writers = new Map<string, { readonly who: OutsideClient; readonly writes: Set<string> }>();
  const deadline = performance.now() + forMs;
  do {
    for (const operation of await operations(client, { active: true, ns: namespace })) {
      const write = writeOf(operation);
      if (write === undefined || !isOutside(operation)) continue;
      const who = clientOf(operation);
      const name = JSON.stringify(who);
      const seen = writers.get(name);
      if (seen === undefined) writers.set(name, { who, writes: new Set([write]) });
      else seen.writes.add(write);
    }
    await delay(LOOK_MS, undefined, { signal });
  } while (performance.now() < deadline);
  const connected = new Map(
    (await operations(client, { active: false }))
      .filter(isOutside)
      .map(clientOf)
      .map((who) => [JSON.stringify(who), who]),
  );
  for (const name of writers.keys()) connected.delete(name);
  return {
    writers: [...writers.values()].map(({ who, writes }) => ({ ...who, writes: [...writes].sort() })),
    counted: (await writesOf(client, namespace)) - before,
    connected: [...connected.values()],
  };
}

/** Such as `shop-web at 10.0.0.7 (user shop@admin)`. */
export const describeClient = ({ appName, address, user }: OutsideClient): string =>
  `${appName === '' ? 'a client without an appName' : appName} at ${address}${user === '' ? '' : ` (user ${user})`}`;

async function operations(client: MongoClient, match: Document): Promise<Document[]> {
  return client
    .db('admin')
    .aggregate(
      [
        { $currentOp: { allUsers: true, idleConnections: match['active'] === false } },
        { $match: { ...match, client: { $exists: true } } },
        { $project: { op: 1, command: 1, appName: 1, client: 1, effectiveUsers: 1 } },
      ],
      { readConcern: { level: 'local' } },
    )
    .toArray();
}

function writeOf({ op, command }: Document): string | undefined {
  if (op === 'insert' || op === 'update') return op;
  if (op === 'remove') return 'delete';
  const [name] = Object.keys((command ?? {}) as Document);
  return WRITING_COMMANDS.find((each) => each === name);
}

const isOutside = ({ appName = '' }: Document): boolean =>
  appName !== DROVER_APP && routerOfApp(appName as string) === undefined;

function clientOf({ appName = '', client, effectiveUsers }: Document): OutsideClient {
  const address = String(client);
  const [first] = (effectiveUsers ?? []) as { user: string; db: string }[];
  return {
    appName: appName as string,
    address: address.slice(0, address.lastIndexOf(':')),
    user: first === undefined ? '' : `${first.user}@${first.db}`,
  };
}

/** Since the server was started. */
async function writesOf(client: MongoClient, namespace: string): Promise<number> {
  const [database, ...rest] = namespace.split('.');
  const [stats] = await client
    .db(database)
    .collection(rest.join('.'))
    .aggregate([{ $collStats: { latencyStats: {} } }], { readConcern: { level: 'local' } })
    .toArray();
  return Number((stats?.['latencyStats'] as Document)['writes'].ops);
}
