import { errorsOfForecast } from '../domain/model-choice.js';
import type { DueForecast } from '../store/catalog/forecasts.js';
import type { Dependencies } from './dependencies.js';
import type { KeyspaceForecast } from './forecast-series.js';
import { forecastGrid, loadHistory } from './request-history.js';

/**
 * Compares every forecast whose time has come with what came, model by model, and records how wrong each was. Those that
 * are older than the history stay unscored.
 */
export async function scoreDueForecasts(
  { catalog, forecast: policy }: Dependencies,
  { keyspace, at, partitions = {} }: KeyspaceForecast,
  signal: AbortSignal,
): Promise<number> {
  const grid = forecastGrid(policy, at);
  const due = { from: grid.start, at: grid.end, windowMs: grid.windowMs };
  const start = await catalog.forecasts.oldestDue(keyspace, partitions, due);
  if (start === undefined) return 0;
  const history = await loadHistory(catalog, keyspace, partitions, { ...grid, start }, signal);
  let scored = 0;
  for await (const forecasts of catalog.forecasts.due(keyspace, partitions, due)) {
    signal.throwIfAborted();
    await catalog.forecasts.score(forecasts.map(scoreOf));
    scored += forecasts.length;
  }
  return scored;

  function scoreOf({ _id: id, partition, region, madeAt, ends, byModel }: DueForecast) {
    const series = history.series.get(partition)?.get(region)?.requests ?? new Float64Array();
    // Series end with the grid; what lies before their beginning were no requests, unless they are between logs.
    const first = series.length - (grid.end - madeAt.getTime()) / grid.windowMs;
    const none = (step: number) => (history.isUnknown(madeAt.getTime() + step * grid.windowMs) ? NaN : 0);
    const actual = Array.from({ length: ends.at(-1) ?? 0 }, (_, step) => series[first + step] ?? none(step));
    return { id, errors: errorsOfForecast(byModel, ends, actual) };
  }
}
