import type { Crossing } from '../domain/crossing.js';
import { thresholdCrossing } from '../domain/crossing.js';
import type { ForecastDocument } from '../store/catalog/forecasts.js';
import type { ControlContext } from './context.js';

/** So many windows before a forecast are shown with it, for each of its own. */
export const HISTORY_PER_STEP = 4;
export const LEAST_HISTORY = 48;

/** Past forecasts of so long tell how good a model is. */
const ERRORS_OF_MS = 7 * 24 * 3_600_000;

export interface ModelError {
  readonly model: string;
  /** Mean absolute error, requests per window. */
  readonly error: number;
  /** Forecast windows whose time has come. */
  readonly steps: number;
}

/** A forecast with what came before it. */
export interface ShownSeries extends Pick<
  ForecastDocument,
  'madeAt' | 'windowMs' | 'model' | 'mean' | 'lower' | 'upper' | 'level' | 'naive'
> {
  /** What it is of, for people. */
  readonly title: string;
  /** The windows before the forecast, oldest first; empty before the first record, null where nothing is known. */
  readonly history: readonly (number | null)[];
  readonly threshold?: number;
  readonly crossing?: Crossing;
}

/** One of a partition and region, with what became of earlier ones. */
export interface ShownForecast extends ForecastDocument, ShownSeries {
  /** How wrong the models were in the last week, the best first; `forecast` is what was made of them. */
  readonly modelErrors: readonly ModelError[];
}

export interface ShowForecastOptions {
  /** Requests per window, or what else is forecast, above which there is trouble. */
  readonly threshold?: number;
}

/**
 * The newest forecast of a partition, one per region.
 *
 * @throws DroverError `InvalidRequest` when there is no such partition
 */
export async function showForecast(
  { catalog }: ControlContext,
  keyspace: string,
  partition: string,
  { threshold }: ShowForecastOptions = {},
): Promise<readonly ShownForecast[]> {
  await catalog.partitions.get(keyspace, partition);
  const forecasts = await catalog.forecasts.latest(keyspace, partition);
  return Promise.all(
    forecasts.map(async (forecast) => ({
      ...forecast,
      title: `Requests from ${forecast.region}`,
      history: await historyOf(catalog, forecast),
      modelErrors: await modelErrorsOf(catalog, forecast),
      ...(threshold === undefined
        ? {}
        : { threshold, crossing: thresholdCrossing(forecast, forecast.level, threshold, 'above') }),
    })),
  );
}

async function historyOf(
  catalog: ControlContext['catalog'],
  { keyspace, partition, region, madeAt, windowMs, mean }: ForecastDocument,
): Promise<number[]> {
  const end = madeAt.getTime();
  const from = end - Math.max(LEAST_HISTORY, HISTORY_PER_STEP * mean.length) * windowMs;
  const windows = await catalog.access.windows(keyspace, from, end, windowMs, { first: partition, last: partition });
  const first = windows[0]?.start ?? end;
  const requests = new Array<number>((end - first) / windowMs).fill(0);
  for (const window of windows.filter((each) => each.region === region)) {
    requests[(window.start - first) / windowMs] = window.reads + window.writes;
  }
  return requests;
}

async function modelErrorsOf(catalog: ControlContext['catalog'], forecast: ForecastDocument): Promise<ModelError[]> {
  const since = forecast.madeAt.getTime() - ERRORS_OF_MS;
  const errors = await catalog.forecasts.errors(forecast, { since });
  return Object.entries(errors)
    .map(([model, stretches]) => {
      const steps = stretches.reduce((total, { count }) => total + count, 0);
      return { model, steps, error: stretches.reduce((total, { sum }) => total + sum, 0) / Math.max(1, steps) };
    })
    .sort((a, b) => a.error - b.error);
}

/** For drawing: where nothing is known, the value before it. */
export function shownHistory(history: readonly (number | null)[]): number[] {
  let before = 0;
  return history.map((value) => (before = value ?? before));
}
