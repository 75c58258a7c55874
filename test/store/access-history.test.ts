import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AccessRecord } from '../../domain/access.js';
import { AccessRecorder } from '../../router/access-recorder.js';
import { Catalog } from '../../store/catalog/catalog.js';
import { latenciesAt, latencyBin } from '../../store/latency-sketch.js';
import { useServers } from './servers.js';

const { uris } = useServers(1);
/** Older records would expire. */
const START = Math.floor(Date.now() / 10_000) * 10_000;
let catalog: Catalog;
beforeAll(async () => {
  catalog = await Catalog.open(uris[0]!);
});
afterAll(() => catalog.close());

const recorder = (now: () => number) =>
  new AccessRecorder({
    flushMs: 3_600_000,
    now,
    random: Math.random,
    write: (records) => catalog.access.append(records),
    onProblem: (problem, error) => {
      throw new Error(problem, { cause: error });
    },
  });
/** As they were before there were sketches. */
const old = (keyspace: string): AccessRecord => ({
  keyspace,
  partition: 'p0',
  node: 'a',
  region: 'eu',
  time: START + 500,
  reads: 7,
  writes: 3,
  errors: 1,
  latencyMs: { sum: 50, max: 9 },
  clients: [['10.0.0.0/24', 10]],
  tokens: [[5n, 10]],
});

describe('a latency sketch', () => {
  it('gives quantiles to 2 %', () => {
    const bins = Array.from({ length: 1_000 }, (_, i) => [latencyBin(0.05 * (i + 1)), 1] as const);
    const [median, p99, longest] = latenciesAt([0.5, 0.99, 1], bins) as [number, number, number];
    for (const [found, exact] of [
      [median, 25],
      [p99, 49.5],
      [longest, 50],
    ]) {
      expect(Math.abs(found! / exact! - 1)).toBeLessThan(0.025);
    }
  });

  it('takes whatever a clock may say', () => {
    for (const ms of [0, -1, 1e12]) expect(Number.isInteger(latencyBin(ms))).toBe(true);
    expect(latenciesAt([0.5], [])).toEqual([NaN]);
  });
});

describe('access records of several routers', () => {
  it('are merged over routers and time: latencies, different clients, tokens', async () => {
    let now = START;
    const routers = [recorder(() => now), recorder(() => now), recorder(() => now)];
    const all: number[] = [];
    for (let interval = 0; interval < 3; interval++) {
      for (const [r, each] of routers.entries()) {
        for (let i = 0; i < 600; i++) {
          const ms = 1 + ((i * 7 + interval + r) % 100);
          if (r < 2) all.push(ms);
          // Half of the networks are seen by both routers of the region.
          const network = `10.${interval}.${i + 300 * r}.0/24`;
          const origin = { region: r < 2 ? 'eu' : 'us', network };
          each.count(origin, 'shop.merged', 'p0', 'a', BigInt(i % 3), 'reads', ms, false);
        }
      }
      await Promise.all(routers.map((each) => each.flush()));
      now += 1_000;
    }
    await Promise.all(routers.map((each) => each.close()));
    const latencies = await catalog.access.latencies('shop.merged', 0, [0.5, 0.99]);
    expect(latencies).toMatchObject([
      { partition: 'p0', region: 'eu', requests: 3_600 },
      { partition: 'p0', region: 'us', requests: 1_800 },
    ]);
    all.sort((a, b) => a - b);
    const [median, p99] = latencies[0]!.latencyMs;
    expect(Math.abs(median! / all[1_800]! - 1)).toBeLessThan(0.05);
    expect(Math.abs(p99! / all[3_564]! - 1)).toBeLessThan(0.05);
    // 3 intervals of 600 + 300 + 300 networks.
    const distinct = (await catalog.access.distinctClients('shop.merged', 0)).get('p0')!;
    expect(Math.abs(distinct / 3_600 - 1)).toBeLessThan(0.2);
    expect(await catalog.access.tokenLoads('shop.merged', 'p0', 0)).toEqual(
      expect.arrayContaining([0n, 1n, 2n].map((token) => ({ token, load: 1_800 }))),
    );
  });

  it('are read beside older ones, which have no sketches', async () => {
    const one = recorder(() => START + 1_000);
    one.count({ region: 'eu', network: '10.0.0.0/24' }, 'shop.older', 'p0', 'a', 5n, 'reads', 4, false);
    one.addBytes({ origin: { region: 'eu' }, keyspace: 'shop.older', partition: 'p0', node: 'a' }, 'read', 700);
    await catalog.access.append([old('shop.older')]);
    const { access } = catalog;
    const windows = () => access.windows('shop.older', START, START + 2_000, 2_000);
    expect((await windows())[0]).not.toHaveProperty('bytes');
    await one.close();
    expect(await windows()).toMatchObject([
      {
        ...{ partition: 'p0', region: 'eu', reads: 8, writes: 3, errors: 1, latencyMsSum: 54, latencyMsMax: 9 },
        bytes: { read: 700, written: 0, requests: 1 },
      },
    ]);
    expect((await access.clients('shop.older', 0)).get('p0')).toEqual([['10.0.0.0/24', 11]]);
    expect((await access.distinctClients('shop.older', 0)).get('p0')).toBe(1);
    expect(await access.latencies('shop.older', 0, [0.5])).toMatchObject([{ requests: 1 }]);
    expect(await access.tokenLoads('shop.older', 'p0', 0)).toEqual([{ token: 5n, load: 11 }]);
    expect((await access.served('shop.older', 'p0', 0)).get('a')).toMatchObject({ requests: 11, errors: 1 });
  });
});
