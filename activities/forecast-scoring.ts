import { errorsOfForecast } from '../domain/model-choice.js';
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
  const due = await catalog.forecasts.due(keyspace, partitions, { from: grid.start, at: grid.end });
  const onGrid = due.filter(({ windowMs }) => windowMs === grid.windowMs);
  if (onGrid.length === 0) return 0;
  const start = Math.min(...onGrid.map(({ madeAt }) => madeAt.getTime()));
  const history = await loadHistory(catalog, keyspace, partitions, { ...grid, start }, signal);
  const scores = onGrid.map(({ _id: id, partition, region, madeAt, mean, ends, byModel }) => {
    const series = history.get(partition)?.get(region)?.requests ?? new Float64Array();
    // Series end with the grid; what lies before their beginning, or has no record, were no requests.
    const first = series.length - (grid.end - madeAt.getTime()) / grid.windowMs;
    const actual = mean.map((_, step) => series[first + step] ?? 0);
    return { id, errors: errorsOfForecast(byModel, ends, actual) };
  });
  await catalog.forecasts.score(scores);
  return scores.length;
}
