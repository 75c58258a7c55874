import { regionalSeries } from '../domain/series.js';
import type { Catalog } from '../store/catalog/catalog.js';
import type { ForecastDocument } from '../store/catalog/forecasts.js';
import type { Dependencies, ForecastPolicy } from './dependencies.js';
import { SeriesForecaster } from './series-forecaster.js';

/** So much history is asked for at once: what is in memory are the series, not the rows. */
const CHUNK_MS = 24 * 3_600_000;

/** The grid of a forecast: history `[start, end)` in complete windows, then `horizon` steps from `end` on. */
export interface ForecastGrid {
  readonly start: number;
  readonly end: number;
  readonly windowMs: number;
  readonly horizon: number;
}

export interface KeyspaceForecast {
  readonly keyspace: string;
  /** Names the forecasts: `<run>/<partition>/<region>`. */
  readonly run: string;
  /** Drover's time. */
  readonly at: number;
}

/** The window that `at` lies in is not over yet: history ends before it, and the forecast begins with it. */
export function forecastGrid({ window, history, horizon }: ForecastPolicy, at: number): ForecastGrid {
  const onGrid = (time: number) => Math.floor(time / window) * window;
  const end = onGrid(at);
  return { start: onGrid(end - history), end, windowMs: window, horizon: Math.max(1, Math.ceil(horizon / window)) };
}

export type SeriesForecast =
  | { readonly kind: 'made' | 'stored'; readonly document: ForecastDocument }
  | { readonly kind: 'tooShort'; readonly partition: string; readonly region: string };

/**
 * Forecasts every series of a keyspace, one after the other. What was already forecast from the same window is taken
 * from the catalog: a forecast run more often than there are windows makes each once, and a repeated attempt goes on
 * where the last one stood.
 */
export async function* forecastSeriesOf(
  { catalog, forecast: policy }: Dependencies,
  { keyspace, run, at }: KeyspaceForecast,
  signal: AbortSignal,
): AsyncGenerator<SeriesForecast> {
  const grid = forecastGrid(policy, at);
  const history = await loadHistory(catalog, keyspace, grid, signal);
  const { level, models } = policy;
  const seasons = policy.season.map((ms) => Math.round(ms / grid.windowMs)).filter((steps) => steps >= 2);
  const forecaster = new SeriesForecaster(signal);
  try {
    for (const [partition, regions] of history) {
      const stored = await storedForecasts(catalog, policy, keyspace, partition, grid);
      for (const [region, requests] of regions) {
        signal.throwIfAborted();
        const known = stored.find((document) => document.region === region);
        if (known !== undefined) {
          yield { kind: 'stored', document: known };
          continue;
        }
        const outcome = await forecaster.forecast({ requests, seasons, horizon: grid.horizon, level, models });
        if (outcome.kind === 'too-little-history') {
          yield { kind: 'tooShort', partition, region };
          continue;
        }
        const { model, forecast, naive } = outcome;
        const document: ForecastDocument = {
          _id: `${run}/${partition}/${region}`,
          keyspace,
          partition,
          region,
          madeAt: new Date(grid.end),
          windowMs: grid.windowMs,
          model,
          mean: [...forecast.mean],
          lower: [...forecast.lower],
          upper: [...forecast.upper],
          level: outcome.level,
          naive: [...naive.mean],
          decided: false,
        };
        yield { kind: 'made', document };
      }
    }
  } finally {
    await forecaster.close();
  }
}

/** The forecasts of a partition that begin with this grid's end, at most one per region. */
export async function storedForecasts(
  catalog: Catalog,
  { level }: ForecastPolicy,
  keyspace: string,
  partition: string,
  grid: ForecastGrid,
): Promise<ForecastDocument[]> {
  const byRegion = new Map<string, ForecastDocument>();
  for (const document of await catalog.forecasts.latest(keyspace, partition)) {
    const fits =
      document.madeAt.getTime() === grid.end &&
      document.windowMs === grid.windowMs &&
      document.mean.length === grid.horizon &&
      document.level === level;
    if (fits) byRegion.set(document.region, document);
  }
  return [...byRegion.values()];
}

type History = Map<string, Map<string, Float64Array>>;

/** Requests per window of every partition and region since the first record, without gaps. */
async function loadHistory(
  catalog: Catalog,
  keyspace: string,
  { start, end, windowMs }: ForecastGrid,
  signal: AbortSignal,
): Promise<History> {
  const history: History = new Map();
  const chunkMs = Math.max(1, Math.floor(CHUNK_MS / windowMs)) * windowMs;
  let first: number | undefined;
  for (let from = start; from < end; from += chunkMs) {
    signal.throwIfAborted();
    const to = Math.min(end, from + chunkMs);
    const windows = await catalog.access.windows(keyspace, from, to, windowMs);
    first ??= windows[0]?.start;
    if (first === undefined) continue; // nothing is known of that time, which is not the same as no requests
    const origin = first;
    for (const part of regionalSeries(windows, { start: from, end: to, lengthMs: windowMs, firstRecordAt: origin })) {
      const regions = history.get(part.partition) ?? new Map<string, Float64Array>();
      history.set(part.partition, regions);
      const requests = regions.get(part.region) ?? new Float64Array((end - origin) / windowMs);
      regions.set(part.region, requests);
      requests.set(part.requests, (part.start - origin) / windowMs);
    }
  }
  return history;
}
