import type { Partition } from '../../../domain/partition.js';
import { readOwner, writeOwner } from '../../../domain/partition.js';
import { contains } from '../../../domain/token.js';
import type { Element } from './elements.js';
import type { Action } from './explorer.js';
import { Violation } from './explorer.js';
import type { Kind, Operation, Router, Site, World } from './world.js';
import { replaced, spend, store } from './world.js';

/**
 * Routers send writes by the route that they know, and hear of newer routes as late as they like.
 *
 * Hearing is not an action of its own: it changes nothing but what the router does next. So a router hears of a route when
 * it begins a write by it, or acknowledges it, and every order of events that matters is still there. For the same reason
 * an answer arrives when it is given, except where a lease may run out in between; and a router for which nobody waits
 * sends a write when it arrives.
 */
export function* routerActions(
  world: World,
  kinds: readonly Kind[],
  tokens: readonly number[],
  leftOut: Element | undefined,
): Generator<Action> {
  for (const [index, router] of world.routers.entries()) {
    const { op } = router;
    const who = `router ${index}`;
    if (op === null) {
      if (world.left.operations > 0) {
        for (const kind of kinds) {
          for (const token of tokens) {
            const absent = world.truth[token] === null;
            const called: Operation = {
              kind, token, site: 'A', epoch: 0, phase: 'held', executed: false, underWay: false, absent,
            }; // prettier-ignore
            yield* send(spend(world, 'operations'), index, router, called, leftOut);
          }
        }
      }
    } else if (op.phase === 'held') yield* send(world, index, router, op, leftOut);
    else if (op.phase === 'sent') {
      yield [`${who}: ${op.kind} of ${op.token} arrives at ${op.site}`, () => arriveAt(world, index, op, leftOut)];
      if (world.left.unknown > 0) yield* unanswered(spend(world, 'unknown'), index, op, leftOut);
    } else if (op.phase === 'nothing') {
      yield [`${who}: hears that nothing matched`, () => answered(world, index, op, leftOut)];
    } else yield* resolve(world, index, op, leftOut);
    if (world.left.leases > 0) yield* leases(world, index, router, leftOut);
  }
}

function withRouter(world: World, index: number, change: Partial<Router>): World {
  const routers = replaced(world.routers, index, { ...world.routers[index]!, ...change });
  // Routes that every router has left behind need not be kept.
  const oldest = Math.min(...routers.map(({ epoch }) => epoch));
  const kept = world.routes.findIndex(({ epoch }) => epoch >= oldest);
  return { ...world, routers, routes: kept > 0 ? world.routes.slice(kept) : world.routes };
}

const newest = (world: World): Partition => world.routes.at(-1)!;

/** The routes by which a write may begin: for each owner the oldest one that says so, and the newest. */
function known(world: World, { epoch, registered, op }: Router, token: number): Partition[] {
  const heard = world.routes.filter((route) => route.epoch >= epoch);
  // Nobody tells it, but what a server has refused it reads again until it may be written.
  const possible = registered ? heard : op?.phase === 'held' ? [heard[0]!, newest(world)] : [heard[0]!];
  return possible.filter((route, i) => {
    const owner = writeOwner(route, BigInt(token));
    if (owner === null) return false;
    return route === newest(world) || possible.findIndex((each) => writeOwner(each, BigInt(token)) === owner) === i;
  });
}

function* send(
  world: World,
  index: number,
  router: Router,
  op: Operation,
  leftOut: Element | undefined,
): Generator<Action> {
  for (const route of new Set(known(world, router, op.token))) {
    const site = writeOwner(route, BigInt(op.token)) as Site;
    const sent: Operation = { ...op, site, epoch: route.epoch, phase: 'sent' };
    const after = withRouter(world, index, { epoch: route.epoch, op: sent });
    const label = `router ${index}: sends ${op.kind} of ${op.token} to ${site} by route ${route.epoch}`;
    const nobodyWaits = !router.registered && world.left.leases === 0 && world.left.unknown === 0;
    yield [label, () => (nobodyWaits ? arriveAt(after, index, sent, leftOut) : after)];
  }
}

/** A write at a server: atomic, as the validator can't be changed while one is under way. */
function execute(world: World, op: Operation, leftOut: Element | undefined): World | 'refused' | 'nothing' {
  const { token, site, kind } = op;
  const { documents, accepts } = world.servers[site];
  const present = documents[token] ?? null;
  if (kind !== 'put' && present === null) return 'nothing';
  if (!accepts.includes(token) && !(kind === 'delete' && leftOut === 'guarded deletes')) return 'refused';
  if (op.executed) throw new Violation('a write was done twice');
  if (present !== world.truth[token]) throw new Violation(`${site} has not all of what was written before`);
  const written = world.written[token]! + 1;
  const version = kind === 'delete' ? null : written;
  const stored = store(world, site, token, kind === 'put' && present !== null ? 'update' : kind, version);
  const routers = stored.routers.map((router) =>
    version === null && router.op?.token === token ? { ...router, op: { ...router.op, absent: true } } : router,
  );
  return {
    ...stored,
    routers,
    truth: replaced(world.truth, token, version),
    written: replaced(world.written, token, written),
  };
}

/** A fence has refused: the router reads the route again, and sends the write by that. */
const refused = (world: World, index: number, op: Operation): World =>
  withRouter(world, index, { epoch: newest(world).epoch, op: { ...op, phase: 'held', underWay: false } });

function arriveAt(world: World, index: number, op: Operation, leftOut: Element | undefined): World {
  const result = execute(world, op, leftOut);
  if (result === 'refused') return refused(world, index, op);
  if (result !== 'nothing') return withRouter(result, index, { op: null });
  return world.left.leases > 0
    ? withRouter(world, index, { op: { ...op, phase: 'nothing', underWay: false } })
    : answered(world, index, op, leftOut);
}

/** "Nothing matched" is true of the owner only: whether this server was it, the lease tells, or the catalog. */
function answered(world: World, index: number, op: Operation, leftOut: Element | undefined): World {
  const { lease, epoch } = world.routers[index]!;
  const route = world.routes.find((each) => each.epoch === epoch)!;
  const unchanged =
    leftOut === 'epoch of the answer' ? writeOwner(route, BigInt(op.token)) === op.site : epoch === op.epoch;
  const trusted = unchanged && (lease || leftOut === 'lease of who answers');
  if (!trusted && newest(world).epoch !== op.epoch) return refused(world, index, op);
  if (!op.absent) throw new Violation('"nothing matched" was never true');
  return withRouter(world, index, { op: null });
}

/** No answer: it was done, or its message is still on its way. */
function* unanswered(world: World, index: number, op: Operation, leftOut: Element | undefined): Generator<Action> {
  const who = `router ${index}: ${op.kind} of ${op.token} at ${op.site}`;
  const unknown = { ...op, phase: 'unknown', underWay: true } as const;
  yield [`${who} is not answered`, () => withRouter(world, index, { op: unknown })];
  const result = execute(world, op, leftOut);
  if (typeof result === 'string') return;
  const done = withRouter(result, index, { op: { ...unknown, underWay: false, executed: true } });
  yield [`${who} is done, and its answer lost`, () => done];
}

/** The same message again, to the same server, which does it once; only what it refuses goes elsewhere. */
function* resolve(world: World, index: number, op: Operation, leftOut: Element | undefined): Generator<Action> {
  const who = `router ${index}: ${op.kind} of ${op.token}`;
  if (op.underWay) {
    yield [`${who}: its first message arrives at ${op.site}`, () => {
      const result = execute(world, op, leftOut);
      const after = typeof result === 'string' ? world : result;
      return withRouter(after, index, { op: { ...op, underWay: false, executed: after !== world } });
    }]; // prettier-ignore
  }
  // A newer transaction number than that of the first message, or this one could be done after all.
  const leftBehind = op.underWay && leftOut === 'voiding the first message';
  const elsewhere: World = leftBehind ? { ...world, late: [...world.late, { kind: 'write', op }] } : world;
  if (leftOut === 'resolving at the same node') {
    yield [`${who} is sent again by the newest route`, () => refused(elsewhere, index, op)];
  } else if (op.executed) {
    yield [`${who} was done, as ${op.site} says`, () => withRouter(world, index, { op: null })];
  } else {
    yield [`${who} arrives again at ${op.site}`, () => {
      const result = execute(world, op, leftOut);
      return typeof result === 'string' ? refused(elsewhere, index, op) : withRouter(result, index, { op: null });
    }]; // prettier-ignore
  }
}

/** The first message of a write that was refused the second time, and done elsewhere. */
export function straggler(world: World, op: Operation, leftOut: Element | undefined): World {
  if (typeof execute(world, op, leftOut) === 'string') return world;
  throw new Violation('a write that went elsewhere was done here, too');
}

function* leases(world: World, index: number, router: Router, leftOut: Element | undefined): Generator<Action> {
  const who = `router ${index}`;
  const paid = spend(world, 'leases');
  const { epoch } = newest(world);
  if (router.lease) {
    yield [`${who}: its lease runs out`, () => withRouter(paid, index, { lease: false })];
  } else if (router.registered) {
    // Not expelled: everybody has waited for it. Registered anew: what it read before counts for nothing.
    yield [`${who}: reads all routes, and has a lease`, () => withRouter(paid, index, { lease: true, epoch })];
  } else if (leftOut === 'registering before reading') {
    yield [`${who}: reads all routes`, () => withRouter(paid, index, { epoch })];
    yield [`${who}: registers, and has a lease`, () => withRouter(paid, index, { registered: true, lease: true })];
  } else {
    yield [`${who}: registers`, () => withRouter(paid, index, { registered: true })];
  }
}

/**
 * The mover's wait until every router has acknowledged `epoch` or was expelled, in each way in which it may end: whose
 * lease has run out is expelled, or is just in time.
 */
export function awaitRouters(world: World, epoch: number, leftOut: Element | undefined): World[] {
  const route = world.routes.find((each) => each.epoch === epoch);
  return world.routers.reduce<World[]>(
    (ways, router, index) => {
      if (!router.registered) return ways;
      const drained = !isUnderWay(router.op, epoch, route);
      const expelled = !router.lease || leftOut === 'lease run out before expelling';
      const late = router.epoch < epoch || !drained;
      return ways.flatMap((way) => [
        ...(drained ? [withRouter(way, index, { epoch: Math.max(router.epoch, epoch) })] : []),
        ...(late && expelled ? [withRouter(way, index, { registered: false })] : []),
      ]);
    },
    [world],
  );
}

const isUnderWay = (op: Operation | null, epoch: number, route: Partition | undefined): boolean =>
  op !== null &&
  op.phase !== 'held' &&
  op.epoch < epoch &&
  route?.route.fence != null &&
  contains(route.route.fence, BigInt(op.token));

/** Who is read from: for the end, when everything has arrived. */
export const ownerOf = (partition: Partition, token: number): Site => readOwner(partition, BigInt(token)) as Site;
