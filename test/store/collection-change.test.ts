import { expect, it } from 'vitest';
import { changeCollection } from '../../store/collection-change.js';
import { useServers } from './servers.js';

const { clients } = useServers(1);

it('changes a collection when a transaction that is in its way has ended, and holds no write up until then', async () => {
  const [client] = clients;
  const db = client!.db('changes');
  const orders = db.collection<{ _id: number }>('orders');
  await orders.createIndex({ a: 1 });
  const session = client!.startSession();
  session.startTransaction();
  await orders.insertOne({ _id: 1 }, { session });
  let changed = false;
  const change = changeCollection(db, { collMod: 'orders', index: { name: 'a_1', hidden: true } }).then(() => {
    changed = true;
  });
  let longest = 0;
  for (let i = 2; i < 12; i++) {
    const began = performance.now();
    await orders.insertOne({ _id: i });
    longest = Math.max(longest, performance.now() - began);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  expect(longest).toBeLessThan(400);
  expect(changed).toBe(false);
  await session.commitTransaction();
  await session.endSession();
  await change;
  expect((await orders.indexes()).find(({ name }) => name === 'a_1')).toMatchObject({ hidden: true });
});

it('is given up when nobody waits for it any more, and when the transaction goes on', { timeout: 30_000 }, async () => {
  const [client] = clients;
  const db = client!.db('changes');
  const orders = db.collection('late');
  await orders.createIndex({ a: 1 });
  const session = client!.startSession();
  session.startTransaction();
  await orders.insertOne({}, { session });
  const command = { collMod: 'late', index: { name: 'a_1', hidden: true } };
  await expect(changeCollection(db, command, AbortSignal.timeout(300))).rejects.toMatchObject({ name: 'AbortError' });
  await expect(changeCollection(db, command)).rejects.toMatchObject({ code: 'StepUndone' });
  await session.abortTransaction();
  await session.endSession();
});
