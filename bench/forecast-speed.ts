import { performance } from 'node:perf_hooks';
import pMap from 'p-map';
import { FORECAST_THREADS, forecastInThread } from '../activities/series-forecaster.js';
import type { SeriesRequest } from '../activities/series-forecaster.js';
import { random } from '../examples/random.js';
import type { ModelChoice } from '../domain/model-choice.js';
import type { BenchOptions, Comparison } from './bench.js';
import { comparison } from './bench.js';

const POINTS = 2016;
const REQUEST = {
  seasons: [288],
  horizon: 12,
  level: 0.8,
  models: ['seasonal-naive', 'level', 'profile', 'ets', 'mstl'],
} satisfies Partial<SeriesRequest>;

/** Aimed at for 10,000 series on two cores, in seconds; for fewer, in proportion, but not less than a second. */
const AIMED_AT = { choice: 600, forecast: 60, megabytes: 1000 };

/** Time and memory of choosing models, and of forecasting with what was chosen, in the threads that a worker has. */
export async function forecastSpeed({ documents, say }: BenchOptions): Promise<Comparison[]> {
  const results: Comparison[] = [];
  for (const count of [1, Math.ceil(documents / 10), documents]) {
    const memory = watchMemory();
    const cpuAtStart = process.cpuUsage();
    const choices: ModelChoice[] = [];
    const choice = await timed(count, async (i) => {
      const outcome = await forecastInThread({ ...REQUEST, requests: sample(i) });
      if (outcome.kind === 'forecast') choices[i] = outcome.choice;
    });
    const cpuOfChoice = cpuSeconds(cpuAtStart);
    const forecast = await timed(count, async (i) => {
      await forecastInThread({ ...REQUEST, requests: sample(i), choice: choices[i]! });
    });
    const cpuOfForecast = cpuSeconds(cpuAtStart) - cpuOfChoice;
    const megabytes = memory.stop();
    say(
      [
        `${count} series: choice ${choice.toFixed(1)} s (CPU ${cpuOfChoice.toFixed(1)} s)`,
        `forecast ${forecast.toFixed(1)} s (CPU ${cpuOfForecast.toFixed(1)} s), ${megabytes.toFixed(0)} MB`,
      ].join(', '),
    );
    const what = (name: string, unit: string) => ({
      case: `${name}, ${count.toLocaleString('en-US')} series, 2,016 points`,
      against: 'what was aimed at',
      unit,
    });
    const seconds = (of10000: number) => Math.max(1, (of10000 * count) / 10_000);
    results.push(
      comparison(what('choice of models and forecast', 's'), 'lower', [
        { drover: choice, baseline: seconds(AIMED_AT.choice) },
      ]),
      comparison(what('forecast with chosen models', 's'), 'lower', [
        { drover: forecast, baseline: seconds(AIMED_AT.forecast) },
      ]),
      comparison(what('memory', 'MB'), 'lower', [{ drover: megabytes, baseline: AIMED_AT.megabytes }]),
    );
  }
  return results;
}

async function timed(count: number, one: (i: number) => Promise<void>): Promise<number> {
  const start = performance.now();
  await pMap(Array.from({ length: count }).keys(), one, { concurrency: 2 * FORECAST_THREADS });
  return (performance.now() - start) / 1000;
}

/** Of all threads, which is what counts where the machine has other work. */
function cpuSeconds(since: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / 1e6;
}

/** A day's season with noise, a trend and some bursts, of another shape for each number. */
function sample(number: number): Float64Array {
  const next = random(number + 1);
  const amplitude = 10 + 90 * next();
  const peak = 288 * next();
  const burstiness = 0.01 * next();
  return Float64Array.from({ length: POINTS }, (_, t) => {
    const season = amplitude * (1 + Math.sin((2 * Math.PI * (t - peak)) / 288));
    return season + 20 * next() + (next() < burstiness ? 10 * amplitude : 0);
  });
}

/** Most memory that the process had, in MB. */
function watchMemory(): { stop(): number } {
  let most = 0;
  const look = () => (most = Math.max(most, process.memoryUsage.rss() / 1e6));
  const timer = setInterval(look, 200);
  return {
    stop: () => {
      look();
      clearInterval(timer);
      return most;
    },
  };
}
