import { medianOf } from './median.js';
import type { ForecastModel, ModelFamily } from './model.js';

/** Hours (of a day as the shortest season) that the level is read from. Names become names of fields: without dots. */
const SPANS = { 'last-value': 0, 'level-short': 0.5, 'level-3': 3, 'level-24': 24, 'level-168': 168 };

/** The middle value of the last minutes, hours or days, for ever; and one that falls back to that of the last day. */
export const level: ModelFamily = () => [
  ...Object.entries(SPANS).map(([name, span]) => steady(name, span)),
  revertingLevel,
];

const steady = (name: string, span: number): ForecastModel => ({
  name,
  forecast: (series, { horizon, unit }) => new Float64Array(horizon).fill(levelOf(series, span * unit)),
});

/** What is left of the distance to the usual level after an hour. */
const KEPT = 0.85;

const revertingLevel: ForecastModel = {
  name: 'level-reverting',
  forecast: (series, { horizon, unit }) => {
    const usual = levelOf(series, 24 * unit);
    const distance = levelOf(series, 0.5 * unit) - usual;
    return Float64Array.from({ length: horizon }, (_, step) => usual + distance * KEPT ** ((step + 1) / unit));
  },
};

const levelOf = (series: Float64Array, span: number): number =>
  medianOf(series, series.length - Math.max(1, Math.round(span)));
