import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AccessWindow } from '../../domain/access.js';
import { regionalSeries } from '../../domain/series.js';

const HOUR = 3_600_000;

const window = (partition: string, region: string, hour: number, reads: number, writes = 0): AccessWindow => ({
  partition,
  region,
  start: hour * HOUR,
  reads,
  writes,
  errors: 0,
  latencyMsSum: 0,
  latencyMsMax: 0,
  clients: [],
});

const options = (start: number, end: number) => ({ start: start * HOUR, end: end * HOUR, lengthMs: HOUR });

describe('series of access windows', () => {
  it('adds reads and writes, and counts an absent window as no requests', () => {
    const series = regionalSeries([window('p', 'east', 0, 3, 2), window('p', 'east', 2, 1)], options(0, 4));
    expect(series).toEqual([{ partition: 'p', region: 'east', start: 0, lengthMs: HOUR, requests: [5, 0, 1, 0] }]);
  });

  it('has no history before the first record ever, of whatever partition', () => {
    const series = regionalSeries([window('p', 'east', 2, 1), window('q', 'west', 3, 7)], options(0, 5));
    expect(series.map(({ start, requests }) => [start / HOUR, requests])).toEqual([
      [2, [1, 0, 0]],
      [2, [0, 7, 0]],
    ]);
  });

  it('knows the zeros between a first record that was given and the first window', () => {
    const [series] = regionalSeries([window('p', 'east', 3, 1)], { ...options(0, 4), firstRecordAt: 1.5 * HOUR });
    expect(series?.requests).toEqual([0, 0, 1]);
  });

  it('is sorted, and empty when there is nothing', () => {
    const windows = [window('q', 'a', 0, 1), window('p', 'b', 0, 1), window('p', 'a', 0, 1)];
    expect(regionalSeries(windows, options(0, 1)).map((s) => s.partition + s.region)).toEqual(['pa', 'pb', 'qa']);
    expect(regionalSeries([], options(0, 10))).toEqual([]);
    expect(regionalSeries(windows, options(0, 0))).toEqual([]);
  });

  it('refuses what is off the grid, and counts that are none', () => {
    const offGrid = { ...window('p', 'east', 0, 1), start: 5 };
    expect(() => regionalSeries([offGrid], options(0, 1))).toThrow(/not on the grid/);
    expect(() => regionalSeries([], { start: 1, end: HOUR, lengthMs: HOUR })).toThrow(/not on the grid/);
    expect(() => regionalSeries([], options(2, 1))).toThrow(/cannot end/);
    expect(() => regionalSeries([window('p', 'east', 0, Number.NaN)], options(0, 1))).toThrow(/NaN is no number/);
  });

  it('neither loses nor invents a request, and every series covers the same windows', () => {
    const anyWindow = fc
      .tuple(
        fc.constantFrom('p', 'q'),
        fc.constantFrom('east', 'west'),
        fc.integer({ min: 0, max: 30 }),
        fc.nat(99),
        fc.nat(99),
      )
      .map((args) => window(...args));
    fc.assert(
      fc.property(fc.array(anyWindow), fc.nat(15), fc.integer({ min: 15, max: 31 }), (windows, start, end) => {
        const series = regionalSeries(windows, options(start, end));
        const expected = windows
          .filter((w) => w.start >= start * HOUR && w.start < end * HOUR)
          .reduce((sum, w) => sum + w.reads + w.writes, 0);
        expect(series.flatMap((s) => s.requests).reduce((a, b) => a + b, 0)).toBe(expected);
        expect(new Set(series.map((s) => `${s.start} ${s.requests.length}`)).size).toBeLessThanOrEqual(1);
      }),
    );
  });
});
