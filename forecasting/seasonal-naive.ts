import { normalHalfWidth } from '../domain/normal-distribution.js';
import type { ForecastModel } from './model.js';

/**
 * Repeats the last season: the baseline that every other model has to beat.
 *
 * Uses the longest season; without one, the last value. The interval comes from the differences between one season and
 * the next, whose errors add up with every further season ahead: sigma * sqrt(seasons ahead).
 */
export const seasonalNaive: ForecastModel = {
  name: 'seasonal-naive',

  forecast(series, { seasons, horizon, level }) {
    const season = Math.max(1, ...seasons);
    const n = series.length;
    if (n < season) throw new Error(`needs ${season} values, has ${n}`);

    let squares = 0;
    for (let t = season; t < n; t++) squares += ((series[t] ?? 0) - (series[t - season] ?? 0)) ** 2;
    const sigma = n > season ? Math.sqrt(squares / (n - season)) : 0;
    const z = normalHalfWidth(level);

    const mean = Array.from({ length: horizon }, (_, step) => series[n - season + (step % season)] ?? 0);
    const halfWidth = mean.map((_, step) => z * sigma * Math.sqrt(Math.floor(step / season) + 1));
    return {
      mean,
      lower: mean.map((value, step) => value - (halfWidth[step] ?? 0)),
      upper: mean.map((value, step) => value + (halfWidth[step] ?? 0)),
    };
  },
};
