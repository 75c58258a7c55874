import type { Collection, Db } from 'mongodb';
import { BSON, Long, MongoServerError, Timestamp } from 'mongodb';
import { beforeEach, describe, expect, it } from 'vitest';
import { createLanes, takeLanes } from '../../store/copy-lane.js';
import { PackedDocuments } from '../../store/packed-documents.js';
import { inNaturalOrder, writeRaw } from '../../store/raw-documents.js';
import { useServers } from './servers.js';
import { sourceAndTarget } from './source-and-target.js';

const { clients } = useServers(2);

let [source, target]: [Db, Db] = [undefined as never, undefined as never];
let [orders, copy]: [Collection, Collection] = [undefined as never, undefined as never];

beforeEach(async () => {
  ({ source, target, orders, copy } = await sourceAndTarget(clients));
});

const NOBODY = new Timestamp(0n);
const pack = (documents: readonly object[]) => PackedDocuments.of(documents.map((each) => BSON.serialize(each)));

/** A moment ago two of them had one value each after the other: it is unique. */
const COLLIDING = ['c', 'd', 'e', 'a', 'b'].map((_id) => ({
  _id,
  customerId: 'c1',
  slug: _id < 'c' ? 'same' : _id,
  ...(_id < 'c' ? { at: NOBODY } : {}),
}));

describe('documents as bytes', () => {
  it('leave errors to the driver as it decodes them, which compares what they say of a server', async () => {
    await orders.insertOne({ customerId: 'c1' });
    const session = clients[0]!.startSession();
    const after = { $recordId: Long.fromNumber(99) };
    const reading = inNaturalOrder(source, 'orders', { session, batchSize: () => 1, after });
    const error: unknown = await reading.next().catch((each: unknown) => each);
    await session.endSession();
    expect(error).toBeInstanceOf(MongoServerError);
    const { $clusterTime } = (error as MongoServerError).errorResponse as { $clusterTime?: { clusterTime: unknown } };
    expect($clusterTime?.clusterTime).toBeInstanceOf(Timestamp);
  });

  it('with a timestamp of zero are named when they are refused by what is unique', async () => {
    await copy.createIndex({ slug: 1, at: 1 }, { unique: true });
    const session = clients[1]!.startSession();
    const refused = await writeRaw(target, 'insert', 'orders', pack(COLLIDING), session);
    await session.endSession();
    expect(refused).toMatchObject({ code: 11000, index: COLLIDING.findIndex(({ _id }) => _id === 'b') });
  });

  it('with a timestamp of zero are left out of a copy alone when they are refused', async () => {
    await copy.createIndex({ slug: 1, at: 1 }, { unique: true });
    await createLanes(target, 'm');
    const { lanes } = await takeLanes(target, 'orders', 'm', 1);
    const none = { batches: 0, positions: [] };
    const inserted = await lanes[0]!.insert(pack(COLLIDING), none, none);
    await Promise.all(lanes.map((lane) => lane.end()));
    expect(inserted.documents).toBe(4);
    const there = await copy.find({}, { sort: { _id: 1 } }).toArray();
    expect(there.map(({ _id }) => String(_id))).toEqual(['a', 'c', 'd', 'e']);
    expect(there[0]).toMatchObject({ at: NOBODY });
  });
});
