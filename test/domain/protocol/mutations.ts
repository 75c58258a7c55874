import { event, leavingOut, named, postponing, undoingAsItself, undoingWhatIsOwned } from './careless.js';
import type { Element } from './elements.js';
import type { Scenario } from './model.js';
import { claim, fencesRestored, oldCopyRemoved, publish, retired, to } from './programs.js';
import { LIVE, STALE, unclaimed } from './world.js';

/** The smallest scenario that needs the element. */
const leaving = (leftOut: Element, scenario: Scenario): [Element, Scenario] => [leftOut, { ...scenario, leftOut }];

const step = { goals: [[to(1)]], tokens: 1, gates: 6 } as const;
const thereAndBack = { goals: [[to(1), to(0)]], tokens: 1, gates: 6 } as const;
const shared = { tokens: 2, partitions: [unclaimed('p', 0, 1), unclaimed('q', 1, 2)] } as const;
const writes = { routers: [LIVE], kinds: ['put'] } as const;
const staleWrites = { routers: [STALE], kinds: ['put'] } as const;
const answers = { routers: [LIVE, LIVE], kinds: ['put', 'update'], documents: null } as const;

/** What the world forgets. */
export const FORGOTTEN: readonly (readonly [string, Scenario])[] = [
  leaving('closing the losing side', { ...step, left: {} }),
  leaving('gate', { ...step, left: { attempts: 2, zombies: 2 } }),
  leaving('a gate of its own for each attempt', { ...step, left: { attempts: 2, zombies: 2 } }),
  leaving('dropping older gates', { ...step, left: { attempts: 2, zombies: 2 } }),
  leaving('gates of newer attempts', { ...step, gates: 0, left: { attempts: 1, zombies: 1, faults: 1 } }),
  leaving('attempt in the catalog', { ...step, looks: 9, left: { attempts: 2, zombies: 1 } }),
  leaving('attempt in the checkpoint', { ...step, ...writes, left: { operations: 2, followers: 1 } }),
  leaving('scope in the checkpoint', { ...step, ...writes, left: { operations: 2 } }),
  leaving('scope told by the route', { ...step, routers: [LIVE, STALE], kinds: ['put'], left: { operations: 2 } }),
  leaving('lock per collection', {
    ...shared,
    goals: [
      [claim, publish, to(1)],
      [claim, publish, to(2)],
    ],
    left: {},
  }),
  leaving('lock without a migration', { ...shared, goals: [[claim, publish, to(1)], [fencesRestored]], left: {} }),
  leaving('partitions of the collection read anew', {
    ...shared,
    goals: [[claim, publish, to(1), retired, oldCopyRemoved], [fencesRestored]],
    left: {},
  }),
  leaving('dropping gates of other partitions', {
    ...shared,
    goals: [[claim, publish, to(1)], [fencesRestored]],
    left: { attempts: 1, zombies: 1 },
  }),
  leaving('guarded deletes', { ...step, routers: [LIVE, STALE], kinds: ['put', 'delete'], left: { operations: 2 } }),
  leaving('point of no return', { ...step, goals: [[undoingWhatIsOwned(to(1))]], left: { attempts: 1, zombies: 1 } }),
  leaving('lease of who answers', { ...step, ...answers, left: { operations: 2, leases: 1 } }),
  leaving('lease run out before expelling', { ...step, ...answers, left: { operations: 2, leases: 1 } }),
  leaving('epoch of the answer', { ...thereAndBack, ...answers, left: { operations: 2, leases: 3 } }),
  leaving('registering before reading', { ...step, ...answers, left: { operations: 2, leases: 3 } }),
  leaving('resolving at the same node', { ...step, ...staleWrites, left: { operations: 1, unknown: 1 } }),
  leaving('voiding the first message', { ...thereAndBack, ...staleWrites, left: { operations: 1, unknown: 1 } }),
];

/**
 * Not needed for any of it: an echo that is applied again comes in order, at a side that does not own its token, and before
 * that side's next marker. The time spares this, and keeps the fallback copy from going back to what it was for a while.
 */
export const NOT_NEEDED: readonly (readonly [string, Scenario])[] = [
  leaving('time of the hand-over', {
    ...thereAndBack,
    routers: [LIVE, STALE],
    kinds: ['put', 'delete'],
    left: { operations: 2, attempts: 1 },
  }),
];

/** What the mover forgets, or does in another order. */
export const CARELESS: readonly (readonly [string, Scenario])[] = [
  [
    'routers are not waited for',
    { ...step, ...answers, goals: [[leavingOut(named('awaitRouters'), to(1))]], left: { operations: 2 } },
  ],
  [
    'owned before replication has drained',
    {
      ...step,
      ...writes,
      goals: [[postponing(named('passMarker'), event('own'), to(1))]],
      left: { operations: 2, attempts: 1 },
    },
  ],
  [
    'replication is not drained at all',
    { ...step, ...writes, goals: [[leavingOut(named('passMarker'), to(1))]], left: { operations: 2 } },
  ],
  [
    // Sent when the gaining side had the token before, by a router that nobody waits for any more.
    'the other direction receives after the gaining side has opened',
    {
      ...step,
      ...writes,
      goals: [[to(1), to(0), postponing(named('receive'), named('setAccepted'), to(1))]],
      left: { operations: 1, leases: 1 },
    },
  ],
  [
    'what an undone step took out of replication is not taken back',
    { ...step, ...writes, goals: [[leavingOut(named('takeBack'), to(1))]], left: { operations: 1, attempts: 1 } },
  ],
  [
    'the losing side is opened again before replication takes back',
    {
      ...step,
      ...staleWrites,
      goals: [[postponing(named('takeBack'), named('setAccepted'), to(1))]],
      left: { operations: 1, attempts: 1 },
    },
  ],
  [
    'a fence that may still be closed later is opened by the same attempt',
    { ...step, goals: [[undoingAsItself(to(1))]], left: { faults: 1 } },
  ],
];
