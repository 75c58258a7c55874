import type { Forecast, ForecastModel, ForecastRequest, Series } from './model.js';

export type Attempt =
  { readonly kind: 'forecast'; readonly forecast: Forecast } | { readonly kind: 'failed'; readonly message: string };

/**
 * Runs one model so that its failure costs this model and nothing else: whatever it throws (the WASM models throw
 * plain strings and traps, too), a missing step or a value that is not finite becomes a failure with a message.
 *
 * A good forecast is made one of counts: nothing below 0, and `lower <= mean <= upper`.
 */
export function attemptForecast(model: ForecastModel, series: Series, request: ForecastRequest): Attempt {
  let forecast: Forecast;
  try {
    forecast = model.forecast(series, request);
  } catch (error) {
    return { kind: 'failed', message: error instanceof Error ? error.message : String(error) };
  }
  for (const part of ['mean', 'lower', 'upper'] as const) {
    const values = forecast[part];
    if (values.length !== request.horizon) {
      return { kind: 'failed', message: `${part} has ${values.length} steps instead of ${request.horizon}` };
    }
    const step = values.findIndex((value) => !Number.isFinite(value));
    if (step >= 0) return { kind: 'failed', message: `${part} is ${values[step]} at step ${step}` };
  }
  const mean = forecast.mean.map(notNegative);
  return {
    kind: 'forecast',
    forecast: {
      mean,
      lower: forecast.lower.map((value, step) => Math.min(notNegative(value), mean[step] ?? 0)),
      upper: forecast.upper.map((value, step) => Math.max(notNegative(value), mean[step] ?? 0)),
    },
  };
}

const notNegative = (value: number): number => Math.max(0, value);
