import { constants, setPriority } from 'node:os';
import { familiesNamed } from '../forecasting/models.js';
import type { ForecastOutcome } from '../forecasting/select.js';
import { forecastSeries } from '../forecasting/select.js';
import type { SeriesRequest } from './series-forecaster.js';

// Linux takes process 0 for the calling thread: requests and boundary steps on the same machine go first.
if (process.platform === 'linux') setPriority(0, constants.priority.PRIORITY_LOW);

/** The other side of `forecastInThread`: one series in, one outcome out. */
export default async function forecastHere({ requests, models, ...options }: SeriesRequest): Promise<ForecastOutcome> {
  return forecastSeries(requests, { ...options, families: await familiesNamed(models) });
}
