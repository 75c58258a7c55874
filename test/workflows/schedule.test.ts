import type { Client, ScheduleOptions } from '@temporalio/client';
import { expect, it } from 'vitest';
import type { ForecastPolicy } from '../../activities/dependencies.js';
import { forecastGrid } from '../../activities/request-history.js';
import { ensureAnomalySchedule, ensureForecastSchedule } from '../../workers/schedule.js';

const HOUR = 3_600_000;

const scheduledBy = async (
  ensure: (client: Client, request: { readonly everyMs: number }) => Promise<void>,
  everyMs: number,
): Promise<ScheduleOptions> => {
  const made: ScheduleOptions[] = [];
  const schedule = { create: (options: ScheduleOptions) => Promise.resolve(made.push(options)) };
  await ensure({ schedule } as unknown as Client, { everyMs });
  return made[0]!;
};

it.each([ensureForecastSchedule, ensureAnomalySchedule])(
  'a run that hangs ends, so that the next one starts (%#)',
  async (ensure) => {
    const { action, policies } = await scheduledBy(ensure, HOUR);
    expect(policies?.overlap).toBe('SKIP');
    expect(action).toHaveProperty('workflowRunTimeout', expect.stringMatching(/^\d+h$/));
  },
);

it.each([ensureForecastSchedule, ensureAnomalySchedule])(
  'a run begins when the records of the last window have come (%#)',
  async (ensure) => {
    const policy = { window: HOUR / 12, history: HOUR, horizon: HOUR } as ForecastPolicy;
    const { spec } = await scheduledBy(ensure, policy.window);
    const [{ every, offset }] = spec.intervals as [{ every: number; offset: number }];
    expect(every).toBe(policy.window);
    expect(forecastGrid(policy, 7 * every + offset).end).toBe(7 * every);
    // Somebody who asks right at a window's end gets the one before.
    expect(forecastGrid(policy, 7 * every).end).toBe(6 * every);
    // With a clock so fast that there is no time for that, too.
    const fast = (await scheduledBy(ensureForecastSchedule, 1_000)).spec.intervals as [
      { every: number; offset: number },
    ];
    expect(fast[0].offset).toBeLessThan(fast[0].every);
  },
);
