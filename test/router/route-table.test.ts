import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { equalIntervals } from '../../domain/hash-ring.js';
import { transition } from '../../domain/handover.js';
import type { Partition } from '../../domain/partition.js';
import { TOKEN_END, TOKEN_MIN } from '../../domain/token.js';
import { PartitionRoute, RouteTable } from '../../router/route-table.js';

const partition = (name: string, box: Partition['box'], part: Partial<Partition> = {}): Partition => ({
  id: `shop.orders/${name}`,
  keyspace: 'shop.orders',
  name,
  box,
  collection: `orders.${name}`,
  epoch: 1,
  route: { source: 'a', target: null, boundary: box[0].low, fence: null },
  attempt: 0,
  gates: [],
  handover: null,
  lastMovedAt: null,
  ...part,
});
const all = (count: number) => equalIntervals(count).map((box, i) => partition(`p${i}`, [box]));
const token = fc.bigInt({ min: TOKEN_MIN, max: TOKEN_END - 1n });
const one = () => partition('p', [{ low: 0n, high: 100n }]);

describe('the route table', () => {
  it('finds the one partition that a token lies in', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 64 }), fc.array(token, { maxLength: 20 }), (count, tokens) => {
        const table = new RouteTable();
        const partitions = all(count);
        table.load(partitions);
        const edges = partitions.flatMap(({ box }) => [box[0].low, box[0].high - 1n]);
        for (const each of [...tokens, ...edges]) {
          const wanted = partitions.find(({ box }) => each >= box[0].low && each < box[0].high);
          expect(table.find('shop.orders', each)?.partition).toEqual(wanted);
        }
      }),
    );
  });

  it('finds nothing in a gap, below, above, and in a keyspace that it does not know', () => {
    const table = new RouteTable();
    table.load([partition('p0', [{ low: 0n, high: 10n }]), partition('p1', [{ low: 20n, high: 30n }])]);
    for (const outside of [-1n, 10n, 19n, 30n]) expect(table.find('shop.orders', outside)).toBeUndefined();
    expect(table.find('shop.orders', 20n)?.partition.name).toBe('p1');
    expect(table.find('shop.invoices', 5n)).toBeUndefined();
    expect([table.has('shop.orders'), table.has('shop.invoices')]).toEqual([true, false]);
  });

  it('keeps the object of a partition when it is loaded again, whatever the order', () => {
    const table = new RouteTable();
    const [first, second] = all(2) as [Partition, Partition];
    table.load([second]);
    const known = table.find('shop.orders', 5n);
    table.load([{ ...second, epoch: 4 }, first]);
    expect(table.find('shop.orders', 5n)).toBe(known);
    expect(known?.epoch).toBe(4);
    expect(table.find('shop.orders', -5n)?.partition).toEqual(first);
  });

  it('finds every partition while some are split and joined, whatever comes first', () => {
    const table = new RouteTable();
    const [first, second, third] = all(3) as [Partition, Partition, Partition];
    table.load([third, first, second]);
    const middle = (second.box[0].low + second.box[0].high) / 2n;
    const half = { ...second, box: [{ low: second.box[0].low, high: middle }] as Partition['box'], epoch: 2 };
    const other = partition('p3', [{ low: middle, high: second.box[0].high }], { epoch: 2 });
    expect(table.load([other, half])).toEqual([other, half]);
    const names = (at: readonly bigint[]) => at.map((each) => table.find('shop.orders', each)?.partition.name);
    expect(names([TOKEN_MIN, middle - 1n, middle, TOKEN_END - 1n])).toEqual(['p0', 'p1', 'p3', 'p2']);
    expect(table.all('shop.orders').map((route) => route.partition.name)).toEqual(['p0', 'p1', 'p3', 'p2']);
    table.load([{ ...second, epoch: 3 }]);
    expect(names([middle - 1n, middle])).toEqual(['p1', 'p1']);
    expect([table.size, table.route('shop.orders/p3')]).toEqual([3, undefined]);
  });

  it('tells tokens apart that are next to each other', () => {
    const table = new RouteTable();
    const low = 2n ** 62n;
    const some = Array.from({ length: 2_000 }, (_, i) => {
      return partition(`p${i}`, [{ low: low + BigInt(i), high: low + BigInt(i) + 1n }]);
    });
    table.load([...some].reverse());
    for (const each of some) expect(table.find('shop.orders', each.box[0].low)?.partition.name).toBe(each.name);
    expect([low - 1n, low + 2_000n].map((each) => table.find('shop.orders', each))).toEqual([undefined, undefined]);
  });

  it('knows in which collections a keyspace is, also those that come later', () => {
    const table = new RouteTable();
    const some = all(2);
    table.load(some);
    const collections = table.collectionsOf('shop.orders');
    const [first, second] = some as [Partition, Partition];
    const has = (names: readonly string[]) => names.map((name) => collections.has('a', name));
    expect(has([first.collection, second.collection, 'orders', 'orders.p9'])).toEqual([true, true, false, false]);
    table.load([{ ...first, epoch: 2, shared: { node: 'a', collection: 'orders' } }]);
    expect([collections.has('a', 'orders'), collections.has('b', 'orders')]).toEqual([true, false]);
    expect(table.collectionsOf('shop.orders')).toBe(collections);
  });

  it('knows the nodes of each keyspace by itself', () => {
    const table = new RouteTable();
    const [first] = all(1) as [Partition];
    table.load([first]);
    const since = performance.now() + 1;
    expect([[...table.nodes('shop.orders')], [...table.nodes('shop.other')]]).toEqual([[first.route.source], []]);
    expect(table.nodesNamedSince('shop.orders', 0)).toEqual([first.route.source]);
    expect(table.nodesNamedSince('shop.orders', since)).toEqual([]);
    expect(table.nodesNamedSince('shop.other', 0)).toEqual([]);
  });

  it('keeps all that a partition is, also what few have', () => {
    const table = new RouteTable();
    const shared = { shared: { node: 'a', collection: 'orders' } };
    const moving = {
      handover: { migration: 'm', target: 'b', state: { kind: 'idle' } },
      route: { source: 'a', target: 'b', boundary: 7n, fence: { low: 7n, high: 9n } },
      gates: ['g1'],
      lastMovedAt: 5,
    } as const;
    const some = [one(), { ...one(), ...shared, epoch: 2 }, { ...one(), ...moving, epoch: 3 }];
    for (const each of some) {
      table.load([each]);
      expect(table.find('shop.orders', 5n)?.partition).toEqual(each);
    }
  });
});

describe('the routes of a keyspace that was released and made again', () => {
  it.each([
    ['fewer', 4, 2],
    ['more', 2, 4],
  ])('with %s partitions replace those of before, whatever epoch these had reached', (_, before, after) => {
    const table = new RouteTable();
    table.load(all(before).map((each) => ({ ...each, epoch: 70 })));
    const again = all(after).map((each) => ({ ...each, epoch: 1_000 }));
    for (const each of again) table.load([each]);
    for (const each of again) {
      for (const bound of [each.box[0].low, each.box[0].high - 1n]) {
        expect(table.find('shop.orders', bound)?.partition).toEqual(each);
      }
    }
    for (let i = after; i < before; i++) expect(table.route(`shop.orders/p${i}`)).toBeUndefined();
  });
});

describe('a route', () => {
  it('takes newer epochs only: an older one that arrives late changes nothing', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(9), { minLength: 1 }), (epochs) => {
        const route = new PartitionRoute(one());
        let highest = 1;
        for (const epoch of epochs) {
          expect(route.update({ ...one(), epoch })).toBe(epoch > highest);
          highest = Math.max(highest, epoch);
          expect(route.epoch).toBe(highest);
        }
      }),
    );
  });

  it('wakes those who wait for a change when the epoch rises, and not before', async () => {
    const route = new PartitionRoute(one());
    let woken = 0;
    const waits = [1, 2, 3].map(() => route.nextChange(performance.now() + 10_000).then(() => woken++));
    route.update({ ...one(), epoch: 1 });
    await Promise.resolve();
    expect(woken).toBe(0);
    route.update({ ...one(), epoch: 2 });
    await Promise.all(waits);
    expect(woken).toBe(3);
  });

  it('lets nobody wait beyond the deadline', async () => {
    const startedAt = performance.now();
    await new PartitionRoute(one()).nextChange(startedAt + 30);
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    await new PartitionRoute(one()).nextChange(startedAt - 1);
  });

  it('knows nobody to write a fenced token to, and still whom to read it from', () => {
    const claimed = transition(one(), { kind: 'claim', migration: 'm', target: 'b' });
    const fenced = transition(transition(claimed, { kind: 'publish' }), { kind: 'begin', boundary: 50n });
    const route = new PartitionRoute(one());
    route.update(fenced);
    expect([route.writeOwner(49n), route.writeOwner(50n)]).toEqual([null, 'a']);
    expect([route.readOwner(49n), route.readOwner(50n)]).toEqual(['a', 'a']);
  });
});

describe('draining a route', () => {
  const interval = { low: 0n, high: 50n };
  const isOver = async (drained: Promise<void>) =>
    Promise.race([drained.then(() => true), new Promise<boolean>((resolve) => setTimeout(resolve, 10, false))]);

  it('waits for the writes of the interval, and for no others', async () => {
    const route = new PartitionRoute(one());
    const [inside, outside, both] = [[10n], [50n], [60n, 49n]];
    for (const write of [inside, outside, both]) route.beginWrite(write);
    const drained = route.drain(interval);
    expect(await isOver(drained)).toBe(false);
    route.endWrite(inside);
    expect(await isOver(drained)).toBe(false);
    route.endWrite(both);
    expect(await isOver(drained)).toBe(true);
  });

  it('of nothing is over at once', async () => {
    const route = new PartitionRoute(one());
    route.beginWrite([99n]);
    expect(await isOver(route.drain(interval))).toBe(true);
  });

  it('tells two writes of one token apart', async () => {
    const route = new PartitionRoute(one());
    const [first, second] = [[5n], [5n]];
    route.beginWrite(first);
    route.beginWrite(second);
    const drained = route.drain(interval);
    route.endWrite(first);
    expect(await isOver(drained)).toBe(false);
    route.endWrite(second);
    expect(await isOver(drained)).toBe(true);
  });

  it('can be waited for by several', async () => {
    const route = new PartitionRoute(one());
    const write = [5n];
    route.beginWrite(write);
    const drains = [route.drain(interval), route.drain({ low: 5n, high: 6n }), route.drain({ low: 6n, high: 7n })];
    expect(await isOver(drains[2]!)).toBe(true);
    route.endWrite(write);
    await Promise.all(drains);
  });
});
