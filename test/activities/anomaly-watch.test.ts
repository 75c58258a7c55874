import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Found } from '../../activities/anomaly-watch.js';
import { AnomalyWatch } from '../../activities/anomaly-watch.js';
import type { AccessWindow } from '../../domain/access.js';
import { AnomalyDetector } from '../../domain/anomaly.js';
import type { AccessHistory } from '../../store/catalog/access-history.js';

const WINDOW = 300_000;
const DAY = 288;

/** Requests of a partition in a window, counted from 1970; undefined where there is no record. */
type Load = (partition: string, step: number) => number | undefined;

class Access {
  constructor(
    readonly partitions: readonly string[],
    readonly load: Load,
    readonly spread: (step: number) => boolean = () => false,
  ) {}

  readonly windows = (_: string, from: number, to: number): Promise<AccessWindow[]> => {
    const counts = { region: 'eu', writes: 0, errors: 0, latencyMsSum: 0, latencyMsMax: 0, clients: [] };
    const windows: AccessWindow[] = [];
    for (let step = from / WINDOW; step < to / WINDOW; step++) {
      for (const partition of this.partitions) {
        const reads = this.load(partition, step);
        if (reads === undefined) continue;
        windows.push({ partition, start: step * WINDOW, ...counts, reads, spread: this.spread(step) });
      }
    }
    return Promise.resolve(windows);
  };
}

/** It looks up to the end of windows, counted from 1970. */
function watchOf(access: Pick<Access, 'windows'>, days = 14) {
  const watch = new AnomalyWatch(access as unknown as AccessHistory, 'shop.orders', WINDOW, days * DAY * WINDOW);
  return async (steps: number, owners: Readonly<Record<string, string>> = {}): Promise<readonly Found[]> => {
    const { signal } = new AbortController();
    const found = await watch.lookUpTo(steps * WINDOW, new Map(Object.entries(owners)), signal);
    watch.told();
    return found;
  };
}

it('what is usual is learnt from windows, and not from shares of an hour, which are smoother', async () => {
  const load: Load = (_, step) => (step === 14 * DAY ? 1_000 : 100);
  const found = (spread: boolean) =>
    watchOf(new Access(['p0'], load, (step) => spread && step < 14 * DAY))(14 * DAY + 1);
  expect(await found(false)).toMatchObject([{ of: 'partition', subject: 'p0' }]);
  expect(await found(true)).toEqual([]);
});

it('a partition that was not used before has been at nothing since the first record', async () => {
  const load: Load = (partition, step) => (partition === 'old' ? 100 : step < 14 * DAY ? undefined : 500);
  const found = await watchOf(new Access(['old', 'new'], load))(14 * DAY + 1);
  expect(found).toMatchObject([
    { subject: 'new', at: 14 * DAY * WINDOW, anomaly: { kind: 'record', index: 14 * DAY - 1 } },
  ]);
});

describe('the process goes on with other things', () => {
  /** Windows that series have taken: in all, and at most between two turns of the event loop. */
  const taken = { total: 0, sinceTurn: 0, most: 0 };
  const next = Object.getOwnPropertyDescriptor(AnomalyDetector.prototype, 'next')!;
  const original = next.value as AnomalyDetector['next'];
  let turn: NodeJS.Immediate;

  beforeEach(() => {
    Object.assign(taken, { total: 0, sinceTurn: 0, most: 0 });
    AnomalyDetector.prototype.next = function (value) {
      taken.total += 1;
      taken.most = Math.max(taken.most, ++taken.sinceTurn);
      return original.call(this, value);
    };
    const again = () => {
      taken.sinceTurn = 0;
      turn = setImmediate(again);
    };
    again();
  });
  afterEach(() => {
    clearImmediate(turn);
    Object.defineProperty(AnomalyDetector.prototype, 'next', next);
  });

  const names = Array.from({ length: 200 }, (_, i) => `p${i}`);
  const owners = Object.fromEntries(names.map((name, i) => [name, `n${i % 2}`]));

  it('while many partitions are seen for the first time, late, and nodes learn what they had', async () => {
    const load: Load = (partition, step) => (partition === 'p0' || step >= 7 * DAY ? 100 : undefined);
    await watchOf(new Access(names, load), 7)(7 * DAY + 1, owners);
    // Its turn and ours: 1,000 each.
    expect(taken.most).toBeLessThanOrEqual(2_000);
    // Seven days of p0, of what is not used, of one node with p0 and of two with all; one window of the others.
    expect(taken.total).toBeLessThan(5 * 7 * DAY + 3 * names.length);
  });

  it('and a look after a pause takes no more than its windows', async () => {
    const look = watchOf(new Access(names.slice(0, 20), () => 100), 7);
    await look(7 * DAY, owners);
    const before = taken.total;
    await look(7 * DAY + 10, owners);
    expect(taken.total - before).toBe(10 * (20 + 2 + 1));
  });
});

it('what a node has learnt is the same whether it was looked at in every window or not', async () => {
  const access = new Access(['p0', 'p1'], (partition, step) => {
    const usual = 100 + ((step * 7) % 13);
    return partition === 'p1' && step >= 5 * DAY + 20 ? 3 * usual : usual;
  });
  const owners = { p0: 'a', p1: 'a' };
  const often = watchOf(access, 5);
  const seldom = watchOf(access, 5);
  for (let step = 5 * DAY; step <= 5 * DAY + 20; step++) expect(await often(step, owners)).toEqual([]);
  await seldom(5 * DAY, owners);
  await seldom(5 * DAY + 20, owners);
  const found = await often(5 * DAY + 21, owners);
  expect(found).toMatchObject([{ subject: 'p1' }, { of: 'node', subject: 'a' }]);
  expect(await seldom(5 * DAY + 21, owners)).toEqual(found);
});

describe('history', () => {
  /** A look at that many days, and how many rows each answer had: there are so many in each window. */
  const asked = (partitions: number, days: number, fails: (question: number) => boolean = () => false) => {
    const names = Array.from({ length: partitions }, (_, i) => `p${i}`);
    const access = new Access(names, (_, step) => (step === 3 * DAY ? 1_000 : 100));
    const rows: number[] = [];
    let questions = 0;
    const look = watchOf(
      {
        windows: async (...question) => {
          if (fails(++questions)) throw new Error('no catalog');
          const windows = await access.windows(...question);
          rows.push(windows.length);
          return windows;
        },
      },
      days,
    );
    return { rows, look };
  };

  it('is asked for by the hour where many partitions are in use, and by the day where few are', async () => {
    const many = asked(2_000, 0.25);
    await many.look(3 * DAY);
    expect(many.rows.reduce((sum, each) => sum + each, 0)).toBe(0.25 * DAY * 2_000);
    expect(Math.max(...many.rows)).toBeLessThanOrEqual(60_000);
    const few = asked(2, 3);
    await few.look(3 * DAY);
    expect(Math.max(...few.rows)).toBe(2 * DAY);
    expect(few.rows.length).toBeLessThan(10);
  });

  it('that could not be read is read by the next look, and nothing of the others again', async () => {
    const { rows, look } = asked(2, 3, (question) => question % 3 === 0);
    let failures = 0;
    let found: readonly Found[] | undefined;
    while (found === undefined) {
      found = await look(3 * DAY + 1).catch(() => void (failures += 1));
    }
    expect(failures).toBeGreaterThan(1);
    expect(rows.reduce((sum, each) => sum + each, 0)).toBe(2 * 3 * DAY);
    expect(found.map(({ subject, at }) => [subject, at / WINDOW])).toEqual([
      ['p0', 3 * DAY],
      ['p1', 3 * DAY],
    ]);
  });
});
