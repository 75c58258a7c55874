import { describe, expect, it } from 'vitest';
import type { Partition } from '../../domain/partition.js';
import { TOKEN_END, TOKEN_MIN } from '../../domain/token.js';
import type { RouteTable } from '../../router/route-table.js';
import { PartitionRoute } from '../../router/route-table.js';
import { Scatter } from '../../router/scatter.js';
import type { DroverSession } from '../../router/session.js';
import { SessionProgress } from '../../router/session-progress.js';

const partition = (name: string, low: bigint, high: bigint, more: Partial<Partition> = {}): Partition => ({
  ...{ id: `shop.orders/${name}`, keyspace: 'shop.orders', name, box: [{ low, high }], collection: `orders.${name}` },
  ...{ epoch: 1, attempt: 0, gates: [], handover: null, lastMovedAt: null },
  route: { source: 's', target: null, boundary: low, fence: null },
  ...more,
});
const movedTo = ({ partition: before }: PartitionRoute, node: string): Partition => ({
  ...before,
  epoch: before.epoch + 1,
  route: { ...before.route, source: node },
});
/** Two moments are never the same one. */
const later = () => new Promise((resolve) => setTimeout(resolve, 2));

describe('a session', () => {
  it('asks the new owner again after each answer of the one that has lost the tokens', async () => {
    const route = new PartitionRoute(partition('p0', TOKEN_MIN, TOKEN_END));
    const progress = new SessionProgress(undefined);
    await later();
    const chosenAt = performance.now();
    progress.use([route]);
    progress.readAt('s', [route], chosenAt);
    expect(progress.isBehind([route], 's')).toBe(false);
    await later();
    route.update(movedTo(route, 't'));
    expect(progress.isBehind([route], 't')).toBe(true);
    await later();
    progress.cover('t', performance.now());
    expect(progress.isBehind([route], 't')).toBe(false);
    // A cursor goes on, at what is a copy by now.
    progress.readAt('s', [route], chosenAt);
    expect(progress.isBehind([route], 't')).toBe(true);
    progress.cover('t', performance.now() + 1);
    // One that was opened at the new owner.
    progress.readAt('t', [route], chosenAt);
    expect(progress.isBehind([route], 't')).toBe(false);
  });

  it('has seen all pieces of a read from when it was looked up where they are', () => {
    const shared = { node: 's', collection: 'orders' };
    const routes = [partition('p0', TOKEN_MIN, 0n, { shared }), partition('p1', 0n, TOKEN_END, { shared })].map(
      (each) => new PartitionRoute(each),
    );
    routes[1]!.update(movedTo(routes[1]!, 't'));
    const client = { db: () => ({ collection: () => ({ collectionName: 'orders' }) }) };
    const scatter = new Scatter(
      {} as never,
      { all: () => routes } as unknown as RouteTable,
      { peek: () => client } as never,
      { count: () => undefined } as never,
      {} as never,
      {} as never,
      {} as never,
      {} as never,
    );
    const used: PartitionRoute[] = [];
    const session = {
      inTransaction: () => false,
      use: (some: readonly PartitionRoute[]) => used.push(...some),
      // The first piece's node is asked for its time.
      comeAlong: () => new Promise(() => undefined),
    };
    const keyspace = { name: 'shop.orders', database: 'shop', field: 'customerId' };
    const [unit] = scatter.units(keyspace, 'all');
    void scatter.open(keyspace, unit!, session as unknown as DroverSession);
    expect(new Set(used)).toEqual(new Set(routes));
  });
});
