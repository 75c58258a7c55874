import { BadLine } from '../domain/access-log.js';
import { thresholdCrossing } from '../domain/crossing.js';
import { definedOf } from '../domain/defined.js';
import { DroverError } from '../domain/errors.js';
import type { NodeMeasure } from '../domain/node-series.js';
import { NODE_MEASURES, nodeSeries } from '../domain/node-series.js';
import { tokensOf } from '../domain/partition.js';
import { contains } from '../domain/token.js';
import { tokenOfKey } from '../store/key-token.js';
import type { ControlContext } from './context.js';
import type { KeyType } from './key-types.js';
import { KEY_READERS } from './key-readers.js';
import type { ShownSeries, ShowForecastOptions } from './shown-forecast.js';
import { HISTORY_PER_STEP, LEAST_HISTORY } from './shown-forecast.js';

/** Entities are known hour by hour: so many hours ahead at least. */
const LEAST_ENTITY_STEPS = 12;

export interface NodeForecastRequest extends ShowForecastOptions {
  readonly node: string;
  /** Default: operations. Its threshold, if none is said, is what plans may fill of the node's capacity. */
  readonly measure?: NodeMeasure;
}

export interface EntityForecastRequest extends ShowForecastOptions {
  readonly keyspace: string;
  /** As it is typed. */
  readonly key: string;
  /** What it is in the documents. Default: string. */
  readonly keyType?: KeyType;
}

/** A forecast that is made now, of what is known now; it is not kept, and so not scored. */
export type ForecastOnDemand =
  | ({ readonly kind: 'forecast' } & ShownSeries)
  | {
      readonly kind: 'too-little-history';
      readonly title: string;
      readonly windowMs: number;
      /** Known, and needed, in windows. */
      readonly points: number;
      readonly needed: number;
    };

/**
 * Forecasts what a node does, of its probes.
 *
 * @throws DroverError `InvalidRequest` when there is no such node
 */
export async function forecastNode(
  context: ControlContext,
  { node, measure = 'operations', threshold }: NodeForecastRequest,
): Promise<ForecastOnDemand> {
  const { catalog, configuration } = context;
  const { capacity } = await catalog.nodes.get(node);
  const { forecast, plan } = configuration.policy;
  // Probes are as often as forecasts.
  const stepMs = Math.max(forecast.window, forecast.every);
  const grid = gridOf(context, stepMs);
  const readings = await catalog.nodeReadings.list(node, grid.start - stepMs, grid.end);
  const values = nodeSeries(readings, measure, grid);
  const first = values.findIndex((value) => !Number.isNaN(value));
  const limit =
    measure === 'operations' && capacity?.opsPerSecond !== undefined
      ? plan.maxNodeLoad * capacity.opsPerSecond
      : undefined;
  return forecastOf(context, values.subarray(first < 0 ? values.length : first), {
    ...{ title: `${NODE_MEASURES[measure].title} of node ${node}`, grid },
    horizon: Math.max(1, Math.ceil(forecast.horizon / stepMs)),
    ...definedOf({ threshold: threshold ?? limit }),
  });
}

/**
 * Forecasts the requests for one entity, hour by hour: at least so many, as records tell of the busiest entities alone.
 *
 * @throws DroverError `InvalidRequest` when there is no such keyspace, or the key can't be one
 */
export async function forecastEntity(
  context: ControlContext,
  { keyspace, key, keyType = 'string', threshold }: EntityForecastRequest,
): Promise<ForecastOnDemand> {
  const { catalog, configuration } = context;
  await catalog.keyspaces.get(keyspace);
  const token = tokenOfKey(typed(key, keyType));
  const partition = (await catalog.partitions.list(keyspace)).find((each) => contains(tokensOf(each), token))!.name;
  const stepMs = catalog.access.hourMs;
  const grid = gridOf(context, stepMs);
  const [windows, requests] = await Promise.all([
    catalog.access.windows(keyspace, grid.start, grid.end, stepMs, { first: partition, last: partition }),
    catalog.access.top.entityHours(partition, token, { keyspace, from: grid.start, to: grid.end }),
  ]);
  // Details are kept for a shorter time than counts are.
  const kept = grid.end - configuration.policy.access.keep.windows;
  const known = windows.find(({ start }) => start >= kept)?.start ?? grid.end;
  const values = Float64Array.from(
    { length: Math.max(0, (grid.end - known) / stepMs) },
    (_, step) => requests.get(known + step * stepMs) ?? 0,
  );
  return forecastOf(context, values, {
    ...{ title: `Requests for ${key} (${keyspace}, ${partition})`, grid },
    horizon: Math.max(LEAST_ENTITY_STEPS, Math.ceil(configuration.policy.forecast.horizon / stepMs)),
    ...definedOf({ threshold }),
  });
}

interface Grid {
  readonly start: number;
  readonly end: number;
  readonly stepMs: number;
}

/** The step that is under way is not over yet: history ends before it. */
function gridOf({ configuration, now }: ControlContext, stepMs: number): Grid {
  const end = Math.floor(now() / stepMs) * stepMs;
  return { start: end - Math.ceil(configuration.policy.forecast.history / stepMs) * stepMs, end, stepMs };
}

async function forecastOf(
  { configuration }: ControlContext,
  values: Float64Array,
  asked: { readonly title: string; readonly grid: Grid; readonly horizon: number; readonly threshold?: number },
): Promise<ForecastOnDemand> {
  // Loaded when it is needed: models are large modules.
  const [{ forecastSeries }, { familiesNamed }] = await Promise.all([
    import('../forecasting/select.js'),
    import('../forecasting/models.js'),
  ]);
  const { season, level, models } = configuration.policy.forecast;
  const { title, horizon, threshold, grid } = asked;
  const seasons = season.map((ms) => Math.round(ms / grid.stepMs)).filter((steps) => steps >= 2);
  const families = await familiesNamed(models);
  const outcome = forecastSeries(values, { seasons, horizon, level, families });
  const named = { title, windowMs: grid.stepMs };
  if (outcome.kind === 'too-little-history') return { ...outcome, ...named };
  const { forecast, naive, model } = outcome;
  return {
    ...named,
    ...{ kind: 'forecast', model, level: outcome.level, madeAt: new Date(grid.end), naive: [...naive] },
    ...{ mean: [...forecast.mean], lower: [...forecast.lower], upper: [...forecast.upper] },
    history: [...values.slice(-Math.max(LEAST_HISTORY, HISTORY_PER_STEP * horizon))].map((value) =>
      Number.isNaN(value) ? null : value,
    ),
    ...(threshold === undefined
      ? {}
      : { threshold, crossing: thresholdCrossing(forecast, outcome.level, threshold, 'above') }),
  };
}

function typed(key: string, keyType: KeyType): unknown {
  try {
    return KEY_READERS[keyType](key);
  } catch (error) {
    if (error instanceof BadLine) throw new DroverError('InvalidRequest', error.message);
    throw error;
  }
}
