import { describe, expect, it } from 'vitest';
import type { Handover, HandoverState, Partition, Route } from '../../domain/partition.js';
import {
  acceptedBy,
  acceptedTokens,
  expiringNode,
  lockedNodes,
  nodesOf,
  partitionId,
  readOwner,
  tokensOf,
  writeOwner,
} from '../../domain/partition.js';

const INTERVAL = { low: 20n, high: 50n };

const partition = (route: Partial<Route>, state?: HandoverState): Partition => ({
  id: partitionId('shop.orders', 'p1'),
  keyspace: 'shop.orders',
  name: 'p1',
  box: [{ low: 0n, high: 100n }],
  collection: 'orders.p1',
  epoch: 1,
  attempt: 1,
  gates: [],
  route: { source: 'a', target: null, boundary: 0n, fence: null, ...route },
  handover: state === undefined ? null : ({ migration: 'm', target: 'b', state } satisfies Handover),
  lastMovedAt: null,
});

const owners = (each: Partition) => ({
  accepts: { a: acceptedTokens(each, 'a'), b: acceptedTokens(each, 'b') },
  writes: [10n, 20n, 49n, 50n].map((token) => writeOwner(each, token)),
  reads: [10n, 20n, 49n, 50n].map((token) => readOwner(each, token)),
});

describe('where documents expire by themselves', () => {
  it.each<[string, Partial<Route>, HandoverState | undefined, string | null]>([
    ['nothing moves: at the owner', {}, undefined, 'a'],
    ['a copy is made: at the owner', {}, { kind: 'idle' }, 'a'],
    ['the target may be handed tokens: nowhere', { target: 'b' }, { kind: 'idle' }, null],
    ['both have some: nowhere', { target: 'b', boundary: 20n }, { kind: 'idle' }, null],
    ['the last ones change hands: nowhere', { target: 'b', boundary: 100n }, { kind: 'owned', direction: 'forward', interval: INTERVAL, since: 1n }, null],
    ['the target has all of them: there', { target: 'b', boundary: 100n }, { kind: 'idle' }, 'b'],
    ['they are handed back: nowhere', { target: 'b', boundary: 100n, fence: INTERVAL }, { kind: 'fencing', direction: 'back', interval: INTERVAL }, null],
    ['the old copy is retired: at its new owner', { source: 'b' }, { kind: 'retiring', formerSource: 'a' }, 'b'],
  ])('%s', (_, route, state, node) => expect(expiringNode(partition(route, state))).toBe(node)); // prettier-ignore
});

describe('who owns a token', () => {
  it('is named by the keyspace and its own name', () => {
    expect(partition({}).id).toBe('shop.orders/p1');
    expect(tokensOf(partition({}))).toEqual({ low: 0n, high: 100n });
  });

  it('outside of a migration: the source, all of it', () => {
    expect(owners(partition({}))).toEqual({
      accepts: { a: [{ low: 0n, high: 100n }], b: [] },
      writes: ['a', 'a', 'a', 'a'],
      reads: ['a', 'a', 'a', 'a'],
    });
  });

  it('in cutover: the target below the boundary, the source from it on', () => {
    expect(owners(partition({ target: 'b', boundary: 20n }, { kind: 'idle' }))).toEqual({
      accepts: { a: [{ low: 20n, high: 100n }], b: [{ low: 0n, high: 20n }] },
      writes: ['b', 'a', 'a', 'a'],
      reads: ['b', 'a', 'a', 'a'],
    });
  });

  it('while an interval is fenced: nobody takes its writes, and it is read where it was written', () => {
    const fencing = partition(
      { target: 'b', boundary: 20n, fence: INTERVAL },
      { kind: 'fencing', direction: 'forward', interval: INTERVAL },
    );
    expect(owners(fencing)).toEqual({
      accepts: { a: [{ low: 50n, high: 100n }], b: [{ low: 0n, high: 20n }] },
      writes: ['b', null, null, 'a'],
      reads: ['b', 'a', 'a', 'a'],
    });
  });

  it('the same on the way back, where the target gives up what it had', () => {
    const fencing = partition(
      { target: 'b', boundary: 50n, fence: INTERVAL },
      { kind: 'fencing', direction: 'back', interval: INTERVAL },
    );
    expect(owners(fencing)).toEqual({
      accepts: { a: [{ low: 50n, high: 100n }], b: [{ low: 0n, high: 20n }] },
      writes: ['b', null, null, 'a'],
      reads: ['b', 'b', 'b', 'a'],
    });
  });

  it('while a step is undone: the node that had it accepts it again, but routers still hold their writes', () => {
    const undoing = partition(
      { target: 'b', boundary: 20n, fence: INTERVAL },
      { kind: 'undoing', direction: 'forward', interval: INTERVAL },
    );
    expect(owners(undoing)).toMatchObject({
      accepts: { a: [{ low: 20n, high: 100n }], b: [{ low: 0n, high: 20n }] },
      writes: ['b', null, null, 'a'],
    });
  });

  it('once everything has gone over: the source accepts nothing', () => {
    expect(owners(partition({ target: 'b', boundary: 100n }, { kind: 'idle' }))).toEqual({
      accepts: { a: [], b: [{ low: 0n, high: 100n }] },
      writes: ['b', 'b', 'b', 'b'],
      reads: ['b', 'b', 'b', 'b'],
    });
  });

  it('when the old copy is being retired: the new owner alone, and the former one is in no route', () => {
    const retiring = partition({ source: 'b' }, { kind: 'retiring', formerSource: 'a' });
    expect(owners(retiring).accepts).toEqual({ a: [], b: [{ low: 0n, high: 100n }] });
  });

  it('a node that has nothing to do with the partition accepts nothing', () => {
    expect(acceptedTokens(partition({ target: 'b', boundary: 50n }), 'c')).toEqual([]);
  });
});

describe('a collection that partitions share', () => {
  const other = (low: bigint, high: bigint): Partition => ({
    ...partition({}),
    box: [{ low, high }],
    route: { source: 'a', target: null, boundary: low, fence: null },
  });

  it('accepts what any of them accepts, in one piece where they meet', () => {
    expect(acceptedBy([other(50n, 100n), other(0n, 50n)], 'a')).toEqual([{ low: 0n, high: 100n }]);
    expect(acceptedBy([other(0n, 20n), other(50n, 100n)], 'b')).toEqual([]);
  });

  it('goes on accepting the others while one is fenced', () => {
    const route = { target: 'b', boundary: 20n, fence: INTERVAL };
    const fencing = partition(route, { kind: 'fencing', direction: 'forward', interval: INTERVAL });
    expect(acceptedBy([fencing, other(100n, 200n)], 'a')).toEqual([{ low: 50n, high: 200n }]);
    expect(acceptedBy([fencing, other(100n, 200n)], 'b')).toEqual([{ low: 0n, high: 20n }]);
  });
});

describe('the nodes of a partition', () => {
  it('are its own, and the one that it goes to or came from', () => {
    expect(nodesOf(partition({}))).toEqual(['a']);
    expect(nodesOf(partition({}, { kind: 'idle' }))).toEqual(['a', 'b']);
    expect(nodesOf(partition({ source: 'b' }, { kind: 'retiring', formerSource: 'a' }))).toEqual(['b', 'a']);
  });

  it('are locked for others in the collection while a migration holds it, or an attempt has gates', () => {
    expect(lockedNodes(partition({}))).toEqual([]);
    expect(lockedNodes({ ...partition({}), gates: ['g'] })).toEqual(['a']);
    expect(lockedNodes(partition({}, { kind: 'idle' }))).toEqual(['a', 'b']);
  });
});
