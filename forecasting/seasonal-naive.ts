import type { ForecastModel, ModelFamily } from './model.js';

/** The baseline's name: that of the longest season, or of the last value where there is no season. */
export const SEASONAL_NAIVE = 'seasonal-naive';

/** Repeats the last season: the longest one as the baseline that every other model has to beat, and the others. */
export const seasonalNaive: ModelFamily = (seasons) => [
  repeating(SEASONAL_NAIVE, seasons.at(-1) ?? 1),
  ...seasons.slice(0, -1).map((season) => repeating(`${SEASONAL_NAIVE}-${season}`, season)),
];

const repeating = (name: string, season: number): ForecastModel => ({
  name,
  forecast: (series, { horizon }) => {
    const start = series.length - season;
    if (start < 0) throw new Error(`needs ${season} values, has ${series.length}`);
    return Float64Array.from({ length: horizon }, (_, step) => series[start + (step % season)]!);
  },
});
