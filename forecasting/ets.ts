import { autoEts } from './augurs.js';
import type { ForecastModel } from './model.js';
import { deseasonalise } from './seasonal-profile.js';

/** Level and trend of the next hours do not depend on values further back than this, and the fit costs time for each. */
const MAX_POINTS = 400;

/**
 * Exponential smoothing with error, trend and damping chosen by information criterion (source document 1 names it).
 *
 * augurs finds no seasonal ETS model, so the seasons are taken out first and put back afterwards.
 */
export const ets: ForecastModel = {
  name: 'ets',

  forecast(series, { seasons, horizon, level }) {
    const { rest, seasonAt } = deseasonalise(series, seasons);
    const model = autoEts('ZZN');
    try {
      model.fit(rest.subarray(Math.max(0, rest.length - MAX_POINTS)));
      const { point, intervals } = model.predict(horizon, level);
      if (intervals === undefined) throw new Error('no prediction interval');
      const withSeason = (values: readonly number[]): number[] => values.map((value, step) => value + seasonAt(step));
      return { mean: withSeason(point), lower: withSeason(intervals.lower), upper: withSeason(intervals.upper) };
    } finally {
      model.free(); // WASM memory is not garbage collected
    }
  },
};
