import type { ErrorQuantiles } from '../domain/model-choice.js';
import type { Forecast } from './model.js';

/** Shares at which quantiles are kept: enough for any usual interval, few enough to keep for every series. */
const SHARES = [0.005, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.995];

/** The models were weighed by the very errors that the interval is measured by: on what they have not seen, they are larger. */
const UNSEEN = 1.1;

/**
 * How far off the forecasts from the past were. This makes an interval that holds whatever the errors' distribution
 * (split conformal prediction, Vovk et al. 2005), one side and the other by itself.
 */
export function errorQuantiles(errors: readonly (readonly number[])[]): ErrorQuantiles {
  return errors.map((ofStretch) => {
    const sorted = Float64Array.from(ofStretch).sort();
    return SHARES.map((share) => UNSEEN * quantileOf(sorted, share));
  });
}

function quantileOf(sorted: Float64Array, share: number): number {
  const count = sorted.length;
  if (count === 0) return 0;
  // The n values cut the unseen next one's range into n + 1 equally likely parts.
  const place = Math.min(count - 1, Math.max(0, share * (count + 1) - 1));
  return between(sorted, place);
}

/** The forecast with the central interval of this level; `lower <= mean <= upper`, nothing below 0. */
export function withInterval(
  mean: Float64Array,
  quantiles: ErrorQuantiles,
  stretches: Uint8Array,
  level: number,
): Forecast {
  const margins = quantiles.map((ofStretch) => ({
    lower: Math.min(0, atShare(ofStretch, (1 - level) / 2)),
    upper: Math.max(0, atShare(ofStretch, (1 + level) / 2)),
  }));
  const marginAt = (step: number) => margins[stretches[step]!]!;
  return {
    mean: [...mean],
    lower: Array.from(mean, (value, step) => Math.max(0, value + marginAt(step).lower)),
    upper: Array.from(mean, (value, step) => value + marginAt(step).upper),
  };
}

function atShare(quantiles: readonly number[], share: number): number {
  const above = SHARES.findIndex((known) => known >= share);
  if (above <= 0) return above < 0 ? quantiles.at(-1)! : quantiles[0]!;
  const part = (share - SHARES[above - 1]!) / (SHARES[above]! - SHARES[above - 1]!);
  return between(quantiles, above - 1 + part);
}

function between(values: ArrayLike<number>, place: number): number {
  const before = Math.floor(place);
  const here = values[before]!;
  return here + ((values[before + 1] ?? here) - here) * (place - before);
}
