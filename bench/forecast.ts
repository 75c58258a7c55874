import type { Bench } from './bench.js';
import { forecastAccuracy } from './forecast-accuracy.js';
import { forecastSpeed } from './forecast-speed.js';

const CASES = {
  accuracy:
    'errors of the models that race by default and of their combination, coverage and calibration, on real series',
  models: 'the same with ARIMA and Prophet beside them, which take long',
  speed: 'time and memory for 1, 1,000 and 10,000 series of a week (--documents: the largest number)',
};

const DEFAULT = ['level', 'profile', 'ets', 'mstl'];
const COSTLY = ['arima', 'prophet'];

/** Which models are measured; the case with more of them is the other one, too. */
const accuracyOf = (cases: readonly string[]): readonly string[] | undefined =>
  cases.includes('models') ? [...DEFAULT, ...COSTLY] : cases.includes('accuracy') ? DEFAULT : undefined;

/** How good forecasts are, and what they cost. */
export const forecast: Bench = {
  about: 'errors of forecasts relative to the seasonal naive, on real series; their time and memory',
  defaults: { documents: 10_000 },
  cases: CASES,
  run: async (options) => [
    ...(accuracyOf(options.cases) === undefined ? [] : await forecastAccuracy(options, accuracyOf(options.cases)!)),
    ...(options.cases.includes('speed') ? await forecastSpeed(options) : []),
  ],
};
