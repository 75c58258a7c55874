import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Throttle } from '../../store/throttle.js';

/** A clock that goes on only while somebody sleeps, or by `pass`. */
function fakeTime() {
  let now = 1_000;
  return {
    now: () => now,
    pass: (ms: number) => (now += ms),
    sleep: (ms: number) => {
      now += ms;
      return Promise.resolve();
    },
  };
}

/** Of three things, of which the second one fails. */
async function mostAtOnce(throttle: Throttle): Promise<number> {
  let [underWay, most] = [0, 0];
  const work = async (result: number) => {
    most = Math.max(most, (underWay += 1));
    await new Promise(setImmediate);
    underWay -= 1;
    if (result === 2) throw new Error('it fails');
    return result;
  };
  const results = await Promise.allSettled([1, 2, 3].map((result) => throttle.alone(() => work(result))));
  expect(results).toMatchObject([{ value: 1 }, { reason: { message: 'it fails' } }, { value: 3 }]);
  return most;
}

describe('a throttle', () => {
  it('keeps its rate over any sequence of batches, and wastes none of it', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 100_000 }), { minLength: 2, maxLength: 50 }),
        async (batches) => {
          const time = fakeTime();
          const throttle = new Throttle(10_000, 0, time.now, time.sleep);
          const startedAt = time.now();
          for (const bytes of batches) await throttle.take(bytes, 1);
          // The last batch passes when those before it have been paid for.
          const before = batches.slice(0, -1).reduce((sum, bytes) => sum + bytes, 0);
          expect(time.now() - startedAt).toBeCloseTo((before * 1000) / 10_000, 3);
        },
      ),
    );
  });

  it('keeps a rate of documents, and whichever of two rates is the tighter one', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.integer({ min: 1, max: 100_000 }), fc.integer({ min: 1, max: 500 })), {
          minLength: 2,
          maxLength: 50,
        }),
        fc.constantFrom(0, 10_000),
        async (batches, bytesPerSecond) => {
          const time = fakeTime();
          const throttle = new Throttle(bytesPerSecond, 50, time.now, time.sleep);
          const startedAt = time.now();
          for (const [bytes, documents] of batches) await throttle.take(bytes, documents);
          const due = batches
            .slice(0, -1)
            .map(([bytes, documents]) => Math.max(bytesPerSecond > 0 ? bytes / bytesPerSecond : 0, documents / 50));
          expect(time.now() - startedAt).toBeCloseTo(1_000 * due.reduce((sum, each) => sum + each, 0), 3);
        },
      ),
    );
    // In pieces that are as small as those of a limit of bytes, and one after the other.
    expect(new Throttle(0, 50_000).atOnce(3_000_000, 200)).toBe(200_000);
    expect(await mostAtOnce(new Throttle(0, 50_000))).toBe(1);
  });

  it('lets through the less at once the slower it is, so that others wait for less', () => {
    expect(new Throttle(0).atOnce(3_000_000, 200)).toBe(3_000_000);
    expect(new Throttle(200_000_000).atOnce(3_000_000, 200)).toBe(3_000_000);
    expect(new Throttle(10_000_000).atOnce(3_000_000, 200)).toBe(200_000);
    expect(new Throttle(1_000).atOnce(3_000_000, 200)).toBe(1_000);
    expect(new Throttle(100_000).atOnce(3_000_000, 200)).toBe(16_384);
    expect(new Throttle(1_000).atOnce(500, 200)).toBe(500);
  });

  it('lets through more at once where its limit is not reached otherwise, and less again when it is', async () => {
    const time = fakeTime();
    const throttle = new Throttle(10_000_000, 0, time.now, time.sleep);
    // Each piece takes as long as the way to a far node and back; its documents may be smaller than others are.
    const rateAt = async (roundTripMs: number, { part = 1, pieces = 300 } = {}) => {
      const startedAt = time.now();
      let bytes = 0;
      for (let i = 0; i < pieces; i++) {
        const piece = part * throttle.atOnce(3_000_000, 200);
        await throttle.take(piece, 1);
        time.pass(roundTripMs);
        bytes += piece;
      }
      return (bytes * 1_000) / (time.now() - startedAt);
    };
    expect(await rateAt(10)).toBeGreaterThan(9_500_000);
    expect(throttle.atOnce(3_000_000, 200)).toBe(200_000);
    expect(await rateAt(150)).toBeGreaterThan(9_000_000);
    expect(throttle.atOnce(3_000_000, 200)).toBeGreaterThan(1_300_000);
    expect(await mostAtOnce(throttle)).toBe(3);
    expect(await rateAt(10)).toBeGreaterThan(9_500_000);
    expect(throttle.atOnce(3_000_000, 200)).toBe(200_000);
    expect(await rateAt(20, { part: 0.1 })).toBeGreaterThan(9_000_000);
  });

  it('lets several be under way where a limit is so high that it is not reached by one after the other', async () => {
    const time = fakeTime();
    const throttle = new Throttle(200_000_000, 0, time.now, time.sleep);
    for (let i = 0; i < 10; i++) {
      await throttle.take(throttle.atOnce(3_000_000, 200), 1);
      time.pass(30);
    }
    expect(await mostAtOnce(throttle)).toBe(3);
  });

  it('lets one thing be done at a time where there is a limit, and all at once where there is none', async () => {
    expect(await mostAtOnce(new Throttle(10_000_000))).toBe(1);
    expect(await mostAtOnce(new Throttle(0))).toBe(3);
  });

  it('does not make up later for time in which nothing was to be sent', async () => {
    const time = fakeTime();
    const throttle = new Throttle(1_000, 0, time.now, time.sleep);
    await throttle.take(1_000, 1);
    time.pass(60_000);
    const later = time.now();
    await throttle.take(1_000, 1);
    await throttle.take(1_000, 1);
    expect(time.now() - later).toBe(1_000);
  });

  it('keeps the rate for several who send at the same time', async () => {
    let now = 0;
    const waits: number[] = [];
    const throttle = new Throttle(
      1_000,
      0,
      () => now,
      (ms) => {
        waits.push(ms);
        return Promise.resolve();
      },
    );
    await Promise.all([throttle.take(500, 1), throttle.take(500, 1), throttle.take(500, 1)]);
    expect(waits).toEqual([500, 1_000]);
    now = 1_500;
    await throttle.take(1, 1);
    expect(waits).toHaveLength(2);
  });

  it('with 0 for no limit never waits', async () => {
    const throttle = new Throttle(0, 0, Date.now, () => Promise.reject(new Error('it slept')));
    await throttle.take(1e12, 1);
    await throttle.take(1e12, 1);
  });

  it('lets nobody wait whose work was given up', async () => {
    const throttle = new Throttle(1);
    await throttle.take(3_600, 1);
    const giveUp = new AbortController();
    const waiting = throttle.take(1, 1, giveUp.signal);
    giveUp.abort(new Error('given up'));
    await expect(waiting).rejects.toThrow('given up');
    await expect(throttle.take(1, 1, giveUp.signal)).rejects.toThrow('given up');
  });

  it('makes who comes next wait for longer than a timer can be set for', async () => {
    const throttle = new Throttle(1);
    await throttle.take(3_000_000, 1);
    const giveUp = new AbortController();
    let passed = false;
    const waiting = throttle.take(1, 1, giveUp.signal).then(() => (passed = true));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(passed).toBe(false);
    giveUp.abort(new Error('given up'));
    await expect(waiting).rejects.toThrow('given up');
  });

  describe('that is told to slow down', () => {
    const passing = async (throttle: Throttle, time: ReturnType<typeof fakeTime>, bytes: number, ms: number) => {
      for (let at = 0; at < 10; at++) {
        await throttle.take(bytes / 10, 1);
        time.pass(ms / 10);
      }
    };

    it('passes less than it did, but never nothing', async () => {
      const time = fakeTime();
      const throttle = new Throttle(0, 0, time.now, time.sleep);
      await passing(throttle, time, 10_000_000, 1_000);
      throttle.slowDown();
      expect(throttle.rate).toBeCloseTo(6_000_000, 0);
      for (let i = 0; i < 20; i++) throttle.slowDown();
      expect(throttle.rate).toBe(500_000);
    });

    it('is never faster than what was asked for, nor slower than that is', async () => {
      const time = fakeTime();
      const throttle = new Throttle(100_000, 0, time.now, time.sleep);
      await passing(throttle, time, 100_000, 1_000);
      throttle.slowDown();
      expect(throttle.rate).toBe(100_000);
      for (let i = 0; i < 50; i++) throttle.speedUp();
      expect(throttle.rate).toBe(100_000);
    });

    it('has no limit again when it is told often enough to speed up', async () => {
      const time = fakeTime();
      const throttle = new Throttle(0, 0, time.now, time.sleep);
      await passing(throttle, time, 10_000_000, 1_000);
      throttle.slowDown();
      for (let i = 0; i < 20; i++) {
        await passing(throttle, time, 3_000_000, 1_000);
        throttle.speedUp();
      }
      expect(throttle.rate).toBe(Infinity);
    });
  });
});
