import type { MongoClient } from 'mongodb';
import { expect, it } from 'vitest';
import { NodePool } from '../../store/node-pool.js';

it('of the nodes that any request may go to, one with a primary is chosen', () => {
  const pool = new NodePool(new Map());
  const { connected, withPrimary } = pool as unknown as {
    connected: Map<string, MongoClient>;
    withPrimary: Map<string, boolean>;
  };
  const clients = ['a', 'b'].map((name) => ({ name }) as unknown as MongoClient);
  clients.forEach((client, i) => connected.set('ab'[i]!, client));
  withPrimary.set('a', false).set('b', true);
  expect(pool.any()).toBe(clients[1]);
  withPrimary.set('a', true);
  expect(pool.any()).toBe(clients[0]);
  withPrimary.set('a', false).set('b', false);
  expect(pool.any()).toBe(clients[0]);
});
