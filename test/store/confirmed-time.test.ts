import type { Db } from 'mongodb';
import { MongoNetworkError, MongoServerError, Timestamp } from 'mongodb';
import { expect, it } from 'vitest';
import { confirmedTime } from '../../store/confirmed-time.js';

const operationTime = new Timestamp({ t: 7, i: 1 });
const answer = { operationTime, $clusterTime: { clusterTime: operationTime } };

/** A node that answers so, one time after the other. */
function node(...answers: readonly unknown[]) {
  const times: number[] = [];
  const command = ({ maxTimeMS }: { maxTimeMS: number }) => {
    const next = answers[Math.min(times.push(maxTimeMS), answers.length) - 1];
    return next instanceof Error ? Promise.reject(next) : Promise.resolve(next);
  };
  return { db: { command } as unknown as Db, times };
}
const failure = (code: number) => new MongoServerError({ code, message: `failed with ${code}` });

it('a node’s time is asked for again after an election or a lost connection, within the time that is left', async () => {
  const { db, times } = node(new MongoNetworkError('lost'), failure(10107), failure(11602), answer);
  expect(await confirmedTime(db, 'orders', 5_000)).toMatchObject({ operationTime });
  expect(times).toHaveLength(4);
  expect(times[3]).toBeLessThan(times[0]!);
});

it('but not after what would not be better the next time, nor for longer than that', async () => {
  const refused = node(failure(13));
  await expect(confirmedTime(refused.db, 'orders', 5_000)).rejects.toMatchObject({ code: 13 });
  expect(refused.times).toHaveLength(1);
  const lost = node(new MongoNetworkError('lost'));
  await expect(confirmedTime(lost.db, 'orders', 200)).rejects.toThrow('lost');
  expect(lost.times.length).toBeGreaterThan(2);
});
