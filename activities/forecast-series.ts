import { pMapIterable } from 'p-map';
import { messageOf } from '../domain/errors.js';
import { choiceKeptForMs, choiceOfSeriesKeptForMs, errorsSince } from '../domain/choice-renewal.js';
import { grouped } from '../domain/grouped.js';
import type { ErrorsByModel } from '../domain/model-choice.js';
import type { ForecastOutcome } from '../forecasting/select.js';
import type { Catalog } from '../store/catalog/catalog.js';
import type { ForecastDocument } from '../store/catalog/forecasts.js';
import type { ModelChoiceDocument } from '../store/catalog/model-choices.js';
import type { PartitionRange } from '../store/catalog/partition-range.js';
import type { Dependencies, ForecastPolicy } from './dependencies.js';
import type { ForecastGrid, RequestSeries, SeriesOfPartitions } from './request-history.js';
import { forecastGrid, loadHistory } from './request-history.js';
import type { SeriesRequest } from './series-forecaster.js';
import { FORECAST_THREADS, forecastInThread } from './series-forecaster.js';

export interface KeyspaceForecast {
  readonly keyspace: string;
  /** Names the forecasts: `<run>/<partition>/<region>`. */
  readonly run: string;
  /** Drover's time. */
  readonly at: number;
  /** Only these partitions. */
  readonly partitions?: PartitionRange;
}

export type SeriesForecast =
  | { readonly kind: 'made'; readonly document: ForecastDocument; readonly newChoice: ModelChoiceDocument | undefined }
  | { readonly kind: 'stored'; readonly document: ForecastDocument }
  | { readonly kind: 'tooShort'; readonly partition: string; readonly region: string }
  | { readonly kind: 'failed'; readonly partition: string; readonly region: string; readonly message: string };

/**
 * Choices are made anew in the first part of a run only, this share of the time between two runs: where Drover's clock is fast,
 * or there are more series than can be chosen for, forecasts go on with older choices.
 */
const RENEWING_SHARE = 0.2;

/** Waiting for a thread included. A choice takes a second, with the costly models some more. */
const MOST_OF_A_SERIES_MS = 5 * 60_000;

/**
 * Forecasts every series of a keyspace, as many at once as there are threads. What was already forecast from the same
 * window is taken from the catalog: a forecast run more often than there are windows makes each once, and a repeated
 * attempt goes on where the last one stood. The choice of models is kept for about a day, or the shortest season if that is
 * longer; then it is made anew when there is time for that, the oldest first, with the errors of the forecasts made meanwhile.
 */
export async function* forecastSeriesOf(
  { catalog, forecast: policy, clockRate }: Dependencies,
  { keyspace, run, at, partitions = {} }: KeyspaceForecast,
  signal: AbortSignal,
): AsyncGenerator<SeriesForecast> {
  const grid = forecastGrid(policy, at);
  const { series: history } = await loadHistory(catalog, keyspace, partitions, grid, signal);
  const { level, models } = policy;
  const seasons = policy.season.map((ms) => Math.round(ms / grid.windowMs)).filter((steps) => steps >= 2);
  const keptForMs = choiceKeptForMs(policy.season);
  const horizonMs = grid.horizon * grid.windowMs;
  const request = JSON.stringify([grid.windowMs, grid.horizon, seasons, models]);
  const choices = new Map((await catalog.modelChoices.list(keyspace, partitions)).map((each) => [each._id, each]));
  const renewUntil = performance.now() + (RENEWING_SHARE * policy.every) / clockRate;

  const forecastOne = async ({
    partition,
    region,
    requests,
    spread,
    stored,
  }: SeriesToForecast): Promise<SeriesForecast> => {
    signal.throwIfAborted();
    if (stored !== undefined) return { kind: 'stored', document: stored };
    const id = seriesId(keyspace, partition, region);
    const kept = choices.get(id);
    const age = kept === undefined ? Infinity : grid.end - kept.chosenAt.getTime();
    const isGood = age >= 0 && (age < choiceOfSeriesKeptForMs(keptForMs, id) || performance.now() > renewUntil);
    const known = kept?.request === request && isGood ? kept : undefined;
    const chosen = known === undefined ? { past: await pastErrors() } : { choice: known.choice };
    const outcome = await attempt({ requests, spread, seasons, horizon: grid.horizon, level, models, ...chosen });
    if (outcome.kind === 'failed') return { ...outcome, partition, region };
    if (outcome.kind === 'too-little-history') return { kind: 'tooShort', partition, region };
    const { model, forecast, naive, byModel, choice } = outcome;
    const series = { keyspace, partition, region };
    return {
      kind: 'made',
      newChoice:
        known === undefined ? { _id: id, ...series, chosenAt: new Date(grid.end), request, choice } : undefined,
      document: {
        _id: `${run}/${partition}/${region}`,
        ...series,
        madeAt: new Date(grid.end),
        windowMs: grid.windowMs,
        model,
        mean: [...forecast.mean],
        lower: [...forecast.lower],
        upper: [...forecast.upper],
        level: outcome.level,
        naive: [...naive],
        decided: false,
        ends: [...choice.ends],
        dueAt: new Date(grid.end + horizonMs),
        byModel: { ...byModel, [OWN]: forecast.mean },
      },
    };

    function pastErrors(): Promise<ErrorsByModel> {
      const ends = kept?.request === request ? kept.choice.ends : [];
      const since = errorsSince({ end: grid.end, keptForMs, horizonMs, chosenAt: kept?.chosenAt.getTime() });
      return catalog.forecasts.errors({ keyspace, partition, region }, { since, ends });
    }
  };

  /** A series whose models fail, or do not come back, is no reason for not forecasting the others. */
  async function attempt(series: SeriesRequest): Promise<ForecastOutcome | { kind: 'failed'; message: string }> {
    try {
      return await forecastInThread(series, AbortSignal.any([signal, AbortSignal.timeout(MOST_OF_A_SERIES_MS)]));
    } catch (error) {
      signal.throwIfAborted();
      return { kind: 'failed', message: messageOf(error) };
    }
  }

  const chosenAt = (partition: string, regions: Iterable<string>): number =>
    Math.min(
      ...[...regions].map((region) => choices.get(seriesId(keyspace, partition, region))?.chosenAt.getTime() ?? 0),
    );
  const oldestFirst: SeriesOfPartitions = new Map(
    [...history].sort(([a, inA], [b, inB]) => chosenAt(a, inA.keys()) - chosenAt(b, inB.keys())),
  );
  yield* pMapIterable(seriesIn(catalog, policy, keyspace, grid, oldestFirst), forecastOne, {
    concurrency: 2 * FORECAST_THREADS,
  });
}

const seriesId = (keyspace: string, partition: string, region: string): string => `${keyspace}/${partition}/${region}`;

/** Under this name the forecast itself is scored, beside the models that it was combined from. */
export const OWN = 'forecast';

interface SeriesToForecast extends RequestSeries {
  readonly partition: string;
  readonly region: string;
  readonly stored: ForecastDocument | undefined;
}

async function* seriesIn(
  catalog: Catalog,
  policy: ForecastPolicy,
  keyspace: string,
  grid: ForecastGrid,
  history: SeriesOfPartitions,
): AsyncGenerator<SeriesToForecast> {
  for (const [partition, regions] of history) {
    const found = await storedForecasts(catalog, policy, keyspace, { among: [partition] }, grid);
    const stored = found.get(partition) ?? [];
    for (const [region, series] of regions) {
      yield { partition, region, ...series, stored: stored.find((document) => document.region === region) };
    }
  }
}

/** The forecasts that begin with this grid's end, by partition, at most one per region of each. */
export async function storedForecasts(
  catalog: Catalog,
  { level }: ForecastPolicy,
  keyspace: string,
  partitions: PartitionRange,
  grid: ForecastGrid,
): Promise<Map<string, ForecastDocument[]>> {
  const bySeries = new Map<string, ForecastDocument>();
  for (const document of await catalog.forecasts.madeAt(keyspace, grid.end, partitions)) {
    const fits =
      document.windowMs === grid.windowMs && document.mean.length === grid.horizon && document.level === level;
    if (fits) bySeries.set(seriesId(keyspace, document.partition, document.region), document);
  }
  return grouped([...bySeries.values()], ({ partition }) => partition);
}
