import { initSync, Prophet } from '@bsull/augurs/prophet';
import { optimizer } from '@bsull/augurs-prophet-wasmstan';
import { wasmBytes } from './augurs.js';
import { onCoarseGrid } from './coarse.js';
import type { ModelFamily } from './model.js';

initSync({ module: wasmBytes('prophet') });

const DAY_S = 86_400;

/** Fourier terms of a season: as many as Prophet itself takes for a day or a week. */
const FOURIER_ORDER = 4;

/** Changes of the trend, fewer than Prophet's 25: a history is a few weeks here, not years. */
const CHANGEPOINTS = 10;

/** Prophet: a trend with changes, and seasons as Fourier series. */
export const prophet: ModelFamily = (seasons) =>
  seasons.length === 0
    ? []
    : [
        onCoarseGrid({
          name: 'prophet',
          costly: true,
          forecast: (series, { seasons, horizon }) => {
            // It has no scale then, and ends by a trap.
            if (series.every((value) => value === series[0])) return new Float64Array(horizon).fill(series[0]!);
            // Times only have to be evenly spaced: the shortest season is called a day.
            const stepS = Math.round(DAY_S / seasons[0]!);
            const at = (t: number) => t * stepS;
            const model = new Prophet({
              optimizer,
              nChangepoints: CHANGEPOINTS,
              yearlySeasonality: { type: 'manual', enabled: false },
              weeklySeasonality: { type: 'manual', enabled: false },
              dailySeasonality: { type: 'manual', enabled: false },
              uncertaintySamples: 0,
            });
            try {
              for (const season of seasons) {
                model.addSeasonality(`season-${season}`, {
                  period: (season * stepS) / DAY_S,
                  fourierOrder: Math.min(FOURIER_ORDER, Math.floor(season / 2)),
                });
              }
              model.fit({ ds: Array.from(series, (_, t) => at(t)), y: series });
              return model.predict({ ds: Array.from({ length: horizon }, (_, step) => at(series.length + step)) }).yhat
                .point;
            } finally {
              model.free(); // WASM memory is not garbage collected
            }
          },
        }),
      ];
