import ms from 'ms';
import { z } from 'zod';

const UNITS = '(?:ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?)';
const DURATION = new RegExp(`^\\d+(?:\\.\\d+)? *${UNITS}?$`);
const ISO_TIME = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2}))?$/;

const ALLOWED = 'a duration such as 30s, 10m, 1h or 7d, or a number of milliseconds';
const ALLOWED_TIME = 'an ISO time with its zone, such as 2013-01-01T00:00:00Z';

/**
 * A length of time: text such as `30s`, or a number of milliseconds. Parsed to whole milliseconds.
 *
 * @param least smallest value allowed, in milliseconds
 */
export function duration(least: 0 | 1 = 0) {
  const allowed = least === 0 ? ALLOWED : `${ALLOWED}, above 0`;
  return z
    .union([z.string().regex(DURATION, { error: allowed }), z.number({ error: allowed }).meta({ minimum: least })], {
      error: allowed,
    })
    .transform((value, context) => {
      const milliseconds = typeof value === 'number' ? value : ms(value as ms.StringValue);
      // `ms` answers undefined for what it cannot read (such as more than 100 characters), against its types.
      if (!Number.isFinite(milliseconds) || milliseconds < least) {
        context.addIssue({ code: 'custom', message: allowed, params: { expected: true } });
        return z.NEVER;
      }
      return Math.round(milliseconds);
    });
}

/** A point in time, ISO 8601 with its zone (or a date, meaning its midnight in UTC). Parsed to milliseconds since 1970. */
export function time() {
  return z
    .string()
    .regex(ISO_TIME, { error: ALLOWED_TIME })
    .transform((text, context) => {
      const milliseconds = Date.parse(text);
      if (Number.isNaN(milliseconds)) {
        context.addIssue({ code: 'custom', message: ALLOWED_TIME, params: { expected: true } });
        return z.NEVER;
      }
      return milliseconds;
    });
}
