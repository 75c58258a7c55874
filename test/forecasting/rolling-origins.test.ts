import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { rollingOrigins } from '../../forecasting/backtest.js';

describe('the origins of a backtest', () => {
  it('are spread over four of the shortest season, as far as there is room', () => {
    expect(rollingOrigins(2016, { count: 5, horizon: 12, seasons: [288] })).toEqual([852, 1140, 1428, 1716, 2004]);
    expect(rollingOrigins(1000, { count: 3, horizon: 12, seasons: [288] })).toEqual([720, 854, 988]);
  });

  it('are spread over two of the longest season where that is more', () => {
    expect(rollingOrigins(800, { count: 3, horizon: 24, seasons: [24, 168] })).toEqual([440, 608, 776]);
  });

  it('are none where there is no room', () => {
    expect(rollingOrigins(72, { count: 3, horizon: 12, seasons: [24] })).toEqual([60]);
    expect(rollingOrigins(71, { count: 3, horizon: 12, seasons: [24] })).toEqual([]);
  });

  it('leave two seasons before and the whole horizon after them, oldest first', () => {
    const size = fc.integer({ min: 2, max: 300 });
    fc.assert(
      fc.property(size, size, size, fc.integer({ min: 1, max: 20 }), (length, horizon, season, count) => {
        const origins = rollingOrigins(length, { count, horizon, seasons: [season] });
        expect(origins.length).toBeLessThanOrEqual(count);
        expect(origins).toEqual([...new Set(origins)].sort((a, b) => a - b));
        for (const origin of origins) {
          expect(origin).toBeGreaterThanOrEqual(2 * season);
          expect(origin + horizon).toBeLessThanOrEqual(length);
        }
      }),
    );
  });
});
