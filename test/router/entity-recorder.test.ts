import { MongoNetworkError } from 'mongodb';
import { describe, expect, it } from 'vitest';
import type { EntityUse } from '../../domain/entity-sessions.js';
import type { EntityRecorderOptions } from '../../router/entity-recorder.js';
import { EntityRecorder } from '../../router/entity-recorder.js';

const HOUR_MS = 3_600_000;
const START = Date.parse('2026-06-01T10:00:00Z');

function recorder(part: Partial<EntityRecorderOptions> = {}) {
  const written: EntityUse[][] = [];
  const problems: string[] = [];
  const clock = { now: START };
  const entities = new EntityRecorder({
    flushMs: HOUR_MS,
    now: () => clock.now,
    write: (use) => {
      written.push(use);
      return Promise.resolve();
    },
    onProblem: (problem) => problems.push(problem),
    ...part,
  });
  return { entities, clock, written, problems };
}

describe('entities used together', () => {
  it('are written by the hour, those of sessions that are over; an hour that goes on is written again, as a whole', async () => {
    const { entities, clock, written } = recorder();
    for (const entity of [1n, 2n]) entities.use(7, 'shop.orders', entity);
    entities.use(undefined, 'shop.orders', 3n);
    entities.use(7, 'shop.carts', 4n);
    await entities.flush();
    expect(written).toEqual([]);
    clock.now += 60_000;
    await entities.flush();
    const orders = { keyspace: 'shop.orders', hour: START };
    expect(written.at(-1)).toMatchObject([
      { ...orders, sessions: 1, pairs: [['1', '2', 1]] },
      { keyspace: 'shop.carts', sessions: 1, pairs: [] },
    ]);
    entities.useAll(8, 'shop.orders', [1n, 2n]);
    entities.useAll(8, 'shop.orders', 'all');
    await entities.close();
    expect(written.at(-1)![0]).toMatchObject({ ...orders, sessions: 2, pairs: [['1', '2', 2]] });
    expect(JSON.stringify(written)).not.toContain('"3"');
  });

  it('are not looked at where nothing is written', async () => {
    const { entities, written } = recorder({ write: undefined });
    entities.use(7, 'shop.orders', 1n);
    await entities.close();
    expect(written).toEqual([]);
  });

  it('wait for a catalog that is away, each hour once', async () => {
    let isAway = true;
    const written: EntityUse[] = [];
    const { entities, clock, problems } = recorder({
      write: (use) => {
        if (isAway) return Promise.reject(new MongoNetworkError('away'));
        written.push(...use);
        return Promise.resolve();
      },
    });
    for (let minute = 0; minute < 300; minute++) {
      for (const entity of [1n, 2n]) entities.use(7, 'shop.orders', entity);
      clock.now += 60_000;
      await entities.flush();
    }
    expect(new Set(problems)).toEqual(new Set(['writing entities used together']));
    isAway = false;
    await entities.close();
    const byHour = new Map(written.map(({ hour, sessions }) => [hour, sessions]));
    expect([...byHour]).toEqual([0, 1, 2, 3, 4].map((hour) => [START + hour * HOUR_MS, 60]));
    expect(written.length).toBeLessThan(70);
  });

  it('are written early where time goes fast', () => {
    const { entities, clock, written } = recorder();
    for (let hour = 0; hour < 100; hour++) {
      entities.use(7, 'shop.orders', 1n);
      clock.now += HOUR_MS;
    }
    expect(written.flat().length).toBeGreaterThan(5);
  });

  it('are those of few keyspaces: what is kept in memory is bounded', async () => {
    const { entities, written } = recorder();
    for (let i = 0; i < 1_000; i++) entities.use(7, `shop.k${i}`, 1n);
    await entities.close();
    expect(written.flat()).toHaveLength(16);
  });
});
