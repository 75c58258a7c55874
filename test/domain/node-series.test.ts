import { describe, expect, it } from 'vitest';
import type { NodeReading } from '../../domain/node-series.js';
import { nodeSeries } from '../../domain/node-series.js';

const STEP = 60_000;
const grid = (steps: number) => ({ start: 10 * STEP, end: (10 + steps) * STEP, stepMs: STEP });

/** At a minute of the grid and some seconds. */
const reading = (
  minute: number,
  uptimeS: number,
  operations: number,
  more: Partial<NodeReading> = {},
): NodeReading => ({
  time: (10 + minute) * STEP + 5_000,
  host: 'a:27017',
  uptimeMs: uptimeS * 1_000,
  operations,
  ...more,
});

describe('the series of a node', () => {
  it('are rates between readings, whenever in their steps these were made', () => {
    const readings = [reading(-1, 10, 100), reading(0, 70, 700), { ...reading(1, 150, 1_500), time: 11.9 * STEP }];
    expect([...nodeSeries(readings, 'operations', grid(2))]).toEqual([10, 10]);
  });

  it('are of the time since a restart, and unknown where readings are missing or another server answers', () => {
    const readings = [
      ...[reading(-1, 100, 5_000), reading(0, 20, 40)],
      ...[reading(2, 140, 400), reading(3, 200, 1_000), reading(4, 9_000, 70_000, { host: 'b:27017' })],
    ];
    expect([...nodeSeries(readings, 'operations', grid(5))]).toEqual([2, NaN, NaN, 10, NaN]);
  });

  it('tell processor time by cores, latency by operation, and figures of the moment as they are', () => {
    const readings = [
      reading(-1, 0, 0, { cpuMs: 0, latencyUs: 0, timed: 0 }),
      reading(0, 60, 1, { cpuMs: 90_000, latencyUs: 8_000, timed: 4, connections: 7 }),
      reading(1, 120, 2, { cpuMs: 90_000, latencyUs: 8_000, timed: 4 }),
    ];
    expect([...nodeSeries(readings, 'cpu', grid(2))]).toEqual([1.5, 0]);
    // Nothing was timed: not known, which is not 0.
    expect([...nodeSeries(readings, 'latency', grid(2))]).toEqual([2, NaN]);
    expect([...nodeSeries(readings, 'connections', grid(2))]).toEqual([7, NaN]);
  });

  it('are nowhere known without readings', () => {
    expect([...nodeSeries([], 'operations', grid(2))]).toEqual([NaN, NaN]);
  });
});
