import type { Client, ScheduleOptions } from '@temporalio/client';
import { expect, it } from 'vitest';
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
