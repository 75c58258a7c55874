import type { Document } from 'mongodb';
import { BSON } from 'mongodb';
import { describe, expect, it } from 'vitest';
import type { AccessBytes } from '../../domain/access-bytes.js';
import { totalBytes } from '../../domain/access-bytes.js';
import type { AccessRecorder } from '../../router/access-recorder.js';
import { random } from '../../examples/random.js';
import type { DroverClient } from '../../router/index.js';
import { SORT_KEY } from '../../router/merge.js';
import { lower, upper, useCluster } from './cluster.js';

const cluster = useCluster();

/** A client whose records are written when they are asked for. */
async function recording() {
  const client = await cluster.connect({ recordAccess: true, accessFlushMS: 3_600_000 });
  const { recorder } = client as unknown as { recorder: AccessRecorder };
  const windows = async () => {
    await recorder.flush();
    return cluster.catalog.access.windows(`shop.${cluster.name}`, 0, Date.now() + 60_000, 1e9);
  };
  const total = async (): Promise<AccessBytes> =>
    totalBytes(await windows()).bytes ?? { read: 0, written: 0, requests: 0 };
  /** What a request adds. */
  const bytesOf = async (request: () => Promise<unknown>) => {
    const before = await total();
    await request();
    const { read, written } = await total();
    return { read: read - before.read, written: written - before.written };
  };
  return { client, orders: cluster.orders(client), windows, total, bytesOf };
}

const size = (...documents: readonly Document[]) =>
  documents.reduce((sum, document) => sum + BSON.calculateObjectSize(document), 0);

describe('access records', () => {
  it('have the bytes of the documents that each request reads and writes', async () => {
    const { client, orders, bytesOf, total } = await recording();
    const document = (_id: number, customerId: string): Document => {
      return { _id, customerId, text: 'x'.repeat(50 + 100 * _id) };
    };
    const [a, b] = [document(0, lower[0]!), document(1, lower[1]!)];
    const [c, d] = [document(2, upper[0]!), document(3, upper[1]!)];
    const [key, keys] = [{ customerId: a['customerId'] }, { customerId: { $in: [lower[0], lower[1]] } }];
    const [update, wrong] = [{ $set: { n: 1 } }, { $inc: { text: 1 } }];
    const other = { customerId: lower[0], text: 'y'.repeat(70) };
    const sorted = (each: Document) => ({ ...each, [SORT_KEY]: [each['_id']] as unknown });
    const requests: readonly (readonly [string, () => Promise<unknown>, { read?: number; written?: number }])[] = [
      ['insertOne', () => orders.insertOne(a), { written: size(a) }],
      ['insertMany', () => orders.insertMany([b, c, d]), { written: size(b, c, d) }],
      ['findOne', () => orders.findOne(key), { read: size(a) }],
      ['findOne, at the owner', () => orders.findOne(key, { readConcern: 'linearizable' }), { read: size(a) }],
      ['findOne of bytes', () => orders.findOne(key, { raw: true }), { read: size(a) }],
      ['findOne without the key', () => orders.findOne({ _id: 3 as never }), { read: size(d) }],
      ['findOne of nothing', () => orders.findOne({ customerId: 'nobody' }), {}],
      ['find', () => orders.find().toArray(), { read: size(a, b, c, d) }],
      ['find in small batches', () => orders.find(keys, { batchSize: 1 }).toArray(), { read: size(a, b) }],
      [
        'find that is not read on',
        () => first(orders.find(keys, { batchSize: 1, sort: { _id: 1 } })),
        { read: size(a) },
      ],
      ['find in order', () => orders.find().sort({ _id: 1 }).toArray(), { read: size(...[a, b, c, d].map(sorted)) }],
      ['aggregate', () => orders.aggregate([{ $match: { text: d['text'] as string } }]).toArray(), { read: size(d) }],
      ['countDocuments', () => orders.countDocuments(), {}],
      ['distinct', () => orders.distinct('_id'), { read: size([0, 1], [2, 3]) }],
      ['distinct of a key', () => orders.distinct('_id', key), { read: size([0]) }],
      ['findOneAndUpdate', () => orders.findOneAndUpdate(key, update), { read: size(a), written: size(update) }],
      [
        'findOneAndReplace, with its metadata',
        () => orders.findOneAndReplace(key, other, { includeResultMetadata: true, returnDocument: 'after' }),
        { read: size({ _id: 0, ...other }), written: size(other) },
      ],
      ['updateOne', () => orders.updateOne(key, update), { written: size(update) }],
      ['updateOne by a pipeline', () => orders.updateOne(key, [update]), { written: size(update) }],
      ['updateMany of a key', () => orders.updateMany(key, update), { written: size(update) }],
      ['updateMany on two nodes', () => orders.updateMany({}, update), { written: 2 * size(update) }],
      ['updateMany in a transaction', () => inTransaction(client, keys, update), { written: size(update) }],
      ['replaceOne', () => orders.replaceOne(key, other), { written: size(other) }],
      ['an update that fails', () => orders.updateOne(key, wrong).catch(() => 0), { written: size(wrong) }],
      [
        'bulkWrite',
        () =>
          orders.bulkWrite([
            { insertOne: { document: { _id: 9 as never, ...other } } },
            { updateOne: { filter: key, update } },
            { replaceOne: { filter: { _id: 9 as never, ...key }, replacement: other } },
            { deleteOne: { filter: { _id: 9 as never, ...key } } },
          ]),
        { written: size({ _id: 9, ...other }, update, other) },
      ],
      ['findOneAndDelete', () => orders.findOneAndDelete(key), { read: size({ _id: 0, ...other, n: 1 }) }],
      ['deleteOne', () => orders.deleteOne({ customerId: lower[1] }), {}],
    ];
    for (const [name, request, { read = 0, written = 0 }] of requests) {
      expect(await bytesOf(request), name).toEqual({ read, written });
    }
    expect((await total()).requests).toBeGreaterThan(requests.length);
  });

  it('estimate bytes where there are many, by partition', async () => {
    const { orders, windows } = await recording();
    const next = random(11);
    const documents = Array.from({ length: 8_000 }, (_, _id) => ({
      ...{ _id: _id as never, customerId: (_id % 2 === 0 ? upper : lower)[0], text: 'x'.repeat(500 + 500 * next()) },
    }));
    await orders.insertMany(documents, { ordered: false });
    await orders.find().toArray();
    const found = await windows();
    expect(found).toHaveLength(2);
    for (const { partition, reads, writes, bytes } of found) {
      const [customerId] = partition === 'p0' ? lower : upper;
      const all = size(...documents.filter((document) => document.customerId === customerId));
      expect(Math.abs(bytes!.written / all - 1), `written to ${partition}`).toBeLessThan(0.15);
      expect(Math.abs(bytes!.read / all - 1), `read of ${partition}`).toBeLessThan(0.15);
      expect(bytes!.requests).toBe(reads + writes);
    }
  });
});

async function first(cursor: { next(): Promise<unknown>; close(): Promise<void> }): Promise<void> {
  await cursor.next();
  await cursor.close();
}

async function inTransaction(client: DroverClient, filter: Document, update: Document): Promise<void> {
  await using session = client.startSession();
  await session.withTransaction(() => cluster.orders(client).updateMany(filter, update, { session }));
}
