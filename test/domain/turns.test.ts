import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { takeTurns } from '../../domain/turns.js';

const BUDGET = 100;

/** Works for some hours, with as much time in each; by hour, who was finished. */
async function hours(number: number, costs: readonly number[]) {
  const finished: string[][] = [];
  const tooLong: (string | undefined)[] = [];
  const used: number[] = [];
  let last: string | undefined;
  for (let hour = 0; hour < number; hour++) {
    let spent = 0;
    const done: string[] = [];
    const waiting = costs.map((cost, i) => ({ name: `p${String(i).padStart(3, '0')}`, cost })).reverse();
    const taken = await takeTurns(
      { waiting, nameOf: ({ name }) => name, last, leftMs: () => BUDGET - spent },
      ({ name, cost }, leftMs) => {
        spent += Math.min(cost, leftMs);
        if (cost <= leftMs) done.push(name);
        return Promise.resolve(cost <= leftMs);
      },
    );
    last = taken.last;
    finished.push(done);
    tooLong.push(taken.tooLong);
    used.push(spent);
  }
  return { finished, tooLong, used };
}

describe('turns', () => {
  it('are taken in the order of names, from after the last one on, as far as the time goes', async () => {
    expect((await hours(4, [40, 40, 40, 40, 40])).finished).toEqual([
      ['p000', 'p001'],
      ['p002', 'p003'],
      ['p004', 'p000'],
      ['p001', 'p002'],
    ]);
    // All of them, once each, where there is time.
    expect((await hours(2, [10, 10, 10])).finished.map((names) => names.length)).toEqual([3, 3]);
    expect((await hours(2, [])).finished).toEqual([[], []]);
  });

  it('begin anew in the next hour where time was short, and are given up where all of it is', async () => {
    const { finished, tooLong } = await hours(4, [50, 90, 101]);
    expect(finished).toEqual([['p000'], ['p001'], [], ['p000']]);
    expect(tooLong).toEqual([undefined, undefined, 'p002', undefined]);
  });

  it('come to everybody before anybody has a second one, within as many hours as there are, and use no more than the time', async () => {
    const costs = fc.array(fc.integer({ min: 1, max: 150 }), { minLength: 1, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(costs, async (each) => {
        const rounds = 4;
        const { finished, used } = await hours(rounds * each.length, each);
        expect(Math.max(...used)).toBeLessThanOrEqual(BUDGET);
        const counts = each.map((_, i) => finished.flat().filter((name) => Number(name.slice(1)) === i).length);
        const able = counts.filter((_, i) => each[i]! <= BUDGET);
        if (able.length === 0) return;
        expect(Math.max(...able) - Math.min(...able)).toBeLessThanOrEqual(1);
        expect(Math.min(...able)).toBeGreaterThanOrEqual(rounds);
        expect(counts.filter((_, i) => each[i]! > BUDGET).every((count) => count === 0)).toBe(true);
      }),
    );
  });
});
