import type { ErrorsByModel, ModelChoice } from '../domain/model-choice.js';
import { backtestFrom, forEachOutcome, rollingOrigins } from './backtest.js';
import type { Backtest } from './backtest.js';
import { combine, POWERS, weightsByError } from './combination.js';
import { errorQuantiles } from './error-quantiles.js';
import type { ForecastModel, ForecastRequest } from './model.js';
import type { PreparedSeries } from './prepare.js';
import { race } from './race.js';
import { SEASONAL_NAIVE } from './seasonal-naive.js';
import { stretchEnds, stretchOfSteps } from './stretches.js';

export interface ChoiceOptions {
  /** The seasonal naive first. */
  readonly models: readonly ForecastModel[];
  readonly origins: number;
  /** Errors of forecasts that were made before, which count like those of the backtest. */
  readonly past?: ErrorsByModel;
}

/**
 * Lets all models forecast from the same points of the past, and weighs them by their errors, stretch by stretch; the
 * errors that their combination made there are the interval. Where it was worse than the seasonal naive, that alone is
 * taken; without room for a backtest nothing has been proven better than it.
 */
export function chooseModels(
  { values, observed }: PreparedSeries,
  request: ForecastRequest,
  { models, origins: count, past = {} }: ChoiceOptions,
): ModelChoice {
  const { seasons, unit, horizon } = request;
  const ends = stretchEnds(horizon, unit);
  const stretches = stretchOfSteps(ends);
  const origins = rollingOrigins(values.length, { count, horizon, seasons, notBefore: observed.indexOf(true) });
  const backtest = backtestFrom(origins, { values, observed, request });
  const { raced, failures } = race(models, backtest, (means, model) =>
    meanErrors(means, backtest, stretches, past[model]),
  );
  if (raced[0]?.name !== SEASONAL_NAIVE) {
    return {
      seasons,
      unit,
      ends,
      models: [{ name: SEASONAL_NAIVE, weights: ends.map(() => 1), errors: [] }],
      errorQuantiles: errorQuantiles(ends.map(() => seasonalDifferences(values, observed, seasons.at(-1) ?? 1))),
      origins: 0,
      failures,
    };
  }
  const byStretch = ends.map((end, stretch) =>
    weightsByError(
      raced.map(({ errors }) => errors[stretch]!),
      end <= unit ? POWERS.nextHour : POWERS.later,
    ),
  );
  const combined = (weights: readonly (readonly number[])[]) =>
    backtest.origins.map((_, origin) =>
      combine(
        raced.map(({ means }, model) => ({ mean: means[origin]!, weights: weights.map((of) => of[model]!) })),
        stretches,
      ),
    );
  const errorsOf = (means: readonly Float64Array[]) => meanErrors(means, backtest, stretches, undefined);
  const together = errorsOf(combined(byStretch));
  const alone = errorsOf(raced[0].means);
  const weights = byStretch.map((of, stretch) =>
    together[stretch]! < alone[stretch]! ? of : of.map((_, model) => (model === 0 ? 1 : 0)),
  );
  return {
    seasons,
    unit,
    ends,
    models: raced.map(({ name, errors }, model) => ({ name, errors, weights: weights.map((of) => of[model]!) })),
    errorQuantiles: errorQuantiles(signedErrors(combined(weights), backtest, stretches, ends.length)),
    origins: backtest.origins.length,
    failures,
  };
}

function meanErrors(
  means: readonly Float64Array[],
  backtest: Backtest,
  stretches: Uint8Array,
  past: ErrorsByModel[string] | undefined,
): number[] {
  const stretchCount = (stretches.at(-1) ?? -1) + 1;
  const sums = Array.from({ length: stretchCount }, (_, stretch) => past?.[stretch]?.sum ?? 0);
  const counts = Array.from({ length: stretchCount }, (_, stretch) => past?.[stretch]?.count ?? 0);
  forEachOutcome(backtest, (actual, step, origin) => {
    const stretch = stretches[step]!;
    sums[stretch]! += Math.abs(actual - means[origin]![step]!);
    counts[stretch]! += 1;
  });
  return sums.map((sum, stretch) => sum / Math.max(1, counts[stretch]!));
}

function signedErrors(
  means: readonly Float64Array[],
  backtest: Backtest,
  stretches: Uint8Array,
  stretchCount: number,
): number[][] {
  const errors = Array.from({ length: stretchCount }, (): number[] => []);
  forEachOutcome(backtest, (actual, step, origin) => {
    errors[stretches[step]!]!.push(actual - means[origin]![step]!);
  });
  return errors;
}

/** Where no forecast could be tried: how much one season differs from the one before. */
function seasonalDifferences(values: Float64Array, observed: readonly boolean[], season: number): number[] {
  const differences: number[] = [];
  for (let t = season; t < values.length; t++) {
    if (observed[t] === true && observed[t - season] === true) differences.push(values[t]! - values[t - season]!);
  }
  return differences;
}
