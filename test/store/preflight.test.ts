import type { CopyLimits } from '../../domain/copy-limits.js';
import { describe, expect, it } from 'vitest';
import type { ChangeWindow } from '../../store/change-window.js';
import { changeWindow, runsOut, secondsLeft } from '../../store/change-window.js';
import type { Means } from '../../store/preflight.js';
import { obstacles, shortages } from '../../store/preflight.js';
import { connect } from '../../store/connect.js';
import { useServers } from './servers.js';

const { clients, uris } = useServers(2);

/** Written at a rate of 1 MB/s for an hour. */
const full: ChangeWindow = { oldest: 10_000, newest: 13_600, bytes: 3_600e6, mostBytes: 3_600e6 };
const half: ChangeWindow = { ...full, mostBytes: 7_200e6 };

describe('the change log', () => {
  it('is read from the server', async () => {
    await clients[0]!.db('shop').collection('orders').insertOne({});
    const { oldest, newest, bytes, mostBytes } = (await changeWindow(clients[0]!))!;
    expect(newest).toBeGreaterThanOrEqual(oldest);
    expect(Math.abs(newest - Date.now() / 1000)).toBeLessThan(30);
    expect(bytes).toBeGreaterThan(0);
    expect(mostBytes).toBeGreaterThan(bytes);
  });

  it('keeps what is written now for as long as it reaches back', () => expect(secondsLeft(full, 13_600)).toBe(3_600));
  it('keeps it for longer while it is not full', () => expect(secondsLeft(half, 13_600)).toBe(7_200));
  it('loses what is old sooner', () => expect(secondsLeft(full, 10_600)).toBe(600));
  it('says nothing before it has been written for a while', () =>
    expect(secondsLeft({ ...full, newest: 10_030 }, 10_030)).toBe(Infinity));

  it.each([
    ['a copy that is fast enough', 11_600, 1_000, undefined],
    ['one that has just begun, however slow', 13_000, 100_000, undefined],
    ['one that is too slow', 10_600, 2_700, /another 10 min, and the copy will take 68 min more/],
  ])('is enough or not for %s', (_, startAt, toGo, reason) => {
    const found = runsOut(full, startAt, toGo);
    if (reason === undefined) expect(found).toBeUndefined();
    else expect(found).toMatch(reason);
  });
});

const NO_LIMITS: CopyLimits = { maxMegabytesPerSecond: 0, maxDocumentsPerSecond: 0 };

describe('before a copy is begun', () => {
  const means: Means = { bytes: 1e9, documents: 1e6, bytesOnDisk: 1e9, indexes: 5, targetFreeBytes: 2e9, window: full };

  it.each<[string, Partial<Means>, Partial<CopyLimits>, RegExp | undefined]>([
    ['there is enough of everything', {}, {}, undefined],
    ['nothing is known', { targetFreeBytes: undefined, window: undefined }, {}, undefined],
    ['the disk is too small', { targetFreeBytes: 1.2e9 }, {}, /needs about 1.3 GB on the target's disk, where 1.2 GB/],
    ['there are too many indexes', { indexes: 60 }, {}, /60 indexes/],
    ['it is too large for the log', { bytes: 50e9 }, {}, /takes about 1.4 h, .* reaches back 1.0 h only/],
    ['it is to be too slow for the log', {}, { maxMegabytesPerSecond: 0.1 }, /takes about 2.8 h, .* back 1.0 h only/],
    ['they are too many for the log', {}, { maxDocumentsPerSecond: 100 }, /takes about 2.8 h, .* back 1.0 h only/],
  ])('it is known that %s', (_, some, given, reason) => {
    const found = shortages({ ...means, ...some }, { ...NO_LIMITS, ...given });
    if (reason === undefined) expect(found).toEqual([]);
    else expect(found).toEqual([expect.stringMatching(reason)]);
  });

  it('looks at real servers, and finds nothing in the way', async () => {
    await clients[0]!.db('shop').collection('orders').insertOne({});
    const copy = { database: 'shop', collection: 'orders', limits: NO_LIMITS };
    expect(await obstacles({ ...copy, source: clients[0]!, target: clients[1]! })).toEqual([]);
  });

  it('names rights that are missing', async () => {
    await clients[1]!.db('admin').command({ createUser: 'weak', pwd: 'weak', roles: ['readAnyDatabase'] });
    const uri = new URL(uris[1]!);
    [uri.username, uri.password] = ['weak', 'weak'];
    const target = await connect(uri.href, 'target');
    try {
      const copy = { database: 'shop', collection: 'orders', limits: NO_LIMITS };
      const [obstacle] = await obstacles({ ...copy, source: clients[0]!, target });
      expect(obstacle).toMatch(
        /lacks rights, grant them: insert on shop, at the target; .*collMod on shop, at the target/,
      );
      expect(obstacle).not.toContain('at the source');
    } finally {
      await target.close();
    }
  });
});
