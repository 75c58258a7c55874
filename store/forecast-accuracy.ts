import type { ScoredForecast } from '../domain/forecast-error.js';
import { meanAbsoluteError, relativeError } from '../domain/forecast-error.js';
import type { Catalog } from './catalog/catalog.js';
import type { ForecastDocument } from './catalog/forecasts.js';

export interface ForecastAccuracyOptions {
  /** Only forecasts made from here on; Drover's time, milliseconds. */
  readonly from?: number;
  /** Only windows that were over by then. Without it, all that are older than the one with the newest record. */
  readonly to?: number;
  /** Only forecasts that a move was decided on. */
  readonly decidedOnly?: boolean;
}

export interface ForecastAccuracy {
  /** Forecasts of which at least one step has come. */
  readonly forecasts: number;
  readonly steps: number;
  /** Mean absolute errors, requests per window; `undefined` without any step. */
  readonly modelError: number | undefined;
  readonly naiveError: number | undefined;
  /** Errors summed up, the model's divided by seasonal naive's: below 1, the forecasts were better. */
  readonly relative: number | undefined;
}

/**
 * Compares forecasts with what came. Only reads. A window without a record had no requests: routers report all they see.
 *
 * @example await forecastAccuracy(catalog, 'shop.orders', { decidedOnly: true, to: Date.now() })
 */
export async function forecastAccuracy(
  catalog: Catalog,
  keyspace: string,
  { from = -Infinity, to, decidedOnly = false }: ForecastAccuracyOptions = {},
): Promise<ForecastAccuracy> {
  const stored = await catalog.forecasts.list(keyspace, decidedOnly ? { decided: true } : {});
  const forecasts = stored.filter(({ madeAt }) => madeAt.getTime() >= from);
  const scored: ScoredForecast[] = [];
  for (const windowMs of new Set(forecasts.map((forecast) => forecast.windowMs))) {
    const ofLength = forecasts.filter((forecast) => forecast.windowMs === windowMs);
    scored.push(...(await score(catalog, keyspace, ofLength, windowMs, to)));
  }
  const all = (of: 'actual' | 'model' | 'naive') => scored.flatMap((forecast) => forecast[of]);
  return {
    forecasts: scored.length,
    steps: all('actual').length,
    modelError: meanAbsoluteError(all('actual'), all('model')),
    naiveError: meanAbsoluteError(all('actual'), all('naive')),
    relative: relativeError(scored),
  };
}

async function score(
  catalog: Catalog,
  keyspace: string,
  forecasts: readonly ForecastDocument[],
  windowMs: number,
  to: number | undefined,
): Promise<ScoredForecast[]> {
  const start = Math.min(...forecasts.map(({ madeAt }) => madeAt.getTime()));
  const end = Math.max(...forecasts.map(({ madeAt, mean }) => madeAt.getTime() + mean.length * windowMs));
  const windows = await catalog.access.windows(keyspace, start, end + windowMs, windowMs);
  const completeUntil = to ?? windows.reduce((latest, window) => Math.max(latest, window.start), -Infinity);
  const requests = new Map(windows.map((window) => [key(window, window.start), window.reads + window.writes]));
  return forecasts.flatMap((forecast) => {
    const first = forecast.madeAt.getTime();
    const come = Math.min(forecast.mean.length, Math.floor((completeUntil - first) / windowMs));
    if (!(come > 0)) return [];
    const actual = Array.from({ length: come }, (_, step) => requests.get(key(forecast, first + step * windowMs)) ?? 0);
    return [{ actual, model: forecast.mean.slice(0, come), naive: forecast.naive.slice(0, come) }];
  });
}

const key = ({ partition, region }: { readonly partition: string; readonly region: string }, start: number): string =>
  JSON.stringify([partition, region, start]);
