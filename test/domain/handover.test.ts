import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DroverError } from '../../domain/errors.js';
import type { HandoverEvent } from '../../domain/handover.js';
import { ALLOWED, sides, stateName, transition } from '../../domain/handover.js';
import type { Partition } from '../../domain/partition.js';
import { acceptedTokens, readOwner, writeOwner } from '../../domain/partition.js';
import type { Token } from '../../domain/token.js';
import { contains, overlaps } from '../../domain/token.js';

const LOW = 0n;
const HIGH = 8n;
const TOKENS: Token[] = Array.from({ length: 8 }, (_, i) => BigInt(i));

const unclaimed: Partition = {
  id: 'shop.orders/p1',
  keyspace: 'shop.orders',
  name: 'p1',
  box: [{ low: LOW, high: HIGH }],
  collection: 'orders.p1',
  epoch: 1,
  route: { source: 'a', target: null, boundary: LOW, fence: null },
  attempt: 0,
  gates: [],
  handover: null,
  lastMovedAt: null,
};

const event: fc.Arbitrary<HandoverEvent> = fc.oneof(
  fc.record({
    kind: fc.constant('claim' as const),
    migration: fc.constant('m'),
    target: fc.constantFrom('a', 'b', 'c'),
  }),
  fc.constant({ kind: 'publish' as const }),
  fc.constant({ kind: 'takeOver' as const }),
  fc.constant({ kind: 'announce' as const }),
  fc.record({ kind: fc.constant('begin' as const), boundary: fc.bigInt({ min: LOW - 1n, max: HIGH + 1n }) }),
  fc.record({ kind: fc.constant('begin' as const), boundary: fc.constantFrom(LOW, HIGH) }),
  fc.record({ kind: fc.constant('own' as const), since: fc.bigInt({ min: 0n, max: 100n }) }),
  fc.constant({ kind: 'undo' as const }),
  fc.constant({ kind: 'settle' as const }),
  fc.record({ kind: fc.constant('retire' as const), at: fc.nat() }),
  fc.constant({ kind: 'withdraw' as const }),
  fc.constant({ kind: 'release' as const }),
);
/** One in three events is any event, the others are among those that the state allows: so that every state is reached. */
interface Draw {
  readonly dice: number;
  readonly any: HandoverEvent;
}
const history = fc.array(fc.record({ dice: fc.nat(1_000), any: event }), { minLength: 10, maxLength: 60 });

function choose(partition: Partition, { dice, any }: Draw): HandoverEvent {
  if (dice % 3 === 0) return any;
  const fitting: HandoverEvent[] = [
    { kind: 'claim', migration: 'm', target: partition.route.source === 'a' ? 'b' : 'a' },
    { kind: 'publish' },
    { kind: 'takeOver' },
    { kind: 'announce' },
    ...TOKENS.map((token): HandoverEvent => ({ kind: 'begin', boundary: token })),
    ...Array.from({ length: 4 }, (): HandoverEvent => ({ kind: 'begin', boundary: HIGH })),
    { kind: 'own', since: BigInt(dice) },
    { kind: 'undo' },
    { kind: 'settle' },
    { kind: 'retire', at: dice },
    { kind: 'retire', at: dice },
    { kind: 'withdraw' },
    { kind: 'release' },
  ];
  const allowed = fitting.filter((each) => typeof attempt(partition, each) !== 'string');
  return allowed[dice % allowed.length] ?? any;
}

/** The partition after the event, or the code of its refusal. */
function attempt(partition: Partition, next: HandoverEvent): Partition | string {
  try {
    return transition(partition, next);
  } catch (error) {
    if (error instanceof DroverError) return error.code;
    throw error;
  }
}

/** Applies what is allowed and passes over the rest, and shows every step to `look`. */
function run(
  draws: readonly Draw[],
  look: (before: Partition, next: HandoverEvent, after: Partition) => void = () => undefined,
): Partition {
  return draws.reduce((partition, draw) => {
    const next = choose(partition, draw);
    const after = attempt(partition, next);
    if (typeof after === 'string') return partition;
    look(partition, next, after);
    return after;
  }, unclaimed);
}

const play = (...events: HandoverEvent[]): Partition => events.reduce(transition, unclaimed);
const claim: HandoverEvent = { kind: 'claim', migration: 'm', target: 'b' };
const begin = (boundary: Token): HandoverEvent => ({ kind: 'begin', boundary });
const own: HandoverEvent = { kind: 'own', since: 7n };
const just = (kind: 'publish' | 'takeOver' | 'undo' | 'settle' | 'withdraw' | 'release'): HandoverEvent => ({ kind });
const retire: HandoverEvent = { kind: 'retire', at: 5 };

const NODES = ['a', 'b', 'c'];
const acceptedBy = (partition: Partition, token: Token) =>
  NODES.filter((node) => acceptedTokens(partition, node).some((interval) => contains(interval, token)));

describe('the table of the hand-over', () => {
  it('is this one', () => {
    expect(ALLOWED).toEqual({
      claim: ['none'],
      publish: ['idle'],
      takeOver: ['none', 'idle', 'fencing', 'owned', 'undoing', 'retiring'],
      gate: ['none', 'idle', 'fencing', 'owned', 'undoing', 'retiring'],
      announce: ['idle'],
      begin: ['idle'],
      own: ['fencing'],
      undo: ['fencing'],
      settle: ['owned', 'undoing'],
      retire: ['idle'],
      withdraw: ['idle'],
      release: ['idle', 'retiring'],
    });
  });

  const published = play(claim, just('publish'));
  it.each([
    ['none', unclaimed],
    ['idle', published],
    ['fencing', transition(published, begin(4n))],
    ['undoing', [begin(4n), just('undo')].reduce(transition, published)],
    ['owned', [begin(4n), own].reduce(transition, published)],
    ['retiring', [begin(HIGH), own, just('settle'), retire].reduce(transition, published)],
  ] as const)('in state "%s" refuses every event that it does not allow, with the code Refused', (name, partition) => {
    expect(stateName(partition)).toBe(name);
    fc.assert(
      fc.property(event, (next) => {
        const after = attempt(partition, next);
        if (!ALLOWED[next.kind].includes(name)) expect(after).toBe('Refused');
        else if (typeof after === 'string') expect(after).toBe('Refused');
      }),
      { numRuns: 200 },
    );
  });

  it('says which partition, which event and which state a refusal is about', () => {
    expect(() => transition(unclaimed, just('publish'))).toThrow(
      'shop.orders/p1: "publish" is not possible: the hand-over is in state "none"',
    );
  });
});

describe('in every state that any sequence of events leads to', () => {
  it('no token is accepted by two nodes', () => {
    fc.assert(
      fc.property(history, (events) => {
        run(events, (_before, _next, after) => {
          for (const token of TOKENS) expect(acceptedBy(after, token).length).toBeLessThanOrEqual(1);
        });
      }),
      { numRuns: 150 },
    );
  });

  it('every token is accepted by exactly one node, unless it is in the interval that changes hands', () => {
    fc.assert(
      fc.property(history, (events) => {
        run(events, (_before, _next, after) => {
          for (const token of TOKENS) {
            const accepting = acceptedBy(after, token);
            const state = after.handover?.state;
            const closed = state?.kind === 'fencing' && contains(state.interval, token);
            expect(accepting).toEqual(closed ? [] : [readOwner(after, token)]);
          }
        });
      }),
      { numRuns: 150 },
    );
  });

  it('a router writes only where the node accepts', () => {
    fc.assert(
      fc.property(history, (events) => {
        run(events, (_before, _next, after) => {
          for (const token of TOKENS) {
            const owner = writeOwner(after, token);
            if (owner !== null) expect(acceptedBy(after, token)).toEqual([owner]);
          }
        });
      }),
      { numRuns: 150 },
    );
  });

  it('routers hold the writes of an interval from the beginning of its step to the end, and no others', () => {
    fc.assert(
      fc.property(history, (events) => {
        run(events, (_before, _next, after) => {
          const state = after.handover?.state;
          // Also while the new owner is being opened: a delete would get through before its changes flow back.
          const underWay = state !== undefined && 'interval' in state ? state.interval : null;
          expect(after.route.fence).toEqual(underWay);
        });
      }),
      { numRuns: 150 },
    );
  });

  it('the epoch rises by one with every change of the route, and else stays', () => {
    fc.assert(
      fc.property(history, (events) => {
        run(events, (before, next, after) => {
          const changed = JSON.stringify(before.route, text) !== JSON.stringify(after.route, text);
          // An undo leaves the route as it is, but voids what routers and replication know of the step; and whoever
          // announces a step, or says again that the target is withdrawn, waits for routers that know it.
          const counts = changed || ['announce', 'undo', 'withdraw'].includes(next.kind);
          expect(after.epoch - before.epoch).toBe(counts ? 1 : 0);
        });
      }),
      { numRuns: 150 },
    );
  });

  it('the attempt rises by one with every take-over and every claim, and else stays', () => {
    fc.assert(
      fc.property(history, (events) => {
        run(events, (before, next, after) => {
          expect(after.attempt - before.attempt).toBe(next.kind === 'takeOver' || next.kind === 'claim' ? 1 : 0);
          if (before.handover === null || after.handover === null) return;
          expect(after.handover.migration).toBe(before.handover.migration);
        });
      }),
      { numRuns: 300 },
    );
  });

  it('what changes owner in the route has been fenced before: it never jumps', () => {
    fc.assert(
      fc.property(history, (events) => {
        run(events, (before, next, after) => {
          for (const token of TOKENS) {
            if (readOwner(before, token) === readOwner(after, token)) continue;
            expect(next.kind).toBe('own');
            expect(acceptedBy(before, token)).toEqual([]);
          }
        });
      }),
      { numRuns: 150 },
    );
  });
});

const text = (_key: string, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value);

describe('a boundary step', () => {
  const published = play(claim, just('publish'));

  it('begun and undone, everything belongs to whom it belonged before', () => {
    const boundary = fc.bigInt({ min: LOW, max: HIGH });
    fc.assert(
      fc.property(boundary, boundary, fc.boolean(), (first, second, takenOver) => {
        const start = first === LOW ? published : play(claim, just('publish'), begin(first), own, just('settle'));
        fc.pre(second !== start.route.boundary);
        let undone = transition(start, begin(second));
        if (takenOver) undone = transition(undone, just('takeOver'));
        undone = transition(transition(undone, just('undo')), just('settle'));
        expect(undone.route).toEqual(start.route);
        expect(undone.handover?.state).toEqual({ kind: 'idle' });
        expect(undone.epoch).toBe(start.epoch + 3);
      }),
    );
  });

  it('finished, the interval and nothing else has gone over', () => {
    const boundary = fc.bigInt({ min: LOW, max: HIGH });
    fc.assert(
      fc.property(boundary, boundary, (first, second) => {
        fc.pre(first !== LOW && second !== first);
        const before = play(claim, just('publish'), begin(first), own, just('settle'));
        const fencing = transition(before, begin(second));
        const after = transition(transition(fencing, own), just('settle'));
        for (const token of TOKENS) {
          const moved = contains(fencing.route.fence!, token);
          expect(readOwner(after, token) !== readOwner(before, token)).toBe(moved);
        }
        expect(after.route).toMatchObject({ boundary: second, fence: null });
        expect(after.epoch).toBe(before.epoch + 3);
      }),
    );
  });

  it('goes forward to a higher boundary, back to a lower one, and names who loses and who gains', () => {
    const half = play(claim, just('publish'), begin(4n), own, just('settle'));
    const forward = transition(half, begin(6n));
    const back = transition(half, begin(1n));
    expect(forward.handover?.state).toEqual({
      kind: 'fencing',
      direction: 'forward',
      interval: { low: 4n, high: 6n },
    });
    expect(sides(forward, 'forward')).toEqual({ losing: 'a', gaining: 'b' });
    expect(back.handover?.state).toEqual({ kind: 'fencing', direction: 'back', interval: { low: 1n, high: 4n } });
    expect(sides(back, 'back')).toEqual({ losing: 'b', gaining: 'a' });
    expect(overlaps(forward.route.fence!, back.route.fence!)).toBe(false);
  });

  it('keeps the time since which the new owner writes until the step is settled', () => {
    const owned = play(claim, just('publish'), begin(4n), own);
    expect(owned.handover?.state).toEqual({
      kind: 'owned',
      direction: 'forward',
      interval: { low: 0n, high: 4n },
      since: 7n,
    });
  });

  it.each([
    ['to where the boundary is already', begin(LOW)],
    ['out of the partition, below', begin(LOW - 1n)],
    ['out of the partition, above', begin(HIGH + 1n)],
  ])('%s is refused', (_what, next) => {
    expect(attempt(published, next)).toBe('Refused');
  });

  it('is refused before the target is published', () => {
    expect(attempt(play(claim), begin(4n))).toBe('Refused');
  });
});

describe('the two ends of a migration', () => {
  it('a partition is claimed by one migration, for another node than its owner', () => {
    expect(attempt(unclaimed, { ...claim, target: 'a' })).toBe('Refused');
    expect(attempt(play(claim), { ...claim, migration: 'other' })).toBe('Refused');
    expect(play(claim)).toMatchObject({ epoch: 1, attempt: 1, handover: { migration: 'm', target: 'b' } });
  });

  it('begins without gates: those of a repair before it are not on the target', () => {
    expect(transition({ ...unclaimed, gates: ['g'] }, claim).gates).toEqual([]);
  });

  it('publishing twice is publishing once', () => {
    const published = play(claim, just('publish'));
    expect(transition(published, just('publish'))).toBe(published);
    expect(published.route).toMatchObject({ source: 'a', target: 'b', boundary: LOW });
  });

  it('retires only when the target owns everything', () => {
    const half = play(claim, just('publish'), begin(4n), own, just('settle'));
    expect(attempt(half, retire)).toBe('Refused');
    expect(attempt(play(claim), retire)).toBe('Refused');
    const all = transition(transition(transition(half, begin(HIGH)), own), just('settle'));
    const retiring = transition(all, retire);
    expect(retiring).toMatchObject({
      epoch: all.epoch + 1,
      route: { source: 'b', target: null, boundary: LOW, fence: null },
      handover: { state: { kind: 'retiring', formerSource: 'a' } },
      lastMovedAt: 5,
    });
    expect(transition(retiring, just('release')).handover).toBeNull();
  });

  it('withdraws only when the source owns everything, and once', () => {
    const half = play(claim, just('publish'), begin(4n), own, just('settle'));
    expect(attempt(half, just('withdraw'))).toBe('Refused');
    const back = transition(transition(transition(half, begin(LOW)), own), just('settle'));
    const withdrawn = transition(back, just('withdraw'));
    expect(withdrawn.route).toEqual(unclaimed.route);
    expect(transition(withdrawn, just('withdraw'))).toEqual({ ...withdrawn, epoch: withdrawn.epoch + 1 });
  });

  it('gives the partition free only when the target is not published', () => {
    expect(attempt(play(claim, just('publish')), just('release'))).toBe('Refused');
    expect(transition(play(claim), just('release'))).toEqual({ ...unclaimed, attempt: 1 });
    expect(play(claim, just('publish'), just('withdraw'), just('release')).handover).toBeNull();
  });

  it('never gives a partition free that somebody else but its source owns a part of', () => {
    fc.assert(
      fc.property(history, (events) => {
        const partition = run(events);
        if (partition.handover !== null) return;
        expect(partition.route).toMatchObject({ target: null, boundary: LOW, fence: null });
      }),
      { numRuns: 150 },
    );
  });
});
