import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import type { ErrorsByModel, ModelChoice } from '../domain/model-choice.js';
import type { ForecastOutcome } from '../forecasting/select.js';

export interface SeriesRequest {
  readonly requests: Float64Array;
  /** So many of the first values are means over a longer time: no evidence. */
  readonly spread?: number;
  readonly seasons: readonly number[];
  readonly horizon: number;
  readonly level: number;
  /** Names of model families, as in the policy. */
  readonly models: readonly string[];
  readonly choice?: ModelChoice;
  readonly past?: ErrorsByModel;
}

/** For all forecasts of the process. One core is left to boundary steps, in which writes wait. */
export const FORECAST_THREADS = Math.max(1, availableParallelism() - 1);

/** A thread that nobody needs any more ends, and what its models hold in memory with it. */
const IDLE_MS = 60_000;

let pool: Piscina<SeriesRequest, ForecastOutcome> | undefined;

/**
 * Forecasts in a thread of its own. A choice of models computes for a tenth of a second without a break: in the worker's
 * own thread it would hold up heartbeats, and boundary steps in which writes wait. May be called for several series at
 * once; they wait for a thread.
 */
export function forecastInThread(request: SeriesRequest, signal?: AbortSignal): Promise<ForecastOutcome> {
  pool ??= new Piscina({
    filename: fileURLToPath(new URL('./forecast-thread.js', import.meta.url)),
    minThreads: 0,
    maxThreads: FORECAST_THREADS,
    idleTimeout: IDLE_MS,
  });
  return pool.run(request, signal === undefined ? {} : { signal });
}
