import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sides, transition } from '../../domain/handover.js';
import type { Direction, Partition } from '../../domain/partition.js';
import { acceptedTokens, writeOwner } from '../../domain/partition.js';
import type { BoundaryMarker, ReplicationScope } from '../../domain/replication.js';
import { handOver, initialScope, isApplied, receive, takeBack } from '../../domain/replication.js';
import type { Interval, Token } from '../../domain/token.js';
import { contains } from '../../domain/token.js';

const ALL: Interval = { low: 0n, high: 4n };
const TOKENS: readonly Token[] = [0n, 1n, 2n, 3n];
const opposite = (direction: Direction): Direction => (direction === 'forward' ? 'back' : 'forward');

describe('what a direction of replication applies', () => {
  it('at first: everything forward, nothing back', () => {
    const [forward, back] = [initialScope('forward', ALL), initialScope('back', ALL)];
    expect(TOKENS.map((token) => isApplied(forward, token, 1n))).toEqual([true, true, true, true]);
    expect(TOKENS.map((token) => isApplied(back, token, 1n))).toEqual([false, false, false, false]);
  });

  it('after a marker: nothing of the interval any more', () => {
    const scope = handOver(initialScope('forward', ALL), { epoch: 3, interval: { low: 0n, high: 2n } });
    expect(TOKENS.map((token) => isApplied(scope, token, 99n))).toEqual([false, false, true, true]);
  });

  it('of what it has received: only what happened later than the hand-over, by the clock of the new owner', () => {
    const scope = receive(initialScope('back', ALL), { epoch: 4, interval: { low: 0n, high: 2n }, since: 10n });
    expect([9n, 10n, 11n].map((time) => isApplied(scope, 0n, time))).toEqual([false, false, true]);
    expect(isApplied(scope, 2n, 11n)).toBe(false);
  });

  it('a marker that is read twice changes nothing the second time', () => {
    fc.assert(
      fc.property(fc.bigInt(0n, 3n), fc.bigInt(1n, 4n), fc.integer({ min: 1, max: 9 }), (low, high, epoch) => {
        fc.pre(low < high);
        const once = handOver(initialScope('forward', ALL), { epoch, interval: { low, high } });
        expect(handOver(once, { epoch, interval: { low, high } })).toBe(once);
      }),
    );
  });

  it('receiving twice is receiving once, and a late repetition does not bring back what was handed over since', () => {
    const step = { epoch: 4, interval: { low: 0n, high: 2n }, since: 10n };
    const received = receive(initialScope('back', ALL), step);
    expect(receive(received, step)).toBe(received);
    const handedOn = handOver(received, { epoch: 6, interval: { low: 0n, high: 2n } });
    expect(receive(handedOn, step)).toBe(handedOn);
  });

  it('an undone step is as if it had never been, times included', () => {
    const before = receive(handOver(initialScope('forward', ALL), { epoch: 3, interval: { low: 0n, high: 2n } }), {
      epoch: 8,
      interval: { low: 1n, high: 2n },
      since: 50n,
    });
    const marked = handOver(before, { epoch: 10, interval: { low: 1n, high: 4n } });
    const undone = takeBack(marked, { begun: 10, undone: 11 });
    expect(undone.owned).toEqual(before.owned);
    expect(undone.owned.find((owned) => contains(owned, 1n))?.since).toBe(50n);
  });

  it('the marker of an undone step is void when it comes late, also when the undo is repeated', () => {
    const marker: BoundaryMarker = { epoch: 10, interval: { low: 0n, high: 2n } };
    const undone = takeBack(initialScope('forward', ALL), { begun: 10, undone: 11 });
    expect(handOver(undone, marker)).toBe(undone);
    expect(takeBack(undone, { begun: 10, undone: 11 })).toBe(undone);
    const next = handOver(undone, { epoch: 13, interval: { low: 0n, high: 1n } });
    expect(takeBack(next, { begun: 10, undone: 11 })).toBe(next);
    expect(isApplied(next, 0n, 99n)).toBe(false);
  });

  /** Steps to boundaries, some undone, their markers read before or never; as long as the clocks of both sides go on. */
  const plan = fc.array(
    fc.record({
      boundary: fc.bigInt(0n, 4n),
      undone: fc.boolean(),
      markerRead: fc.boolean(),
      pause: fc.bigInt(0n, 3n),
    }),
    { maxLength: 12 },
  );

  it('a change is applied by the direction whose origin owned the token then, and by no other, in any history', () => {
    fc.assert(
      fc.property(plan, (steps) => {
        let scopes: Record<Direction, ReplicationScope> = {
          forward: initialScope('forward', ALL),
          back: initialScope('back', ALL),
        };
        let [boundary, epoch, now] = [0n, 1, 1n];
        for (const step of steps) {
          now += step.pause;
          if (step.boundary === boundary) continue;
          const direction: Direction = step.boundary > boundary ? 'forward' : 'back';
          const interval =
            direction === 'forward' ? { low: boundary, high: step.boundary } : { low: step.boundary, high: boundary };
          const begun = (epoch += 1);
          if (!step.undone || step.markerRead) {
            scopes = { ...scopes, [direction]: handOver(scopes[direction], { epoch: begun, interval }) };
          }
          epoch += 1;
          if (step.undone) {
            scopes = { ...scopes, [direction]: takeBack(scopes[direction], { begun, undone: epoch }) };
            epoch += 1;
          } else {
            const since = now++;
            const gaining = opposite(direction);
            scopes = { ...scopes, [gaining]: receive(scopes[gaining], { epoch, interval, since }) };
            boundary = step.boundary;
          }
          for (const token of TOKENS) {
            const applying = (['forward', 'back'] as const).filter((each) => isApplied(scopes[each], token, now));
            expect(applying).toEqual([token < boundary ? 'back' : 'forward']);
            // What is applied is of one piece: no token stands in a scope twice.
            for (const { owned } of Object.values(scopes)) {
              expect(owned.filter((each) => contains(each, token)).length).toBeLessThanOrEqual(1);
            }
          }
        }
      }),
      { numRuns: 500 },
    );
  });
});

/**
 * A small world: two nodes with their logs, two followers, one controller that performs the actions of
 * activities/boundary-step.ts in their order, and routers that write by the route.
 */
interface World {
  readonly partition: Partition;
  readonly nodes: Readonly<Record<'a' | 'b', Node>>;
  readonly followers: Readonly<Record<Direction, Follower>>;
  /** Where the controller stands; a crash brings it back to `takeOver`. */
  readonly at: Action;
  /** Boundaries still to be reached. */
  readonly goals: readonly Token[];
  /** Last acknowledged value of each token. */
  readonly acknowledged: readonly (number | null)[];
  /** Markers that a dead controller has sent, and that have not arrived yet. */
  readonly late: readonly Marker[];
  readonly left: Budget;
}
interface Budget {
  readonly writes: number;
  readonly crashes: number;
  readonly undos: number;
}
interface Node {
  readonly documents: readonly (number | null)[];
  /** The time of an entry is its position, counted from one. */
  readonly log: readonly Entry[];
  readonly accepts: readonly Interval[];
}
interface Follower {
  readonly scope: ReplicationScope;
  readonly position: number;
  readonly marker: string | null;
}
interface Marker extends BoundaryMarker {
  readonly id: string;
  readonly direction: Direction;
}
/** An update's event gives the document as it is when the event is read, an insert's or a replace's as it was. */
type Kind = 'put' | 'update' | 'delete';
type Entry =
  { readonly token: number; readonly kind: Kind; readonly value: number | null } | { readonly marker: Marker };
type Action =
  | 'takeOver' | 'begin' | 'close' | 'mark' | 'own' | 'receive' | 'open' | 'settle'
  | 'undo' | 'takeBack' | 'reopen' | 'done'; // prettier-ignore

const ORIGIN = { forward: 'a', back: 'b' } as const;
const KINDS: readonly Kind[] = ['put', 'update', 'delete'];

const beginning = (goals: readonly Token[], left: Budget): World => {
  const unclaimed: Partition = {
    id: 'shop.orders/p1',
    keyspace: 'shop.orders',
    name: 'p1',
    box: [ALL],
    collection: 'orders.p1',
    epoch: 1,
    route: { source: 'a', target: null, boundary: 0n, fence: null },
    attempt: 0,
    gates: [],
    handover: null,
    lastMovedAt: null,
  };
  const partition = transition(transition(unclaimed, { kind: 'claim', migration: 'm', target: 'b' }), {
    kind: 'publish',
  });
  const documents = [0, 0, 0, 0];
  const follower = (direction: Direction): Follower => ({
    scope: initialScope(direction, ALL),
    position: 0,
    marker: null,
  });
  return {
    partition,
    nodes: { a: { documents, log: [], accepts: [ALL] }, b: { documents, log: [], accepts: [] } },
    followers: { forward: follower('forward'), back: follower('back') },
    at: 'begin',
    goals,
    acknowledged: documents,
    late: [],
    left,
  };
};

const withNode = (world: World, name: 'a' | 'b', change: Partial<Node>): World => ({
  ...world,
  nodes: { ...world.nodes, [name]: { ...world.nodes[name], ...change } },
});
const withFollower = (world: World, direction: Direction, change: Partial<Follower>): World => ({
  ...world,
  followers: { ...world.followers, [direction]: { ...world.followers[direction], ...change } },
});
const set = <T>(list: readonly T[], index: number, value: T): T[] =>
  list.map((each, i) => (i === index ? value : each));

function store(world: World, name: 'a' | 'b', token: number, kind: Kind, value: number | null): World {
  const { documents, log } = world.nodes[name];
  return withNode(world, name, {
    documents: set(documents, token, value),
    log: [...log, { token, kind, value }],
  });
}

const accepts = (node: Node, token: number) => node.accepts.some((interval) => contains(interval, BigInt(token)));

/**
 * A router's write: by the route, which it knows, as it has acknowledged it. The node refuses what it does not accept, but
 * no delete, as validators don't see deletes.
 */
function write(world: World, token: number, kind: Kind): World | undefined {
  const owner = writeOwner(world.partition, BigInt(token)) as 'a' | 'b' | null;
  if (owner === null || world.left.writes === 0) return undefined;
  if (kind !== 'delete' && !accepts(world.nodes[owner], token)) return undefined;
  // An update or delete of nothing changes nothing, and is in no log.
  if (kind !== 'put' && world.nodes[owner].documents[token] === null) return undefined;
  const value = kind === 'delete' ? null : world.left.writes;
  const after = store(world, owner, token, kind, value);
  return {
    ...after,
    acknowledged: set(world.acknowledged, token, value),
    left: { ...world.left, writes: world.left.writes - 1 },
  };
}

/** A follower reads one entry of its origin's log and applies it, in one transaction with its position. */
function follow(world: World, direction: Direction): World | undefined {
  const follower = world.followers[direction];
  const origin = world.nodes[ORIGIN[direction]];
  const destination = ORIGIN[opposite(direction)];
  const entry = origin.log[follower.position];
  if (entry === undefined) return undefined;
  const time = BigInt(follower.position + 1);
  const moved = withFollower(world, direction, { position: follower.position + 1 });
  if ('marker' in entry) {
    if (entry.marker.direction !== direction) return moved;
    return withFollower(moved, direction, { marker: entry.marker.id, scope: handOver(follower.scope, entry.marker) });
  }
  if (!isApplied(follower.scope, BigInt(entry.token), time)) return moved;
  if (entry.kind === 'delete') {
    // A delete names no key: it is found in the copy, and where there is none, there is nothing to delete.
    return world.nodes[destination].documents[entry.token] === null
      ? moved
      : store(moved, destination, entry.token, 'delete', null);
  }
  const value = entry.kind === 'update' ? origin.documents[entry.token]! : entry.value;
  // Deleted later: its delete event follows.
  if (value === null) return moved;
  return store(moved, destination, entry.token, 'put', value);
}

/** The next action of the controller; undefined while it waits for its marker. */
function control(world: World): World | undefined {
  const { partition, goals, at } = world;
  const to = (next: Action, change: Partial<World> = {}): World => ({ ...world, ...change, at: next });
  const advance = (next: Action, event: Parameters<typeof transition>[1]) =>
    to(next, { partition: transition(partition, event) });
  const state = partition.handover!.state;
  const accepting = (name: string) => acceptedTokens(partition, name);
  switch (at) {
    case 'takeOver': {
      const next = { fencing: 'undo', undoing: 'takeBack', owned: 'receive', idle: 'begin', retiring: 'done' } as const;
      return advance(next[state.kind], { kind: 'takeOver' });
    }
    case 'begin':
      if (goals.length === 0) return to('done');
      if (goals[0] === partition.route.boundary) return to('begin', { goals: goals.slice(1) });
      return advance('close', { kind: 'begin', boundary: goals[0]! });
    case 'undo':
      return advance('takeBack', { kind: 'undo' });
    case 'settle':
      return advance('begin', { kind: 'settle' });
    case 'done':
      return undefined;
    default:
  }
  if (state.kind !== 'fencing' && state.kind !== 'owned' && state.kind !== 'undoing') throw new Error('no step');
  const { direction, interval } = state;
  const { losing, gaining } = sides(partition, direction) as { losing: 'a' | 'b'; gaining: 'a' | 'b' };
  switch (at) {
    case 'close':
      return { ...withNode(world, losing, { accepts: accepting(losing) }), at: 'mark' };
    case 'mark':
      return { ...deliver(world, markerOf(partition, direction, interval)), at: 'own' };
    case 'own': {
      if (world.followers[direction].marker !== markerOf(partition, direction, interval).id) return undefined;
      return advance('receive', { kind: 'own', since: BigInt(world.nodes[gaining].log.length) });
    }
    case 'receive': {
      const back = opposite(direction);
      if (state.kind !== 'owned') throw new Error('not owned');
      const scope = receive(world.followers[back].scope, { epoch: partition.epoch, interval, since: state.since });
      return { ...withFollower(world, back, { scope }), at: 'open' };
    }
    case 'open':
      return { ...withNode(world, gaining, { accepts: accepting(gaining) }), at: 'settle' };
    case 'takeBack': {
      const { epoch } = partition;
      const scope = takeBack(world.followers[direction].scope, { begun: epoch - 1, undone: epoch });
      return { ...withFollower(world, direction, { scope }), at: 'reopen' };
    }
    case 'reopen':
      return { ...withNode(world, losing, { accepts: accepting(losing) }), at: 'settle' };
  }
}

const markerOf = ({ epoch }: Partition, direction: Direction, interval: Interval): Marker => ({
  id: `${direction}/${epoch}`,
  direction,
  epoch,
  interval,
});

function deliver(world: World, marker: Marker): World {
  const name = ORIGIN[marker.direction];
  return withNode(world, name, { log: [...world.nodes[name].log, { marker }] });
}

function* successors(world: World, tokens: readonly number[], kinds: readonly Kind[]): Generator<World | undefined> {
  yield control(world);
  yield follow(world, 'forward');
  yield follow(world, 'back');
  for (const token of tokens) for (const kind of kinds) yield write(world, token, kind);
  const { left, at, late } = world;
  if (left.undos > 0 && (at === 'close' || at === 'mark' || at === 'own')) {
    yield { ...world, at: 'undo', left: { ...left, undos: left.undos - 1 } };
  }
  if (left.crashes > 0 && at !== 'done' && at !== 'takeOver') {
    const crashed: World = { ...world, at: 'takeOver', left: { ...left, crashes: left.crashes - 1 } };
    yield crashed;
    const state = world.partition.handover!.state;
    // Dead, with its marker on the way.
    if (at === 'mark' && state.kind === 'fencing') {
      yield { ...crashed, late: [...late, markerOf(world.partition, state.direction, state.interval)] };
    }
  }
  for (const marker of late) yield deliver({ ...world, late: late.filter((each) => each !== marker) }, marker);
}

/** What has to hold in every state. */
function problem(world: World): string | undefined {
  for (const token of [0, 1, 2, 3]) {
    const accepting = (['a', 'b'] as const).filter((name) => accepts(world.nodes[name], token));
    if (accepting.length > 1) return `token ${token} is accepted by both nodes`;
    const owner = writeOwner(world.partition, BigInt(token)) as 'a' | 'b' | null;
    for (const name of new Set([...accepting, ...(owner === null ? [] : [owner])])) {
      if (world.nodes[name].documents[token] !== world.acknowledged[token]) {
        return `node ${name} takes the writes of token ${token} and does not have its last acknowledged write`;
      }
    }
  }
  return undefined;
}

/** With the controller at its goal: everything that is still on its way arrives, and nothing new happens. */
function atRest(world: World): World {
  let now = world.late.reduce<World>((state, marker) => deliver(state, marker), { ...world, late: [] });
  for (;;) {
    const next = follow(now, 'forward') ?? follow(now, 'back');
    if (next === undefined) return now;
    now = next;
  }
}

function lost(world: World): string | undefined {
  const { nodes, acknowledged } = atRest(world);
  const [a, b, wanted] = [nodes.a.documents, nodes.b.documents, acknowledged].map((each) => JSON.stringify(each));
  if (a !== wanted || b !== wanted) return `at rest: a has ${a}, b has ${b}, acknowledged was ${wanted}`;
  const goal = world.partition.route.boundary;
  for (const token of TOKENS) {
    if (!accepts(nodes[token < goal ? 'b' : 'a'], Number(token))) return `nobody accepts token ${token} at the end`;
  }
  return undefined;
}

const key = (world: World): string =>
  JSON.stringify(world, (name, value: unknown) =>
    name === 'box' || name === 'keyspace' ? undefined : typeof value === 'bigint' ? Number(value) : value,
  );

/** Every state that can be reached; the actions are small enough that each interleaving of them is one path. */
function explore(
  start: World,
  tokens: readonly number[],
  kinds: readonly Kind[],
): { readonly states: number; readonly ends: number } {
  const seen = new Set<string>([key(start)]);
  const open = [start];
  let ends = 0;
  for (let world = open.pop(); world !== undefined; world = open.pop()) {
    const wrong = problem(world) ?? (world.at === 'done' ? (ends++, lost(world)) : undefined);
    if (wrong !== undefined) throw new Error(`${wrong}\n${key(world)}`);
    for (const next of successors(world, tokens, kinds)) {
      if (next === undefined) continue;
      const id = key(next);
      if (seen.has(id)) continue;
      seen.add(id);
      open.push(next);
    }
  }
  return { states: seen.size, ends };
}

describe('two nodes, two followers and a controller, in every order in which their actions can happen', () => {
  const plans: readonly (readonly Token[])[] = [
    [2n, 4n],
    [2n, 0n],
    [4n, 2n],
  ];
  const budgets: readonly (readonly [what: string, left: Budget, tokens: readonly number[], kinds: readonly Kind[]])[] =
    [
      ['two writes', { writes: 2, crashes: 0, undos: 0 }, [1, 2], ['put', 'update']],
      ['a write and a delete', { writes: 2, crashes: 0, undos: 0 }, [1], ['put', 'delete']],
      ['a write, an undo at any point', { writes: 1, crashes: 0, undos: 1 }, [1, 2], KINDS],
      ['a write, a crash at any point, its marker late', { writes: 1, crashes: 1, undos: 0 }, [1, 2], KINDS],
    ];
  const cases = plans.flatMap((goals) =>
    budgets.map(([what, ...rest]) => [goals.join(' then '), what, goals, ...rest] as const),
  );

  it.each(cases)('to %s with %s: no write is lost, both copies agree', (_path, _what, goals, left, tokens, kinds) => {
    const { states, ends } = explore(beginning(goals, left), tokens, kinds);
    expect(states).toBeGreaterThan(200);
    expect(ends).toBeGreaterThan(10);
  });

  it('random walks further out: more steps, writes, crashes and undos at a time', () => {
    const walk = fc.record({
      goals: fc.array(fc.bigInt(0n, 4n), { minLength: 1, maxLength: 5 }),
      dice: fc.array(fc.nat(1_000), { minLength: 150, maxLength: 250 }),
    });
    fc.assert(
      fc.property(walk, ({ goals, dice }) => {
        let world = beginning(goals, { writes: 12, crashes: 3, undos: 3 });
        for (const cast of dice) {
          const options = [...successors(world, [0, 1, 2, 3], KINDS)].filter((next) => next !== undefined);
          if (options.length === 0) break;
          world = options[cast % options.length]!;
          expect(problem(world)).toBeUndefined();
        }
        // Whatever is left to do is done, without further trouble.
        for (;;) {
          const next = control(world) ?? follow(world, 'forward') ?? follow(world, 'back');
          if (next === undefined) break;
          world = next;
          expect(problem(world)).toBeUndefined();
        }
        expect(world.at).toBe('done');
        expect(lost(world)).toBeUndefined();
      }),
      { numRuns: 200 },
    );
  });

  it('finds the fault when the fence stays open: the model can fail', () => {
    const careless = (world: World): World =>
      world.at === 'close' ? { ...world, at: 'mark' } : (control(world) ?? follow(world, 'forward') ?? world);
    let world = beginning([2n], { writes: 1, crashes: 0, undos: 0 });
    for (let i = 0; i < 20; i++) world = careless(world);
    expect(problem(world)).toBe('token 0 is accepted by both nodes');
  });
});
