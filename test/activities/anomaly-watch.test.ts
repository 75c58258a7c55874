import { expect, it } from 'vitest';
import { AnomalyWatch } from '../../activities/anomaly-watch.js';
import type { AccessWindow } from '../../domain/access.js';
import type { AccessHistory } from '../../store/catalog/access-history.js';

const WINDOW = 300_000;
const DAY = 288;

/** Two weeks of 100 requests a window, then one of 1,000. */
const found = (spread: boolean) => {
  const windows = (_: string, from: number, to: number): Promise<AccessWindow[]> => {
    const steps = Array.from({ length: (to - from) / WINDOW }, (_, i) => from / WINDOW + i);
    const counts = { writes: 0, errors: 0, latencyMsSum: 0, latencyMsMax: 0, clients: [] };
    return Promise.resolve(
      steps.map((step) => {
        const known = { partition: 'p0', region: 'eu', start: step * WINDOW, ...counts };
        return step === 14 * DAY ? { ...known, reads: 1_000 } : { ...known, reads: 100, spread };
      }),
    );
  };
  const history = { windows } as unknown as AccessHistory;
  const watch = new AnomalyWatch(history, 'shop.orders', WINDOW, 14 * DAY * WINDOW);
  return watch.lookUpTo((14 * DAY + 1) * WINDOW, new Map(), new AbortController().signal);
};

it('what is usual is learnt from windows, and not from shares of an hour, which are smoother', async () => {
  expect(await found(false)).toMatchObject([{ of: 'partition', subject: 'p0' }]);
  expect(await found(true)).toEqual([]);
});
