import type { Configuration } from './schema.js';

/** Milliseconds since 1970. */
export type Clock = () => number;

/**
 * Drover's clock: real time, or `from + (now - startedAt) * rate` for replays and simulations. Every process with the
 * same configuration reads the same time. It follows the machine's clock and may be set back with it: leases and
 * pauses need a monotonic one.
 *
 * @param now real time, milliseconds since 1970
 */
export function createClock({ clock }: Pick<Configuration, 'clock'>, now: Clock = Date.now): Clock {
  const { startedAt, rate } = clock;
  if (startedAt === undefined) return now;
  const from = clock.from ?? startedAt;
  return () => Math.floor(from + (now() - startedAt) * rate);
}
