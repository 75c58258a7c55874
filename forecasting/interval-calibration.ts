import type { BacktestForecast } from './backtest.js';
import type { Forecast } from './model.js';

/**
 * By how much an interval has to be widened on either side to cover what came in the backtest: 0 if it covers enough.
 *
 * This is the score of conformalised quantile regression (Romano, Patterson and Candès 2019): how far each value lay
 * outside its interval, negative inside, and of that the quantile at the interval's level. Unlike a factor, it also
 * widens an interval that has no width.
 */
export function missingWidth(backtests: readonly BacktestForecast[], level: number): number {
  const scores = backtests
    .flatMap(({ forecast, actual }) =>
      actual.map((value, step) =>
        Math.max((forecast.lower[step] ?? value) - value, value - (forecast.upper[step] ?? value)),
      ),
    )
    .sort((a, b) => a - b);
  if (scores.length === 0) return 0;
  const rank = Math.min(scores.length, Math.ceil((scores.length + 1) * level));
  return Math.max(0, scores[rank - 1] ?? 0);
}

/** Share of the values that lay in their interval, in [0, 1]; `undefined` without any. */
export function coverage(backtests: readonly BacktestForecast[]): number | undefined {
  const inside = backtests.flatMap(({ forecast, actual }) =>
    actual.map((value, step) => value >= (forecast.lower[step] ?? value) && value <= (forecast.upper[step] ?? value)),
  );
  return inside.length === 0 ? undefined : inside.filter(Boolean).length / inside.length;
}

/** The forecast with its interval `width` wider on either side, but not below 0. */
export function widen(forecast: Forecast, width: number): Forecast {
  return {
    mean: forecast.mean,
    lower: forecast.lower.map((value) => Math.max(0, value - width)),
    upper: forecast.upper.map((value) => value + width),
  };
}
