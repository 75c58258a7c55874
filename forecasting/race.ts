import { backtestModel, forEachOutcome } from './backtest.js';
import type { Backtest } from './backtest.js';
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

/** Backtests all models. A costly one has to be better than all cheap ones in a short trial first. */
export function race(
  models: readonly ForecastModel[],
  backtest: Backtest,
  errorsOf: (means: readonly Float64Array[], model: string) => readonly number[],
): { readonly raced: readonly Racer[]; readonly failures: readonly ModelFailure[] } {
  const raced: Racer[] = [];
  const failures: ModelFailure[] = [];
  if (backtest.origins.length === 0) return { raced, failures };
  const trial = trialOf(backtest);
  let toBeat = Infinity;
  for (const model of [...models].sort((a, b) => Number(a.costly ?? false) - Number(b.costly ?? false))) {
    const { name, costly = false } = model;
    const tried = costly ? backtestModel(model, trial) : undefined;
    if (tried?.kind === 'finished' && totalError(tried.means, trial) >= toBeat) continue;
    const outcome = tried?.kind === 'failed' ? tried : backtestModel(model, backtest);
    if (outcome.kind === 'failed') {
      failures.push({ model: name, message: outcome.message });
      continue;
    }
    raced.push({ name, means: outcome.means, errors: errorsOf(outcome.means, name) });
    if (!costly) toBeat = Math.min(toBeat, totalError(outcome.means, backtest, trial.origins));
  }
  return { raced, failures };
}

function trialOf(backtest: Backtest): Backtest {
  const { origins } = backtest;
  const every = Math.max(1, Math.floor(origins.length / TRIAL_ORIGINS));
  const chosen = origins.filter((_, i) => (origins.length - 1 - i) % every === 0).slice(-TRIAL_ORIGINS);
  return { ...backtest, origins: chosen };
}

/** Sum of absolute errors, of the given origins only. */
function totalError(
  means: readonly Float64Array[],
  backtest: Backtest,
  only: readonly number[] = backtest.origins,
): number {
  let sum = 0;
  forEachOutcome(backtest, (actual, step, origin) => {
    if (only.includes(backtest.origins[origin]!)) sum += Math.abs(actual - means[origin]![step]!);
  });
  return sum;
}
