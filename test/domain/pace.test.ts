import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Pace } from '../../domain/pace.js';
import { paceAt, paceFrom, secondsLeft } from '../../domain/pace.js';

/** Looks once a second, `perSecond` more done at each. */
const goOn = (from: Pace, seconds: number, perSecond: number): Pace => {
  let pace = from;
  for (let i = 0; i < seconds; i++) pace = paceAt(pace, pace.at + 1_000, pace.done + perSecond);
  return pace;
};

describe('the pace of long work', () => {
  it('is not known from one look, nor from two at the same time', () => {
    expect(paceFrom(0, 10).perSecond).toBeUndefined();
    expect(paceAt(paceFrom(0, 0), 10, 1_000).perSecond).toBeUndefined();
  });

  it('is exact where it does not change, however often one looks', () => {
    expect(goOn(paceFrom(5_000, 0), 40, 300).perSecond).toBeCloseTo(300, 6);
    expect(paceAt(paceFrom(0, 0), 90_000, 900).perSecond).toBe(10);
    let pace = paceFrom(0, 0);
    for (let at = 10; at <= 3_000; at += 10) pace = paceAt(pace, at, at / 10);
    expect(pace.perSecond).toBeCloseTo(100, 6);
  });

  it('follows a change within a minute, and is not thrown off by one batch', () => {
    const fast = goOn(paceFrom(0, 0), 60, 1_000);
    expect(goOn(fast, 60, 100).perSecond).toBeLessThan(130);
    const batch = paceAt(fast, fast.at + 1_000, fast.done + 5_000);
    expect(batch.perSecond).toBeLessThan(1_400);
  });

  it('begins anew with work that begins anew', () => {
    const anew = paceAt(goOn(paceFrom(0, 0), 10, 1_000), 11_000, 50);
    expect(anew).toEqual({ since: 11_000, at: 11_000, done: 50 });
    expect(goOn(anew, 5, 20).perSecond).toBeCloseTo(20, 6);
  });

  it('and the time left are never nonsense, whatever is seen', () => {
    const look = fc.tuple(fc.integer({ min: -5_000, max: 1e9 }), fc.integer({ min: -1e6, max: 1e15 }));
    fc.assert(
      fc.property(fc.array(look, { minLength: 1 }), fc.integer({ min: -10, max: 1e15 }), (looks, left) => {
        let pace = paceFrom(0, 0);
        for (const [passed, more] of looks) pace = paceAt(pace, pace.at + passed, Math.max(0, pace.done + more));
        const { perSecond } = pace;
        if (perSecond !== undefined) expect(Number.isFinite(perSecond) && perSecond >= 0).toBe(true);
        const seconds = secondsLeft(perSecond, left);
        if (seconds !== undefined) expect(Number.isInteger(seconds) && seconds >= 0).toBe(true);
        if (left <= 0) expect(seconds).toBe(0);
      }),
    );
  });
});

describe('the time left', () => {
  it('is what is left at this pace, rounded up', () => {
    expect(secondsLeft(100, 250)).toBe(3);
  });

  it('is not known while nothing goes on, or for as long as nobody would wait', () => {
    expect(secondsLeft(0, 1)).toBeUndefined();
    expect(secondsLeft(-3, 1)).toBeUndefined();
    expect(secondsLeft(Number.NaN, 1)).toBeUndefined();
    expect(secondsLeft(undefined, 1)).toBeUndefined();
    expect(secondsLeft(0.001, 1e9)).toBeUndefined();
  });
});
