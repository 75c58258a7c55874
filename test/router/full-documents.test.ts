import type { Document } from 'mongodb';
import { Timestamp } from 'mongodb';
import { expect, it } from 'vitest';
import type { Partition } from '../../domain/partition.js';
import { TOKEN_END, TOKEN_MIN } from '../../domain/token.js';
import type { OpenPiece } from '../../router/pieces.js';
import { PartitionRoute } from '../../router/route-table.js';
import type { Router } from '../../router/router.js';
import { DocumentLookUp } from '../../router/watch/full-documents.js';
import type { ShownEvent } from '../../router/watch/merged-log.js';

const partition: Partition = {
  ...{ id: 'shop.orders/p0', keyspace: 'shop.orders', name: 'p0', box: [{ low: TOKEN_MIN, high: TOKEN_END }] },
  ...{ collection: 'orders.p0', epoch: 2, attempt: 0, gates: [], handover: null, lastMovedAt: null },
  route: { source: 'b', target: null, boundary: TOKEN_MIN, fence: null },
};

it('a document that has moved is looked up at the new owner’s primary, which has all that came with it', async () => {
  const asked: Document[] = [];
  const find = (_filter: Document, options: Document) => {
    asked.push(options);
    return { toArray: () => Promise.resolve([]), [Symbol.asyncIterator]: () => [][Symbol.iterator]() };
  };
  const collection = { find };
  const piece = { node: 'b', collection, delivered: () => undefined } as unknown as OpenPiece;
  const router = {
    deadline: () => performance.now() + 1_000,
    routesOf: () => [{ route: new PartitionRoute(partition) }],
    scatter: {
      ask: (_keyspace: unknown, _units: unknown, _session: unknown, request: (on: OpenPiece) => Promise<unknown>) =>
        Promise.all([request(piece)]),
    },
  };
  const session = { advanceOperationTime: () => undefined, endSession: () => Promise.resolve() };
  const client = { startSession: () => session, db: () => ({ collection: () => collection }) };
  const event = {
    ...{ operationType: 'update', ns: { db: 'shop', coll: 'orders.p0' }, documentKey: { _id: 1 } },
    clusterTime: new Timestamp({ t: 1, i: 1 }),
  };
  const shown = { event, log: { node: 'a', client } } as unknown as ShownEvent;
  const keyspace = { name: 'shop.orders', database: 'shop', field: 'customerId' };
  const { documents } = await new DocumentLookUp(router as unknown as Router, keyspace).of([shown]);
  expect([...documents.values()]).toEqual([null]);
  expect(asked).toMatchObject([
    { session },
    { readPreference: 'primary', readConcern: { level: 'linearizable' }, maxTimeMS: expect.any(Number) as number },
  ]);
});
