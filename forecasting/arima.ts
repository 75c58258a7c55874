import ARIMA from 'arima';
import { onCoarseGrid } from './coarse.js';
import type { ModelFamily } from './model.js';
import { seasonalProfile } from './profile.js';

/** As for exponential smoothing: the next hours do not depend on values further back. */
const MAX_POINTS = 200;

/**
 * ARIMA (source document 1 names it) of order (2, 1, 2) on what is left without the season: its own search for an order,
 * and seasonal orders, take seconds a series and find no better one.
 */
export const arima: ModelFamily = () => [
  onCoarseGrid({
    name: 'arima',
    costly: true,
    forecast: (series, { seasons: [season = 1], horizon }) => {
      const profile =
        season > 1 ? seasonalProfile(series, season, { average: 'median', smoothing: 0 }) : Float64Array.of(0);
      const first = Math.max(0, series.length - MAX_POINTS);
      const phase = (t: number) => (((t - series.length) % profile.length) + profile.length) % profile.length;
      const rest = Array.from(series.subarray(first), (value, i) => value - profile[phase(first + i)]!);
      const model = new ARIMA({ p: 2, d: 1, q: 2, verbose: false });
      try {
        const [means] = model.train(rest).predict(horizon);
        const [low, high] = plausible(rest);
        return means.map((value, step) => Math.min(high, Math.max(low, value)) + profile[step % profile.length]!);
      } finally {
        model.destroy();
      }
    },
  }),
];

/** Some fits are not stable, and run away within hours, by any number of digits. What was there lately bounds what comes. */
function plausible(rest: readonly number[]): readonly [low: number, high: number] {
  const [low, high] = [Math.min(...rest), Math.max(...rest)];
  const margin = (high - low) / 2;
  return [low - margin, high + margin];
}
