import type { Direction, Partition } from '../../../domain/partition.js';
import { transition } from '../../../domain/handover.js';
import type { BoundaryMarker, ReplicationScope } from '../../../domain/replication.js';
import { initialScope } from '../../../domain/replication.js';
import type { Effect } from '../../../domain/step.js';
import type { Place } from './program.js';

/**
 * A world as small as it can be while it still goes wrong as the real one does: a catalog, two servers with their change
 * logs, two directions of replication, routers, and movers of which any number may believe to be the only one.
 *
 * A state is a value; an action gives another value. What happens in one action can't be interrupted.
 */
export interface World {
  /** The catalog. */
  readonly entries: readonly Partition[];
  /** The routes of the first partition, oldest first, from the oldest one that a router may still go by. */
  readonly routes: readonly Partition[];
  readonly servers: Readonly<Record<Site, Server>>;
  /** `null` after the end of the migration. */
  readonly checkpoints: Readonly<Record<Direction, Checkpoint | null>>;
  readonly runners: readonly Runner[];
  /** What was given up, and is done by the server later, at any time. */
  readonly late: readonly Late[];
  readonly routers: readonly Router[];
  /** What is there by token: what every write has to find at the server that executes it. */
  readonly truth: readonly Version[];
  /** How often each token was written. */
  readonly written: readonly number[];
  readonly left: Budget;
}

export type Site = 'A' | 'B';
export const SITES: readonly Site[] = ['A', 'B'];
export const ORIGIN = { forward: 'A', back: 'B' } as const;
export const DESTINATION = { forward: 'B', back: 'A' } as const;

/** How many times a document was written; `null` when there is none. */
export type Version = number | null;

export interface Server {
  /** The validator: the tokens that it lets pass. */
  readonly accepts: readonly number[];
  readonly gates: readonly Gate[];
  readonly documents: readonly Version[];
  /** How many changes there were: the logical clock. */
  readonly time: number;
  /** The last changes, those that the follower has not read yet. */
  readonly log: readonly Change[];
  /** Attempts whose closed empty collection stands ready to take the place of the copy. */
  readonly replacements: readonly number[];
  /** The newest attempt by partition that has shut out those before it here: what they do later is a violation. */
  readonly shutOut: Readonly<Record<string, number>>;
}

/** `<partition>/<attempt that made it>/<number>` */
export type Gate = string;

/** An update's event gives the document as it is when the event is read; a delete's names no key. */
export type Change =
  | { readonly kind: 'put' | 'update' | 'delete'; readonly token: number; readonly version: Version }
  | { readonly kind: 'marker'; readonly direction: Direction; readonly marker: BoundaryMarker };

export interface Checkpoint {
  readonly attempt: number;
  readonly scope: ReplicationScope;
  /** Epoch of the last marker that was read. */
  readonly marker: number;
}

/** Works through the goals of one partition; every attempt but the last is a zombie. */
export interface Runner {
  readonly partition: string;
  readonly goal: number;
  readonly attempts: readonly Attempt[];
  /** Whether the last attempt has failed, and none has begun since. */
  readonly failed: boolean;
}
export interface Attempt {
  readonly at: Place;
  /** Partitions in the same collection, as they were when the attempt began, or looked again. */
  readonly sharing: readonly Partition[];
  /** The first half of an effect that takes two: the marker is sent, the validator computed. */
  readonly sent: boolean;
}

export type Late =
  | { readonly kind: 'effect'; readonly effect: Effect; readonly sharing: readonly Partition[] }
  /** A follower that was taken over, with a change that it has read. */
  | {
      readonly kind: 'follower';
      readonly direction: Direction;
      readonly attempt: number;
      readonly token: number;
      readonly time: number;
      readonly version: Version;
    }
  /** A write whose router has given it up here, and gone elsewhere. */
  | { readonly kind: 'write'; readonly op: Operation };

export interface Router {
  /** Epoch of the route it goes by. It hears of newer ones as late as it likes. */
  readonly epoch: number;
  /** Whether movers wait for it. */
  readonly registered: boolean;
  /** Whether it may rely on its routes; told from `registered`, as the mover learns later that it has run out. */
  readonly lease: boolean;
  readonly op: Operation | null;
}

/** `put` writes whether or not the document is there, `update` and `delete` only where it is. */
export type Kind = 'put' | 'update' | 'delete';
export interface Operation {
  readonly kind: Kind;
  readonly token: number;
  readonly site: Site;
  /** Of the route it was sent by. */
  readonly epoch: number;
  /** `unknown`: no answer; `nothing`: the answer is on its way that nothing matched; `held`: to be sent (again). */
  readonly phase: 'sent' | 'unknown' | 'nothing' | 'held';
  /** Of an unknown one: whether the server has done it, and whether its first message may still arrive. */
  readonly executed: boolean;
  readonly underWay: boolean;
  /** Whether there was no document at some moment since the call. */
  readonly absent: boolean;
}

/** How often what can go wrong does: this makes the world finite. */
export interface Budget {
  readonly operations: number;
  /** Attempts after the first, after a failure or instead of a living one. */
  readonly attempts: number;
  /** How many of those that are replaced live on. */
  readonly zombies: number;
  /** Effects without an answer: not done, or done later. */
  readonly faults: number;
  /** Fences that a transaction keeps from being changed. */
  readonly busy: number;
  /** Followers that are replaced and live on. */
  readonly followers: number;
  /** Writes without an answer. */
  readonly unknown: number;
  /** Leases that run out, and registrations after it. */
  readonly leases: number;
}
export const NOTHING_GOES_WRONG: Budget = {
  operations: 0,
  attempts: 0,
  zombies: 0,
  faults: 0,
  busy: 0,
  followers: 0,
  unknown: 0,
  leases: 0,
};

export const LIVE: Router = { epoch: 0, registered: true, lease: true, op: null };
/** Expelled, and not aware of it. */
export const STALE: Router = { epoch: 0, registered: false, lease: false, op: null };

/** What is particular about a beginning. */
export interface Beginning {
  readonly tokens: number;
  /** By partition; without it, one partition that is published and copied. */
  readonly partitions?: readonly Partition[];
  /** Partition of each mover; if nothing is said, each partition has one. */
  readonly movers?: readonly string[];
  readonly routers?: readonly Router[];
  /** Gates that stand ready, so that nobody has to make new ones. */
  readonly gates?: number;
  /** Somebody has made the source's collection anew: none of them is there. */
  readonly lost?: boolean;
  readonly documents?: Version;
  readonly left: Partial<Budget>;
}

export function beginning({
  tokens,
  partitions,
  movers,
  routers = [],
  gates = 0,
  lost = false,
  documents = 0,
  left,
}: Beginning): World {
  const made = Array.from({ length: gates }, (_, i): Gate => `p/0/${i}`);
  const entries = partitions ?? [{ ...published(unclaimed('p', 0, tokens)), gates: made }];
  const all = Array.from({ length: tokens }, (_, token) => token);
  const server = (site: Site): Server => ({
    accepts: site === 'A' ? all : [],
    gates: site === 'A' && lost ? [] : made,
    documents: all.map(() => documents),
    time: 0,
    log: [],
    replacements: [],
    shutOut: {},
  });
  const first = entries[0]!;
  const checkpoint = (direction: Direction): Checkpoint => ({
    attempt: 1,
    scope: initialScope(direction, first.box[0]),
    marker: 0,
  });
  return {
    entries,
    routes: [routeOnly(first)],
    servers: { A: server('A'), B: server('B') },
    checkpoints: { forward: checkpoint('forward'), back: checkpoint('back') },
    runners: (movers ?? entries.map(({ id }) => id)).map((partition) => ({
      partition,
      goal: -1,
      attempts: [],
      failed: false,
    })),
    late: [],
    routers: routers.map((router) => ({ ...router, epoch: first.epoch })),
    truth: all.map(() => documents),
    written: all.map(() => 0),
    left: { ...NOTHING_GOES_WRONG, ...left },
  };
}

export const unclaimed = (name: string, low: number, high: number): Partition => ({
  id: name,
  keyspace: 'shop.orders',
  name,
  box: [{ low: BigInt(low), high: BigInt(high) }],
  collection: 'orders',
  epoch: 1,
  attempt: 0,
  gates: [],
  route: { source: 'A', target: null, boundary: BigInt(low), fence: null },
  handover: null,
  lastMovedAt: null,
});

export const published = (partition: Partition): Partition =>
  transition(transition(partition, { kind: 'claim', migration: `m-${partition.name}`, target: 'B' }), {
    kind: 'publish',
  });

/** What a router knows of a partition. */
export const routeOnly = (partition: Partition): Partition => ({ ...partition, attempt: 0, gates: [], handover: null });

export const entryOf = (world: World, id: string): Partition => world.entries.find((entry) => entry.id === id)!;

export const replaced = <T>(list: readonly T[], index: number, value: T): readonly T[] =>
  list.map((each, i) => (i === index ? value : each));

export const without = <T>(list: readonly T[], index: number): readonly T[] => list.filter((_, i) => i !== index);

export const withServer = (world: World, site: Site, change: Partial<Server>): World => ({
  ...world,
  servers: { ...world.servers, [site]: { ...world.servers[site], ...change } },
});

export const withCheckpoint = (world: World, direction: Direction, change: Partial<Checkpoint>): World => ({
  ...world,
  checkpoints: { ...world.checkpoints, [direction]: { ...world.checkpoints[direction]!, ...change } },
});

/** One of what is allowed to go wrong goes wrong. */
export const spend = (world: World, what: keyof Budget): World => ({
  ...world,
  left: { ...world.left, [what]: world.left[what] - 1 },
});

/** A change at a server, by a write or by replication. */
export function store(world: World, site: Site, token: number, kind: Kind, version: Version): World {
  const { documents, log, time } = world.servers[site];
  return withServer(world, site, {
    documents: replaced(documents, token, version),
    time: time + 1,
    log: [...log, { kind, token, version }],
  });
}
