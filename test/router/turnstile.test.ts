import { describe, expect, it } from 'vitest';
import { Turnstile } from '../../router/turnstile.js';

async function pass<T>(turnstile: Turnstile, work: () => Promise<T>): Promise<T> {
  await turnstile.enter(soon());
  try {
    return await work();
  } finally {
    turnstile.leave();
  }
}

const soon = () => performance.now() + 10_000;

describe('a turnstile', () => {
  it('lets so many in at once, and the others in the order in which they came', async () => {
    const turnstile = new Turnstile(2, 'a place');
    const entered: number[] = [];
    const inside: (() => void)[] = [];
    const visits = Array.from({ length: 6 }, (_, i) =>
      pass(turnstile, async () => {
        entered.push(i);
        await new Promise<void>((leave) => inside.push(leave));
      }),
    );
    for (let n = 2; n <= 6; n++) {
      await settled();
      expect(entered).toEqual(Array.from({ length: n }, (_, i) => i));
      inside.shift()!();
    }
    inside.shift()!();
    await Promise.all(visits);
    expect([turnstile.tryEnter(), turnstile.tryEnter(), turnstile.tryEnter()]).toEqual([true, true, false]);
  });

  it('gives the place of a visit that failed to the next one', async () => {
    const turnstile = new Turnstile(1, 'a place');
    const failing = pass(turnstile, () => Promise.reject(new Error('failed')));
    const next = pass(turnstile, () => Promise.resolve('next'));
    await expect(failing).rejects.toThrow('failed');
    await expect(next).resolves.toBe('next');
  });

  it('is waited for until the deadline, by those behind one who gave up, too', async () => {
    const turnstile = new Turnstile(1, 'a place');
    expect(turnstile.tryEnter()).toBe(true);
    const impatient = turnstile.enter(performance.now() + 20);
    const patient = turnstile.enter(soon());
    await expect(impatient).rejects.toMatchObject({
      code: 'TimedOut',
      message: 'a request waited too long for a place',
    });
    const late = turnstile.enter(performance.now() + 20);
    turnstile.leave();
    await patient;
    await expect(late).rejects.toMatchObject({ code: 'TimedOut' });
    turnstile.leave();
    expect(turnstile.tryEnter()).toBe(true);
  });
});

const settled = () => new Promise((resolve) => setImmediate(resolve));
