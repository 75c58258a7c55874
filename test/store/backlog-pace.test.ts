import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BacklogPace } from '../../store/backlog-pace.js';
import { Throttle } from '../../store/throttle.js';

const { signal } = new AbortController();
const PART = 500;

/** Works a backlog off that goes on growing, in parts that take as long as the follower's speed says. */
async function workOff(
  throttle: Throttle,
  { backlog = 100_000, writes = 500, speed = 20_000, mostSeconds = 600 } = {},
) {
  let [now, worked] = [0, 0];
  const pace = new BacklogPace(
    throttle,
    () => now,
    (ms) => {
      now += ms;
      return Promise.resolve();
    },
  );
  // All of it was written at the present rate.
  const begin = -(backlog / writes);
  let done = 0;
  while (done < backlog + (writes * now) / 1_000 && now < mostSeconds * 1_000) {
    const tookMs = (PART * 1_000) / speed;
    now += tookMs;
    worked += tookMs;
    done += PART;
    const time = BigInt(Math.floor(1e9 + begin + done / writes)) << 32n;
    await pace.rest({ time, documents: PART, bytes: PART * 200, tookMs }, signal);
  }
  return {
    seconds: now / 1_000,
    worked: worked / now,
    ended: now < mostSeconds * 1_000,
    perSecond: (done * 1_000) / now,
  };
}

describe('with a limit, a backlog of changes', () => {
  const loose = () => new Throttle(1e9);

  it('is worked off with rests as long as the work', async () => {
    const { seconds, worked } = await workOff(loose());
    expect(worked).toBeCloseTo(0.5, 1);
    expect(seconds).toBeLessThan(12);
  });

  it('is worked off no faster than the limit, of documents or of bytes', async () => {
    expect((await workOff(new Throttle(0, 4_000))).perSecond).toBeCloseTo(4_000, -2);
    expect((await workOff(new Throttle(400_000))).perSecond).toBeCloseTo(2_000, -2);
    const little = { backlog: 20_000, writes: 1, mostSeconds: 10_000 };
    expect((await workOff(new Throttle(0, 4), little)).perSecond).toBeCloseTo(4, 0);
  });

  it('comes to an end, however tight the limit, and however much is written', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 10, max: 19_000 }),
        fc.integer({ min: 1, max: 100_000 }),
        async (writes, documentsPerSecond) => {
          const speed = 20_000;
          const backlog = 10 * writes;
          const { ended, seconds } = await workOff(new Throttle(0, documentsPerSecond), { backlog, writes, speed });
          expect(ended).toBe(true);
          // Where twice the speed of the writes is out of reach, rests are a matter of the first two seconds, and of what is written in them.
          const without = (backlog + 2 * speed) / (speed - writes);
          expect(seconds).toBeLessThan(Math.max(30, without));
        },
      ),
    );
  });
});
