import { describe, expect, it } from 'vitest';
import type { Pressure } from '../../store/node-pressure.js';
import { giveWay, PressureGauge, readPressure } from '../../store/node-pressure.js';
import { Throttle } from '../../store/throttle.js';
import { useServers } from './servers.js';

const { clients } = useServers(1);

describe('the pressure on a node', () => {
  it('is told by the server itself', async () => {
    const before = await readPressure(clients[0]!);
    const orders = clients[0]!.db('shop').collection('orders');
    for (let i = 0; i < 20; i++) await orders.insertOne({ i });
    const after = await readPressure(clients[0]!);
    expect(after.writes!.count - before.writes!.count).toBeGreaterThanOrEqual(20);
    expect(after.writes!.micros).toBeGreaterThan(before.writes!.micros);
    expect(after.queued).toBe(0);
    expect(after.cacheDirtyShare).toBeLessThan(0.1);
    expect(after.majorityLagSeconds).toBeLessThan(2);
  });

  it.each<[string, Pressure]>([
    ['its cache is full of changes', { cacheDirtyShare: 0.19 }],
    ['operations are waiting', { queued: 40 }],
    ['a majority is', { majorityLagSeconds: 5 }],
  ])('is high when %s', (reason, pressure) => {
    expect(new PressureGauge(true).look({ cacheDirtyShare: 0.05, queued: 1, majorityLagSeconds: 0 })).toBeUndefined();
    expect(new PressureGauge(true).look(pressure)).toContain(reason);
  });

  /** Looks, each after 100 writes that took so long on average. */
  const looks = (gauge: PressureGauge, ms: readonly number[]) => {
    let [count, micros] = [0, 0];
    return ms.map((mean) => gauge.look({ writes: { count: (count += 100), micros: (micros += 100 * mean * 1000) } }));
  };

  it('is high when writes take much longer than usual', () => {
    expect(looks(new PressureGauge(false), [2, 2, 4, 1, 9, 1])).toEqual([
      undefined, undefined, undefined, undefined, 'writes take 9.0 ms instead of 1.0 ms', undefined,
    ]); // prettier-ignore
  });

  it('is not told by writes where these are those of the copy', () => {
    expect(looks(new PressureGauge(true), [2, 2, 900])).toEqual([undefined, undefined, undefined]);
  });

  it('gets used to what stays', () => {
    const reasons = looks(new PressureGauge(false), [1, 1, ...Array<number>(200).fill(8)]);
    expect(reasons[2]).toBeDefined();
    expect(reasons.at(-1)).toBeUndefined();
  });
});

describe('work that gives way', () => {
  it('is slowed down under pressure, and is as fast as it was when that is over', async () => {
    let queued = 0;
    const node = {
      db: () => ({ command: () => Promise.resolve({ globalLock: { currentQueue: { total: queued } } }) }),
    };
    const throttle = new Throttle(0);
    const told: string[] = [];
    const rates: number[] = [];
    const nodes = [{ name: 'a', client: node as never, ownWrites: false }];
    await giveWay(nodes, throttle, (name, reason) => told.push(`${name}: ${reason}`), async () => {
      for (const waiting of [0, 50, 51, 0]) {
        queued = waiting;
        const until = performance.now() + 1_200;
        while (performance.now() < until) {
          await throttle.take(20_000, 1);
          await new Promise((resolve) => setTimeout(resolve, 2));
        }
        rates.push(throttle.rate);
      }
    }); // prettier-ignore
    expect(rates[0]).toBe(Infinity);
    expect(rates[1]).toBeLessThan(8_000_000);
    expect(rates[2]).toBeLessThanOrEqual(rates[1]!);
    expect(rates[3]).toBeGreaterThan(rates[2]!);
    expect(told).toEqual([expect.stringMatching(/^a: 5[01] operations are waiting$/)]);
  });
});
