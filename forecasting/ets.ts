import { autoEts } from './augurs.js';
import { onCoarseGrid } from './coarse.js';
import type { ModelFamily } from './model.js';
import { seasonalProfile } from './profile.js';

/** Level and trend of the next hours do not depend on values further back than this, and the fit costs time for each. */
const MAX_POINTS = 120;

/**
 * Exponential smoothing with additive error, trend and damping chosen by information criterion (source document 1 names it).
 *
 * augurs finds no seasonal ETS model, so the shortest season is taken out first and put back afterwards.
 */
export const ets: ModelFamily = () => [
  onCoarseGrid({
    name: 'ets',
    costly: true,
    forecast: (series, { seasons: [season = 1], horizon }) => {
      const profile = season > 1 ? seasonalProfile(series, season, { average: 'median', smoothing: 0 }) : NO_SEASON;
      const length = profile.length;
      const rest = series.map((value, t) => value - profile[(t - series.length + length * series.length) % length]!);
      const model = autoEts('AZN');
      try {
        model.fit(rest.subarray(Math.max(0, rest.length - MAX_POINTS)));
        const { point } = model.predict(horizon, null);
        return point.map((value, step) => value + profile[step % length]!);
      } finally {
        model.free(); // WASM memory is not garbage collected
      }
    },
  }),
];

const NO_SEASON = Float64Array.of(0);
