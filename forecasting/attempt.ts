import { messageOf } from '../domain/errors.js';
import type { ForecastModel, ForecastRequest, Series } from './model.js';

export type Attempt =
  { readonly kind: 'forecast'; readonly mean: Float64Array } | { readonly kind: 'failed'; readonly message: string };

/**
 * Runs one model so that its failure costs this model and nothing else: whatever it throws (the WASM models throw
 * plain strings and traps, too), a missing step or a value that is not finite becomes a failure with a message. A good
 * forecast is made one of counts: nothing below 0.
 */
export function attemptForecast(model: ForecastModel, series: Series, request: ForecastRequest): Attempt {
  let values: ArrayLike<number>;
  try {
    values = model.forecast(series, request);
  } catch (error) {
    return { kind: 'failed', message: messageOf(error) };
  }
  if (values.length !== request.horizon) {
    return { kind: 'failed', message: `${values.length} steps instead of ${request.horizon}` };
  }
  const mean = Float64Array.from(values);
  const step = mean.findIndex((value) => !Number.isFinite(value));
  if (step >= 0) return { kind: 'failed', message: `${mean[step]} at step ${step}` };
  return { kind: 'forecast', mean: mean.map((value) => Math.max(0, value)) };
}
