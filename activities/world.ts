import { DroverError } from '../domain/errors.js';
import { LEASE_MARGIN_MS, LEASE_MS } from '../domain/lease.js';
import type { Direction, NodeName, Partition } from '../domain/partition.js';
import { acceptedBy, collectionOn, isSharedOn, nodesOf } from '../domain/partition.js';
import type { World } from '../domain/step.js';
import { operationTime } from '../store/change-log.js';
import { removeLanes } from '../store/copy-lane.js';
import { removeVerifyPosition } from '../store/verify-position.js';
import { createClosed, inspect, replaceByClosed, setAccepted } from '../store/fenced-collection.js';
import type { CheckpointDocument } from '../store/checkpoint.js';
import { scopeFromBson } from '../store/codec.js';
import type { PingOptions } from '../store/follower.js';
import { markerRead, ping as passPing } from '../store/follower.js';
import type { Gate } from '../store/gates.js';
import { dropGates, gatesOf, indexBuilds, makeGates, newGates, OUTSIDE } from '../store/gates.js';
import { endIndexBuilds } from '../store/shadow-indexes.js';
import { stepMarkerId } from '../store/step-marker.js';
import type { Dependencies } from './dependencies.js';
import type { MoveContext, PartitionContext } from './move-context.js';
import { confirmAttempt } from './move-context.js';
import { closeForeign } from './foreign-collection.js';
import { keptOf } from './kept-definition.js';
import { leaveAlone } from './lost-collection.js';
import { endOrphanedTransactions, routersAcknowledge } from './routers.js';
import { removeFromShared } from './shared-collection.js';

/** Where no write waits for it, routers have this long to follow a route: longer than a lease. */
const ROUTERS_FOLLOW_MS = 2 * (LEASE_MS + LEASE_MARGIN_MS);
/** Older transactions than this are waited for before a step begins, for at most so long. */
const LONG_TRANSACTION_MS = 100;
const TRANSACTIONS_END_MS = 3_000;
/** Plain writes that queued up behind a `collMod` get through before it is tried again. */
const BETWEEN_TRIES_MS = 50;
const DROP_TRIES = 10;
const INDEX_BUILD_LOOK_MS = 250;
/** Making gates keeps the nodes busy: what queued up meanwhile goes first. */
const AFTER_GATES_MS = 1_000;

type Fencing = 'advance' | 'dropGates' | 'makeGates' | 'awaitTransactions' | 'setAccepted';

/** The effects that set a partition's fences right, on real servers: all that is needed where nothing moves. */
export function fencingWorld(
  dependencies: Dependencies,
  context: PartitionContext,
  /** Ends what Drover itself may have left open on a node. */
  endOwn: (node: NodeName) => Promise<void> = async () => {},
): Pick<World, Fencing> {
  const { catalog } = dependencies;
  const { fence, client, db } = context;
  const collection = (node: NodeName) => collectionOn(context.partition, node);
  const endOrphans = (node: NodeName) => endOrphanedTransactions(dependencies, client(node), LONG_TRANSACTION_MS);
  const makeWay = async (node: NodeName) => {
    await Promise.all([endOrphans(node), endOwn(node)]);
    await sleep(BETWEEN_TRIES_MS);
  };
  const indexesBuilt = async (node: NodeName) => {
    for (let told = false; ; told = true) {
      const building = await indexBuilds(db(node), collection(node));
      if (building.length === 0) return;
      if (!told)
        dependencies.log.warn('a step waits for an index to be built', {
          node,
          collection: collection(node),
          building,
        });
      await sleep(INDEX_BUILD_LOOK_MS);
    }
  };
  return {
    advance: ({ partition, event }) => catalog.partitions.advance(partition, event),

    dropGates: async ({ partition }) => {
      const drop = async (node: NodeName) => {
        // Of a shared collection those of others go, too: who comes late must not drop them in the middle of a step.
        const confirm = () => confirmAttempt(catalog, partition);
        for (let tries = 1; !(await dropGates(db(node), collection(node), isOver(partition), confirm)); tries++) {
          if (tries === DROP_TRIES)
            throw new DroverError('StepUndone', `transactions on ${node} do not let gates be dropped`);
          await makeWay(node);
        }
      };
      await Promise.all(nodesOf(partition).map(drop));
    },

    makeGates: async ({ partition }) => {
      const names = newGates(partition.name, partition.attempt);
      const make = async (node: NodeName) => {
        // Who comes late must not keep a newer attempt from changing its fences.
        await confirmAttempt(catalog, partition);
        await makeGates(db(node), collection(node), names);
      };
      if (partition.route.fence === null) {
        // Nobody waits: one node after the other, as it reads the whole collection.
        for (const node of nodesOf(partition)) await make(node);
        await sleep(AFTER_GATES_MS);
      } else await Promise.all(nodesOf(partition).map(make));
      return names;
    },

    awaitTransactions: async ({ partition }) => {
      const deadline = performance.now() + TRANSACTIONS_END_MS;
      for (const node of nodesOf(partition)) {
        await indexesBuilt(node);
        // Whoever holds one for longer makes `collMod` give up soon, and the step is undone.
        while ((await endOrphans(node)) > 0 && performance.now() < deadline) await sleep(LONG_TRANSACTION_MS);
      }
    },

    setAccepted: async ({ partition, node }) => {
      const [gate] = partition.gates;
      if (gate === undefined) throw new DroverError('Superseded', `${partition.id}: this attempt has no gate`);
      // Anew: what was read before this attempt had its gates may be from before the lock.
      const others = isSharedOn(partition, node) ? await catalog.partitions.sharing(partition) : [];
      const accepted = acceptedBy([partition, ...others], node);
      if (await setAccepted(db(node), collection(node), { ...fence, accepted }, gate)) return true;
      await makeWay(node);
      return false;
    },
  };
}

/**
 * Never gates that a later attempt has made: who comes late would stop that one in the middle of its step. Where a migration
 * holds the partition, those of others in the collection go, too: a repair of one of them may still be on its way. Whoever made
 * the collection a keyspace's is done.
 */
const isOver =
  ({ name, attempt, gates, handover }: Partition) =>
  (gate: Gate): boolean =>
    gate.partition === name
      ? gate.attempt <= attempt && !gates.includes(gate.name)
      : handover !== null || gate.partition === OUTSIDE;

/** All effects of a hand-over, on real servers. */
export function handoverWorld(dependencies: Dependencies, context: MoveContext): World {
  const { catalog } = dependencies;
  const { move, db } = context;
  const stepTimeout = () => dependencies.migration.stepTimeout;
  const moment = new Moment();
  // A follower that was killed leaves its transaction open at its destination.
  const endOwn = (node: NodeName) => context.checkpoint(node === move.target ? 'forward' : 'back').endTransaction();
  const fencing = fencingWorld(dependencies, context, endOwn);
  return {
    ...fencing,

    awaitRouters: async ({ partition, patiently }) => {
      if (patiently) moment.begin();
      await routersAcknowledge(dependencies, partition, patiently ? ROUTERS_FOLLOW_MS : stepTimeout());
    },

    makeMissingGate: async ({ partition }) => {
      const gate = partition.gates[0]!;
      for (const node of nodesOf(partition)) {
        const collection = collectionOn(partition, node);
        if ((await gatesOf(db(node), collection)).some(({ name }) => name === gate)) continue;
        await confirmAttempt(catalog, partition);
        await makeGates(db(node), collection, [gate]);
      }
      await confirmAttempt(catalog, partition);
    },

    awaitReplication: async ({ direction }) => {
      if (await ping(context, direction, stepTimeout(), { stepFollows: true })) return moment.isGood();
      if (moment.mayPutOff()) return false;
      throw new DroverError('StepUndone', 'replication is behind: the step was not begun');
    },

    passMarker: async ({ direction, marker }) => {
      const { migration, keyspace, source, target } = move;
      const from = direction === 'forward' ? source : target;
      const id = stepMarkerId({ migration, direction, epoch: marker.epoch, from, keyspace });
      await context.markers(direction).write(id, migration, direction, { boundary: marker });
      // By what it did: the checkpoint names the last marker only, and others may follow it at once.
      const handedOver = ({ scope }: CheckpointDocument) => scopeFromBson(scope).handedOver === marker.epoch;
      if (!(await markerRead(context.checkpoint(direction), handedOver, stepTimeout()))) {
        throw new DroverError('StepUndone', `replication (${direction}) did not reach the marker in time`);
      }
      // What was not written to a collection that is gone must not be owned there.
      if (direction === 'forward' || (await hasSource(dependencies, context))) return;
      throw new DroverError('StepUndone', `the collection on "${source}" was dropped or renamed`);
    },

    readTime: ({ node }) => operationTime(db(node)),

    takeBack: ({ direction, begun, undone }) => context.checkpoint(direction).takeBack({ begun, undone }),

    receive: ({ direction, owned, since }) => context.checkpoint(direction).receive({ ...owned, since }),

    endReplication: async () => {
      await removeLanes(db(move.target), move.migration);
      await removeVerifyPosition(db(move.target), move.migration);
      for (const direction of ['forward', 'back'] as const) {
        await context.checkpoint(direction).remove();
        await context.markers(direction).removeAll(move.migration);
      }
    },

    closeCopy: async ({ partition, node }) => {
      const collection = collectionOn(partition, node);
      const there = await inspect(db(node), collection);
      const kept = await keptOf(catalog, move.migration);
      const known = kept?.uuids[node];
      if (!there.exists) {
        // Where the move was given up before it made a copy, there is nothing to put a closed collection in place of.
        if (kept === undefined || isSharedOn(partition, node)) return;
        await confirmAttempt(catalog, partition);
        // A name that is free is one that a router with an old route would make a collection of.
        return createClosed(db(node), collection, context.fence, kept.options);
      }
      // A copy that was given up before it was noted is closed and empty, as what an earlier stay has left: all else is somebody's.
      const isForeign =
        known === undefined ? node === move.target && !isSharedOn(partition, node) : there.uuid !== known;
      if (isForeign) {
        if (known !== undefined) {
          await closeForeign(dependencies, context, partition, node, there, fencing);
        }
        return leaveAlone(dependencies, context, node, collection, there);
      }
      if (isSharedOn(partition, node)) return removeFromShared(dependencies, context, partition, node, known);
      await endIndexBuilds(db(node), collection);
      const name = `${move.migration}-${partition.attempt}`;
      const confirm = () => confirmAttempt(catalog, partition);
      if (await replaceByClosed(db(node), collection, context.fence, name, confirm, { replaces: there.uuid })) return;
      throw new DroverError('StepUndone', `somebody has just changed the collection ${collection} on "${node}"`);
    },
  };
}

/** Whether the source's collection is the one that the move knows. */
async function hasSource({ catalog }: Dependencies, { move, names, db }: MoveContext): Promise<boolean> {
  const known = (await keptOf(catalog, move.migration))?.uuids[move.source];
  return known === undefined || (await inspect(db(move.source), names.source)).uuid === known;
}

/** Sends a marker through a direction of replication. @returns whether it arrived in time */
export function ping(
  context: MoveContext,
  direction: Direction,
  timeoutMs: number,
  options?: PingOptions,
): Promise<boolean> {
  const { migration, source, target } = context.move;
  const [from, to] = direction === 'forward' ? [source, target] : [target, source];
  return passPing({ migration, direction, origin: context.db(from), destination: context.db(to) }, timeoutMs, options);
}

const AT_ONCE_MS = 50;
const USUAL = 1.25;
const FIND_OUT_MS = 1_000;
const PUT_OFF_MS = 10_000;

/**
 * Chooses when a step begins. While a server is busy with itself (a storage checkpoint, a backup) writes would wait for
 * longer: it is put off, for a while, until everybody answers at once, or no slower than ever where nodes are far apart.
 */
class Moment {
  private since: number | undefined;
  private beganAt = 0;
  private fastest = Infinity;

  /** Everybody is asked. */
  begin(): void {
    this.beganAt = performance.now();
    this.since ??= this.beganAt;
  }

  /** Everybody has answered. */
  isGood(): boolean {
    const took = performance.now() - this.beganAt;
    this.fastest = Math.min(this.fastest, took);
    const usual = this.passed() > FIND_OUT_MS && took <= USUAL * this.fastest;
    return took <= AT_ONCE_MS || usual || !this.mayPutOff();
  }

  mayPutOff(): boolean {
    return this.passed() < PUT_OFF_MS;
  }

  private passed(): number {
    return performance.now() - (this.since ?? Infinity);
  }
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
