import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { rollingOrigins } from '../../forecasting/backtest.js';

describe('the origins of a backtest', () => {
  it('are spread over the last season', () => {
    expect(rollingOrigins(2016, { count: 3, horizon: 12, season: 288, minimumHistory: 576 })).toEqual([
      1812, 1908, 2004,
    ]);
  });

  it('do not overlap where the season is shorter than the horizon', () => {
    expect(rollingOrigins(240, { count: 3, horizon: 28, season: 28, minimumHistory: 56 })).toEqual([156, 184, 212]);
  });

  it('move together where there is little room, and are none where there is no room', () => {
    expect(rollingOrigins(72, { count: 3, horizon: 12, season: 24, minimumHistory: 48 })).toEqual([48, 54, 60]);
    expect(rollingOrigins(60, { count: 3, horizon: 12, season: 24, minimumHistory: 48 })).toEqual([48]);
    expect(rollingOrigins(59, { count: 3, horizon: 12, season: 24, minimumHistory: 48 })).toEqual([]);
  });

  it('leave the history before and the whole horizon after them', () => {
    const size = fc.integer({ min: 1, max: 300 });
    fc.assert(
      fc.property(size, size, size, size, fc.integer({ min: 1, max: 6 }), (length, horizon, season, history, count) => {
        const origins = rollingOrigins(length, { count, horizon, season, minimumHistory: history });
        expect(origins.length).toBeLessThanOrEqual(count);
        expect(origins.length > 0).toBe(length >= history + horizon);
        for (const origin of origins) {
          expect(origin).toBeGreaterThanOrEqual(history);
          expect(origin + horizon).toBeLessThanOrEqual(length);
        }
      }),
    );
  });
});
