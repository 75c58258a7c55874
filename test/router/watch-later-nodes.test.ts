import type { MongoClient, Timestamp } from 'mongodb';
import { expect, it } from 'vitest';
import type { Router } from '../../router/router.js';
import { LaterNodes } from '../../router/watch/later-nodes.js';
import type { NodeLog } from '../../router/watch/node-log.js';
import type { NodePosition } from '../../router/watch/position.js';

const SINCE = 1_800_000_000;
const MARGIN = 60;
const keyspace = { name: 'shop.orders', database: 'shop', field: 'customerId' };

/** Of a client whose routes have named no other node since; the catalog has these. */
function later(...nodes: readonly string[]) {
  const addedAt = new Map(nodes.map((node) => [node, new Date(0)]));
  const router = {
    leaseNumber: () => 1,
    scatter: {
      nodesNamedSince: () => [],
      connected: (some: Iterable<string>) => Promise.resolve(new Map([...some].map((node) => [node, {}]))),
    },
    keyspaces: { nodeHistory: { addedAt: () => Promise.resolve(addedAt) } },
  };
  const position = { nodes: new Map(), sent: new Set<string>(), since: new Date(SINCE * 1_000) };
  const start = { clients: new Map<string, MongoClient>(), position, at: 0, lease: 1 };
  const opened: [string, NodePosition][] = [];
  const nodesAfter = new LaterNodes(router as unknown as Router, keyspace, start, (node, _client, place) => {
    opened.push([node, place]);
    return { open: () => Promise.resolve(), node } as unknown as NodeLog;
  });
  return { nodesAfter, opened };
}

it('a node from which tokens have come is read from when it had nothing', async () => {
  const { nodesAfter, opened } = later('x');
  expect(await nodesAfter.next()).toEqual([]);
  expect(await nodesAfter.next('x')).toMatchObject([{ node: 'x' }]);
  expect(opened.map(([node]) => node)).toEqual(['x']);
  const behind = opened[0]![1].behind as Timestamp;
  expect(behind.getHighBitsUnsigned()).toBeGreaterThanOrEqual(Math.floor(Date.now() / 1_000) - MARGIN - 5);
});

it('and where it is not there any more, the stream says so instead of waiting', async () => {
  const { nodesAfter } = later();
  await expect(nodesAfter.next('x')).rejects.toMatchObject({ codeName: 'ChangeStreamHistoryLost' });
});
