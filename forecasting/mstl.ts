import { mstlWithEts } from './augurs.js';
import type { ForecastModel } from './model.js';

/** Seasons further back than this say little about the next one, and the decomposition costs time for each value. */
const MAX_SEASONS = 5;
const MAX_POINTS_AT_LEAST = 600;

/**
 * Multiple seasonal-trend decomposition (the seasonal family that source documents 2 and 4 call for): seasons that may
 * change from one to the next, and exponential smoothing for the trend.
 *
 * Its interval knows the trend's error only; the selection widens it by what the backtest shows.
 */
export const mstl: ForecastModel = {
  name: 'mstl',

  forecast(series, { seasons, horizon, level }) {
    if (seasons.length === 0) throw new Error('needs a season');
    const points = Math.max(MAX_POINTS_AT_LEAST, MAX_SEASONS * Math.max(...seasons));
    const values = Float64Array.from(series);
    const model = mstlWithEts(seasons);
    try {
      model.fit(values.subarray(Math.max(0, values.length - points)));
      const { point, intervals } = model.predict(horizon, level);
      if (intervals === undefined) throw new Error('no prediction interval');
      return { mean: point, lower: intervals.lower, upper: intervals.upper };
    } finally {
      model.free(); // WASM memory is not garbage collected
    }
  },
};
