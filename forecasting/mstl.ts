import { mstlWithEts } from './augurs.js';
import { onCoarseGrid } from './coarse.js';
import type { ModelFamily } from './model.js';

/** Seasons further back than this say little about the next one, and the decomposition costs time for each value. */
const MAX_SEASONS = 7;

/**
 * Multiple seasonal-trend decomposition (the seasonal family that source documents 2 and 4 call for): seasons that may
 * change from one to the next, and exponential smoothing for the trend.
 */
export const mstl: ModelFamily = (seasons) =>
  seasons.length === 0
    ? []
    : [
        onCoarseGrid({
          name: 'mstl',
          costly: true,
          forecast: (series, { seasons, horizon }) => {
            const model = mstlWithEts(seasons);
            try {
              model.fit(series.subarray(Math.max(0, series.length - MAX_SEASONS * seasons.at(-1)!)));
              return model.predict(horizon, null).point;
            } finally {
              model.free(); // WASM memory is not garbage collected
            }
          },
        }),
      ];
