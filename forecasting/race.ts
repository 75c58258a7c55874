import { atOrigins, backtestModel, forEachOutcome } from './backtest.js';
import type { Backtest, BacktestOutcome } from './backtest.js';
import type { ForecastModel } from './model.js';

/** A model that failed in the backtest, and why: it was left out. */
export interface ModelFailure {
  readonly model: string;
  readonly message: string;
}

/** One that finished the backtest, with what it forecast from each origin, and its errors per stretch. */
export interface Racer {
  readonly name: string;
  readonly means: readonly Float64Array[];
  readonly errors: readonly number[];
}

/** So many origins, evenly spread, tell whether a costly model is worth trying at all of them. */
const TRIAL_ORIGINS = 3;

/** One that was so much worse than the best cheap one at the first of these is not better at all of them together. */
const HOPELESS = 1.3;

/** Backtests all models. A costly one has to be better than all cheap ones in a short trial first. */
export function race(
  models: readonly ForecastModel[],
  backtest: Backtest,
  errorsOf: (means: readonly Float64Array[], model: string) => readonly number[],
): { readonly raced: readonly Racer[]; readonly failures: readonly ModelFailure[] } {
  const raced: Racer[] = [];
  const failures: ModelFailure[] = [];
  if (backtest.origins.length === 0) return { raced, failures };
  const trials = trialOrigins(backtest.origins.length);
  let toBeat: readonly number[] = trials.map(() => Infinity);
  for (const model of [...models].sort((a, b) => Number(a.costly ?? false) - Number(b.costly ?? false))) {
    const { name, costly = false } = model;
    const tried = costly ? trial(model, backtest, trials, toBeat) : 'better';
    if (tried === 'worse') continue;
    const outcome = tried === 'better' ? backtestModel(model, backtest) : tried;
    if (outcome.kind === 'failed') {
      failures.push({ model: name, message: outcome.message });
      continue;
    }
    raced.push({ name, means: outcome.means, errors: errorsOf(outcome.means, name) });
    if (costly) continue;
    const errors = totalErrors(outcome.means, backtest);
    const atTrials = trials.map((origin) => errors[origin]!);
    if (sum(atTrials) < sum(toBeat)) toBeat = atTrials;
  }
  return { raced, failures };
}

/** Numbers of the origins of a trial, the newest first. */
function trialOrigins(count: number): number[] {
  const every = Math.max(1, Math.floor(count / TRIAL_ORIGINS));
  return Array.from({ length: Math.min(TRIAL_ORIGINS, count) }, (_, i) => count - 1 - i * every);
}

/** One origin after the other, for as long as there is hope. */
function trial(
  model: ForecastModel,
  backtest: Backtest,
  origins: readonly number[],
  toBeat: readonly number[],
): 'better' | 'worse' | Extract<BacktestOutcome, { kind: 'failed' }> {
  let error = 0;
  for (const [i, origin] of origins.entries()) {
    const at = atOrigins(backtest, [origin]);
    const outcome = backtestModel(model, at);
    if (outcome.kind === 'failed') return outcome;
    error += sum(totalErrors(outcome.means, at));
    if (error > HOPELESS * sum(toBeat.slice(0, i + 1))) return 'worse';
  }
  return error < sum(toBeat) ? 'better' : 'worse';
}

/** Sums of absolute errors, origin by origin. */
function totalErrors(means: readonly Float64Array[], backtest: Backtest): number[] {
  const sums = means.map(() => 0);
  forEachOutcome(backtest, (actual, step, origin) => {
    sums[origin]! += Math.abs(actual - means[origin]![step]!);
  });
  return sums;
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
