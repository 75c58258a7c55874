import { familiesNamed } from '../forecasting/models.js';
import type { ForecastOutcome } from '../forecasting/select.js';
import { forecastSeries } from '../forecasting/select.js';
import type { SeriesRequest } from './series-forecaster.js';

/** The other side of `forecastInThread`: one series in, one outcome out. */
export default async function forecastHere({ requests, models, ...options }: SeriesRequest): Promise<ForecastOutcome> {
  return forecastSeries(requests, { ...options, families: await familiesNamed(models) });
}
