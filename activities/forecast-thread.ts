import { parentPort } from 'node:worker_threads';
import type { ForecastModel } from '../forecasting/model.js';
import type { ForecastOutcome } from '../forecasting/select.js';
import { DEFAULT_MODELS, forecastSeries } from '../forecasting/select.js';
import type { SeriesRequest } from './series-forecaster.js';

/** The other side of {@link SeriesForecaster}: one series in, one outcome out. */
parentPort?.on('message', ({ requests, models, ...options }: SeriesRequest) => {
  const outcome: ForecastOutcome = forecastSeries(requests, { ...options, models: named(models) });
  parentPort?.postMessage(outcome);
});

const named = (names: readonly string[]): readonly ForecastModel[] =>
  DEFAULT_MODELS.filter(({ name }) => names.includes(name));
