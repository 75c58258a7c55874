import { describe, expect, test } from 'vitest';
import { createClock } from '../../config/index.js';
import { CATALOG, load } from './fixture.js';

describe('the clock', () => {
  test('is real time without a configuration', async () => {
    const before = Date.now();
    const time = createClock(await load(CATALOG))();
    expect(time).toBeGreaterThanOrEqual(before);
    expect(time).toBeLessThanOrEqual(Date.now());
  });

  test('runs from another time at another rate', async () => {
    const configuration = await load(
      `${CATALOG}clock: { from: 2013-01-01, startedAt: "2026-05-01T12:00:00+02:00", rate: 60 }`,
    );
    let now = Date.parse('2026-05-01T10:00:00Z');
    const clock = createClock(configuration, () => now);
    expect(new Date(clock()).toISOString()).toBe('2013-01-01T00:00:00.000Z');
    now += 60_000;
    expect(new Date(clock()).toISOString()).toBe('2013-01-01T01:00:00.000Z');
    now -= 120_000;
    expect(new Date(clock()).toISOString()).toBe('2012-12-31T23:00:00.000Z');
  });

  test('starts from its start when only the rate is given, in whole milliseconds', async () => {
    const configuration = await load(`${CATALOG}clock: { startedAt: 2026-05-01, rate: 0.5 }`);
    const start = Date.parse('2026-05-01');
    expect(createClock(configuration, () => start + 7)()).toBe(start + 3);
  });
});
