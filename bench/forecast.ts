import type { Bench } from './bench.js';
import { forecastAccuracy } from './forecast-accuracy.js';
import { forecastSpeed } from './forecast-speed.js';

const CASES = {
  accuracy:
    'errors of the models that race by default and of their combination, coverage and calibration, on real series',
  models: 'the same beside ARIMA and Prophet, which take long',
  speed: 'time and memory for 1, 1,000 and 10,000 series of a week (--documents: the largest number)',
};

const DEFAULT = ['level', 'profile', 'ets', 'mstl'];
const COSTLY = ['arima', 'prophet'];

/** How good forecasts are, and what they cost. */
export const forecast: Bench = {
  about: 'errors of forecasts relative to the seasonal naive, on real series; their time and memory',
  defaults: { documents: 10_000 },
  cases: CASES,
  run: async (options) => [
    ...(options.cases.includes('accuracy') ? await forecastAccuracy(options, DEFAULT) : []),
    ...(options.cases.includes('models') ? await forecastAccuracy(options, COSTLY) : []),
    ...(options.cases.includes('speed') ? await forecastSpeed(options) : []),
  ],
};
