import { z } from 'zod';
import { duration } from './duration.js';

/** How long access history is kept by default, in windows: two hours, a week and 90 days of five-minute ones. */
const KEPT = { records: 24, windows: 2_016, hours: 25_920 };

const kept = (description: string) => duration(1).describe(description).exactOptional();

/** `policy.access` of drover.yaml. */
export const accessSchema = z
  .strictObject({
    window: duration(1).prefault('5m').describe('Length of one window of access history. Default 5m.'),
    flush: duration(1).prefault('1s').describe('How often a router writes its access records. Default 1s.'),
    keep: z
      .strictObject({
        records: kept(
          `How long single access records are kept; then they are rolled up. Default: ${KEPT.records} windows (2h).`,
        ),
        windows: kept(
          `How long counts of windows are kept, and who asked for what, hour by hour. Default: ${KEPT.windows} windows (7d).`,
        ),
        hours: kept(
          `How long counts of hours (twelve windows) are kept; long seasons are known from them. Default: ${KEPT.hours} windows (90d).`,
        ),
      })
      .prefault({})
      .describe('How long access history is kept.'),
  })
  .prefault({})
  .transform(({ window, flush, keep }) => ({
    window,
    flush,
    keep: {
      records: keep.records ?? KEPT.records * window,
      windows: keep.windows ?? KEPT.windows * window,
      hours: keep.hours ?? KEPT.hours * window,
    },
  }))
  .superRefine(({ window, keep: { records, windows, hours } }, context) => {
    const refuse = (key: string, message: string) => context.addIssue({ code: 'custom', message, path: ['keep', key] });
    if (records < window) refuse('records', 'must not be shorter than policy.access.window');
    if (windows < records) refuse('windows', 'must not be shorter than keep.records');
    if (hours < windows) refuse('hours', 'must not be shorter than keep.windows');
  })
  .describe('Recording of accesses.');

/** What records of access are added up over at the longest: fits into each window of the policy, at least a second. */
export function accessBucketMs(policy: {
  readonly access: { readonly window: number };
  readonly forecast: { readonly window: number };
}): number {
  const divisor = (a: number, b: number): number => (b === 0 ? a : divisor(b, a % b));
  return Math.max(1_000, divisor(policy.access.window, policy.forecast.window));
}
