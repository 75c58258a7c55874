import type { ForecastModel, ForecastRequest, Series } from './model.js';

/**
 * A model for a coarser grid: it is given means over a unit (an hour, where the shortest season is a day) and its
 * forecast is drawn through the middles of these. The statistical models cost time for every value, and what they find
 * (level, trend, shape of the season) does not need the fine grid; what does is for the other models.
 */
export function onCoarseGrid(model: ForecastModel): ForecastModel {
  return {
    ...model,
    forecast: (series, request) => {
      const { unit, horizon } = request;
      if (unit === 1) return model.forecast(series, request);
      return drawnThrough(model.forecast(means(series, unit), coarse(request)), unit, horizon);
    },
  };
}

const coarse = ({ seasons, unit, horizon }: ForecastRequest): ForecastRequest => ({
  seasons: seasons.map((season) => Math.max(2, Math.round(season / unit))),
  unit: 1,
  horizon: Math.ceil(horizon / unit),
});

/** Means over `unit` values each, of which the last ends with the series. */
function means(series: Series, unit: number): Float64Array {
  const count = Math.floor(series.length / unit);
  const start = series.length - count * unit;
  return Float64Array.from({ length: count }, (_, i) => {
    let sum = 0;
    for (let at = start + i * unit; at < start + (i + 1) * unit; at++) sum += series[at]!;
    return sum / unit;
  });
}

function drawnThrough(values: ArrayLike<number>, unit: number, horizon: number): Float64Array {
  const last = values.length - 1;
  return Float64Array.from({ length: horizon }, (_, step) => {
    const place = Math.max(0, (step + 0.5) / unit - 0.5);
    const before = Math.min(last, Math.floor(place));
    const here = values[before]!;
    return here + (values[Math.min(last, before + 1)]! - here) * (place - before);
  });
}
