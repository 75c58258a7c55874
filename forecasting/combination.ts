/** One model's forecast, and its weight in each stretch of the horizon. */
export interface Weighted {
  readonly mean: Float64Array;
  readonly weights: readonly number[];
}

/**
 * The better models count more: the weight is one by this power of the error. What the next hour brings is told by few
 * errors, that differ much by chance: there models count more alike.
 */
export const POWERS = { nextHour: 1, later: 3 } as const;

/**
 * Weights of models by their errors in the backtest, which add up to 1. Nobody beats the seasonal naive, or all are
 * equally good: it alone.
 *
 * @param errors The seasonal naive's first.
 */
export function weightsByError(errors: readonly number[], power: number): number[] {
  const least = Math.min(...errors);
  // A model without any error in the backtest is not infinitely good.
  const floor = Math.max(least, errors[0]! * 1e-3);
  if (!(floor > 0 && errors[0]! > floor)) return errors.map((_, model) => (model === 0 ? 1 : 0));
  const weights = errors.map((error) => (floor / Math.max(error, floor)) ** power);
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

/**
 * The weighted median of several models' forecasts, step by step.
 *
 * Models err in different directions, so their middle is mostly nearer than the best of them, and one model gone wrong
 * does not move it, however far it is off.
 */
export function combine(forecasts: readonly Weighted[], stretches: Uint8Array): Float64Array {
  const values = new Float64Array(forecasts.length);
  const weights = new Float64Array(forecasts.length);
  return Float64Array.from({ length: stretches.length }, (_, step) => {
    let count = 0;
    let total = 0;
    for (const forecast of forecasts) {
      const weight = forecast.weights[stretches[step]!]!;
      if (weight === 0) continue;
      insert(values, weights, count++, forecast.mean[step]!, weight);
      total += weight;
    }
    return middle(values, weights, count, total / 2);
  });
}

function insert(values: Float64Array, weights: Float64Array, count: number, value: number, weight: number): void {
  let at = count;
  for (; at > 0 && values[at - 1]! > value; at--) {
    values[at] = values[at - 1]!;
    weights[at] = weights[at - 1]!;
  }
  values[at] = value;
  weights[at] = weight;
}

function middle(values: Float64Array, weights: Float64Array, count: number, half: number): number {
  let below = 0;
  for (let at = 0; at < count; at++) {
    below += weights[at]!;
    if (below >= half) return values[at]!;
  }
  return values[Math.max(0, count - 1)]!;
}
