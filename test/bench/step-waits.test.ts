import { describe, expect, it } from 'vitest';
import { stepWaits } from '../../bench/step-waits.js';

const waits = (...pairs: [intended: number, answered: number][]) => ({
  intended: Float64Array.from(pairs, ([intended]) => intended),
  answered: Float64Array.from(pairs, ([, answered]) => answered),
});

describe('the longest wait per step', () => {
  const steps = [
    { begin: 10_000, settle: 10_050 },
    { begin: 20_000, settle: 20_050 },
  ];

  it('is that of the write that was due first and answered last', () => {
    const during = waits([10_001, 10_060], [10_030, 10_055], [20_000, 20_010]);
    expect(stepWaits(steps, during).steps).toEqual([59, 10]);
  });

  it('counts a write from when it was due, though it was due before the step', () => {
    expect(stepWaits(steps, waits([9_900, 10_040])).steps).toEqual([140, 0]);
  });

  it('counts writes that wait behind the held ones, but not those long after', () => {
    const held: [number, number] = [10_040, 10_300];
    expect(stepWaits(steps, waits(held, [10_299, 10_600])).steps).toEqual([301, 0]);
    expect(stepWaits(steps, waits(held, [10_301, 10_800]))).toEqual({ steps: [260, 0], quiet: [499] });
  });

  it('counts a wait that reaches over two steps in each', () => {
    expect(stepWaits(steps, waits([10_040, 20_060])).steps).toEqual([10_020, 10_020]);
  });

  it('counts what comes after the next step began there only', () => {
    const close = [steps[0]!, { begin: 10_200, settle: 10_250 }];
    expect(stepWaits(close, waits([10_040, 10_300], [10_210, 10_240])).steps).toEqual([260, 260]);
    expect(stepWaits(close, waits([10_040, 10_190], [10_210, 10_240])).steps).toEqual([150, 30]);
  });

  it('knows nothing of what was before the first step and after the last', () => {
    expect(stepWaits(steps, waits([1, 5_000], [50_000, 60_000]))).toEqual({ steps: [0, 0], quiet: [0] });
  });
});
