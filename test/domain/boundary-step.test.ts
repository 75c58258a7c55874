import { describe, expect, it } from 'vitest';
import { moveBoundary, restoreFences, restoreLostFences, takeOver } from '../../domain/boundary-step.js';
import { removeOldCopy, removeShadow, retire, withdraw } from '../../domain/ending.js';
import { DroverError } from '../../domain/errors.js';
import { stateName, transition } from '../../domain/handover.js';
import type { HandoverEvent } from '../../domain/handover.js';
import type { Partition } from '../../domain/partition.js';
import type { Effect, Step } from '../../domain/step.js';

const unclaimed: Partition = {
  id: 'shop.orders/p1',
  keyspace: 'shop.orders',
  name: 'p1',
  box: [{ low: 0n, high: 8n }],
  collection: 'orders.p1',
  epoch: 1,
  attempt: 0,
  gates: [],
  route: { source: 'a', target: null, boundary: 0n, fence: null },
  handover: null,
  lastMovedAt: null,
};
const after = (...events: HandoverEvent[]): Partition => ({
  ...events.reduce(transition, unclaimed),
  gates: ['g1', 'g2', 'g3', 'g4', 'g5'],
});
const CLAIM: HandoverEvent = { kind: 'claim', migration: 'm', target: 'b' };
const PUBLISH: HandoverEvent = { kind: 'publish' };
const begin = (boundary: bigint): HandoverEvent => ({ kind: 'begin', boundary });
const OWN: HandoverEvent = { kind: 'own', since: 7n };
const SETTLE: HandoverEvent = { kind: 'settle' };
const published = after(CLAIM, PUBLISH);

/** An effect in words. */
function describeEffect(effect: Effect): string {
  switch (effect.do) {
    case 'advance':
      return effect.event.kind;
    case 'setAccepted':
      return `fence ${effect.node} through ${effect.partition.gates[0]}`;
    case 'awaitRouters':
      return effect.patiently ? 'await routers patiently' : 'await routers';
    case 'passMarker':
      return `marker ${effect.direction} ${effect.marker.interval.low}-${effect.marker.interval.high}`;
    case 'takeBack':
    case 'receive':
      return `${effect.do} ${effect.direction}`;
    case 'closeCopy':
      return `close copy on ${effect.node}`;
    case 'awaitReplication':
      return `await replication ${effect.direction}`;
    default:
      return effect.do;
  }
}

type Answer = (what: string, effect: Effect) => unknown;
const AS_IT_SHOULD: Answer = () => undefined;

/** Runs a step, with answers in place of those of a world in which everything succeeds. */
function play(step: Step, answer: Answer = AS_IT_SHOULD): { effects: string[]; ended: Partition | DroverError } {
  const effects: string[] = [];
  const outcome = (effect: Effect): unknown => {
    const what = describeEffect(effect);
    effects.push(what);
    const special = answer(what, effect);
    if (special !== undefined) return special;
    if (effect.do === 'advance') return transition(effect.partition, effect.event);
    if (effect.do === 'makeGates') return ['n1', 'n2', 'n3'];
    if (effect.do === 'readTime') return 7n;
    return effect.do === 'setAccepted' || effect.do === 'awaitReplication' ? true : undefined;
  };
  try {
    let next = step.next();
    while (next.done !== true) {
      let value: unknown;
      try {
        value = outcome(next.value);
      } catch (error) {
        next = step.throw(error);
        continue;
      }
      next = step.next(value);
    }
    return { effects, ended: next.value };
  } catch (error) {
    if (error instanceof DroverError) return { effects, ended: error };
    throw error;
  }
}

/** Fails the first effect of this name. */
function failing(what: string, error: Error): Answer {
  let done = false;
  return (effect) => {
    if (done || !effect.startsWith(what)) return undefined;
    done = true;
    throw error;
  };
}

const BEFORE_THE_PAUSE = [
  'takeOver', 'dropGates', 'announce', 'await routers patiently', 'awaitTransactions', 'await replication forward',
]; // prettier-ignore
const UNDONE_WITHOUT_CLOSING = ['undo', 'takeBack forward', 'settle'];

describe('a boundary step', () => {
  it('finds out who is slow, then fences, closes, drains, changes the owner, and opens', () => {
    const { effects, ended } = play(moveBoundary(published, 4n));
    expect(effects).toEqual([
      ...BEFORE_THE_PAUSE,
      'begin',
      'await routers',
      'fence a through g2',
      'marker forward 0-4',
      'readTime',
      'own',
      'receive back',
      'fence b through g2',
      'settle',
    ]);
    expect(ended).toMatchObject({ route: { boundary: 4n, fence: null }, handover: { state: { kind: 'idle' } } });
  });

  it('goes on in an attempt that its caller has brought to rest', () => {
    const { effects } = play(moveBoundary(published, 4n, published.attempt));
    expect(effects.slice(0, 2)).toEqual(['announce', 'await routers patiently']);
  });

  it.each([
    ['another attempt', published, published.attempt - 1],
    ['a step that is under way', after(CLAIM, PUBLISH, begin(4n)), published.attempt],
  ])('takes over from %s', (_from, held, mine) => {
    expect(play(moveBoundary({ ...held, gates: ['g1', 'g2', 'g3', 'g4'] }, 4n, mine)).effects[0]).toBe('takeOver');
  });

  it('goes back with the sides exchanged', () => {
    const { effects } = play(moveBoundary(after(CLAIM, PUBLISH, begin(4n), OWN, SETTLE), 1n));
    expect(effects.slice(BEFORE_THE_PAUSE.length)).toEqual([
      'begin', 'await routers', 'fence b through g2', 'marker back 1-4', 'readTime', 'own', 'receive forward',
      'fence a through g2', 'settle',
    ]); // prettier-ignore
  });

  it('makes new gates before anybody waits, when few are left', () => {
    const { effects, ended } = play(moveBoundary({ ...published, gates: ['g1', 'g2'] }, 4n));
    expect(effects.slice(0, 5)).toEqual(['takeOver', 'dropGates', 'makeGates', 'gate', 'announce']);
    expect((ended as Partition).gates).toEqual(['g2', 'n1', 'n2', 'n3']);
  });

  it('asks again whether everybody is there, until the moment is good', () => {
    let asked = 0;
    const busyTwice: Answer = (what) => (what.startsWith('await replication') ? ++asked > 2 : undefined);
    const { effects } = play(moveBoundary(published, 4n), busyTwice);
    expect(effects.slice(2, 15)).toEqual([...Array<string[]>(3).fill(BEFORE_THE_PAUSE.slice(2)).flat(), 'begin']);
  });

  it('is over at once where the boundary is already', () => {
    expect(play(moveBoundary(published, 0n)).effects).toEqual(['takeOver', 'dropGates']);
  });

  it('does not begin when replication is behind', () => {
    const { effects, ended } = play(
      moveBoundary(published, 4n),
      failing('await replication', new DroverError('StepUndone', 'behind')),
    );
    expect(effects).toEqual(BEFORE_THE_PAUSE);
    expect(ended).toMatchObject({ code: 'StepUndone' });
  });

  it('is undone without a look at any fence when routers do not acknowledge', () => {
    let waits = 0;
    const { effects, ended } = play(moveBoundary(published, 4n), (what) => {
      if (what === 'await routers' && ++waits === 1) throw new DroverError('StepUndone', 'a router is missing');
      return undefined;
    });
    expect(effects).toEqual([...BEFORE_THE_PAUSE, 'begin', 'await routers', ...UNDONE_WITHOUT_CLOSING]);
    expect(ended).toMatchObject({ code: 'StepUndone' });
  });

  it('is undone without opening when a transaction was in the way of closing: nothing is closed', () => {
    const { effects, ended } = play(moveBoundary(published, 4n), (what) =>
      what.startsWith('fence a') ? false : undefined,
    );
    expect(effects.slice(BEFORE_THE_PAUSE.length)).toEqual([
      'begin',
      'await routers',
      'fence a through g2',
      ...UNDONE_WITHOUT_CLOSING,
    ]);
    expect(ended).toMatchObject({ code: 'StepUndone' });
  });

  it('is undone with opening when the marker does not arrive: replication takes back before it opens', () => {
    const { effects } = play(moveBoundary(published, 4n), failing('marker', new DroverError('StepUndone', 'too slow')));
    expect(effects.slice(BEFORE_THE_PAUSE.length + 3)).toEqual([
      'marker forward 0-4',
      'undo',
      'takeBack forward',
      'fence a through g2',
      'settle',
    ]);
  });

  it('is undone by a new attempt, with another gate, when it is unknown whether the fence was closed', () => {
    const { effects, ended } = play(moveBoundary(published, 4n), failing('fence a', new Error('connection lost')));
    expect(effects.slice(BEFORE_THE_PAUSE.length + 2)).toEqual([
      'fence a through g2', 'takeOver', 'dropGates', 'undo', 'takeBack forward', 'fence a through g3', 'settle',
    ]); // prettier-ignore
    expect(ended).toMatchObject({ code: 'StepUndone', message: 'Error: connection lost' });
  });

  it('is left to whoever has taken over', () => {
    const superseded = new DroverError('Superseded', 'the gate is gone');
    const { effects, ended } = play(moveBoundary(published, 4n), failing('fence a', superseded));
    expect(effects.at(-1)).toBe('fence a through g2');
    expect(ended).toBe(superseded);
  });

  it('is not undone any more once the new owner is in the catalog', () => {
    const { effects, ended } = play(
      moveBoundary(published, 4n),
      failing('fence b', new DroverError('Unavailable', 'away')),
    );
    expect(effects.slice(-3)).toEqual(['own', 'receive back', 'fence b through g2']);
    expect(ended).toMatchObject({ code: 'Unavailable' });
  });

  it('tries again to open while a transaction is in the way, but not for ever', () => {
    const { effects, ended } = play(moveBoundary(published, 4n), (what) =>
      what.startsWith('fence b') ? false : undefined,
    );
    expect(effects.filter((what) => what.startsWith('fence b'))).toHaveLength(20);
    expect(ended).toMatchObject({ code: 'StepUndone' });
  });
});

describe('taking over', () => {
  it.each([
    ['nothing under way', published, [], 'idle'],
    ['fencing', after(CLAIM, PUBLISH, begin(4n)), ['undo', 'takeBack forward', 'fence a through g2', 'settle'], 'idle'],
    [
      'undoing',
      after(CLAIM, PUBLISH, begin(4n), { kind: 'undo' }),
      ['takeBack forward', 'fence a through g2', 'settle'],
      'idle',
    ],
    ['owned', after(CLAIM, PUBLISH, begin(4n), OWN), ['receive back', 'fence b through g2', 'settle'], 'idle'],
    ['no migration', { ...unclaimed, gates: ['g1'] }, [], 'none'],
  ] as const)('%s: older attempts are shut out, then the step is brought to its end', (_state, held, rest, state) => {
    const { effects, ended } = play(takeOver(held));
    expect(effects).toEqual(['takeOver', 'dropGates', ...rest]);
    expect(stateName(ended as Partition)).toBe(state);
    expect((ended as Partition).attempt).toBe(held.attempt + 1);
  });

  it('makes a gate where none is left', () => {
    const { effects } = play(takeOver({ ...after(CLAIM, PUBLISH, begin(4n), OWN), gates: ['g1'] }));
    expect(effects.slice(2)).toEqual(['makeGates', 'gate', 'receive back', 'fence b through n1', 'settle']);
  });
});

describe('restoring fences', () => {
  it('sets those of both nodes, and leaves the gates to the migration', () => {
    const { effects } = play(restoreFences(published));
    expect(effects).toEqual(['takeOver', 'dropGates', 'fence a through g2', 'fence b through g2']);
  });

  it('keeps the gates where a collection is lost, and makes one there', () => {
    const { effects, ended } = play(restoreLostFences(published));
    expect(effects).toEqual(['takeOver', 'dropGates', 'makeMissingGate', 'fence a through g2', 'fence b through g2']);
    expect((ended as Partition).gates).toEqual(['g2', 'g3', 'g4', 'g5']);
  });

  it('leaves no gate where there is no migration', () => {
    const { effects, ended } = play(restoreFences(unclaimed));
    expect(effects).toEqual(['takeOver', 'dropGates', 'makeGates', 'gate', 'fence a through n1', 'gate', 'dropGates']);
    expect((ended as Partition).gates).toEqual([]);
  });
});

describe('the ends of a migration', () => {
  const all = after(CLAIM, PUBLISH, begin(8n), OWN, SETTLE);
  const REMOVED = ['takeOver', 'dropGates', 'endReplication'];

  it('retires: the catalog first, then every router knows', () => {
    const { effects, ended } = play(retire(all, 5));
    expect(effects).toEqual(['takeOver', 'dropGates', 'retire', 'await routers patiently']);
    expect(play(retire(ended as Partition, 6)).effects).toEqual(['await routers patiently']);
  });

  it('closes the old copy when replication can no longer write to it', () => {
    const retiring = { ...transition(all, { kind: 'retire', at: 5 }), gates: ['g1'] };
    const { effects } = play(removeOldCopy(retiring));
    expect(effects).toEqual([...REMOVED, 'close copy on a', 'gate', 'dropGates']);
    expect(() => removeOldCopy(all).next()).toThrow('is not being retired');
  });

  it('withdraws the target, then closes its copy', () => {
    const { effects, ended } = play(withdraw(published));
    expect(effects).toEqual(['takeOver', 'dropGates', 'withdraw', 'await routers patiently']);
    expect(play(removeShadow(ended as Partition)).effects).toEqual([
      ...REMOVED,
      'close copy on b',
      'gate',
      'dropGates',
    ]);
    expect(() => removeShadow(published).next()).toThrow('still part of the route');
  });

  it('waits for the routers also when the target is out of the route already: an attempt before it may not have', () => {
    const effects = ['takeOver', 'dropGates', 'withdraw', 'await routers patiently'];
    expect(play(withdraw(after(CLAIM))).effects).toEqual(effects);
  });
});
